#pragma once

#include <csignal>
#include <functional>
#include <thread>

namespace warmd::client {

/// The exit status of a client that was interrupted: 128 + SIGINT, as shells have it.
inline constexpr int kExitInterrupted = 128 + SIGINT;

/// While this lives, SIGINT, SIGTERM and SIGHUP do not end the process: `handler` is called with the signal's name, on
/// a thread of its own.
class Interrupts {
public:
    explicit Interrupts(std::function<void(const char* name)> handler);
    ~Interrupts();
    Interrupts(const Interrupts&) = delete;
    Interrupts& operator=(const Interrupts&) = delete;

private:
    sigset_t before_{};
    std::jthread thread_;
};

}  // namespace warmd::client
