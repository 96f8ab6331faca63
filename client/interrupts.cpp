#include "client/interrupts.h"

#include <pthread.h>

#include <array>
#include <utility>

namespace warmd::client {

namespace {

constexpr std::array<std::pair<int, const char*>, 3> kSignals{{{SIGINT, "INT"}, {SIGTERM, "TERM"}, {SIGHUP, "HUP"}}};
constexpr int kEnd = SIGUSR1;  // wakes the thread for its own end

}  // namespace

Interrupts::Interrupts(std::function<void(const char* name)> handler)
{
    sigset_t set;
    sigemptyset(&set);
    for (const auto& [number, name] : kSignals) sigaddset(&set, number);
    sigaddset(&set, kEnd);
    pthread_sigmask(SIG_BLOCK, &set, &before_);
    thread_ = std::jthread{[set, handler = std::move(handler)] {
        int number = 0;
        while (sigwait(&set, &number) == 0 && number != kEnd) {
            for (const auto& [known, name] : kSignals) {
                if (known == number) handler(name);
            }
        }
    }};
}

Interrupts::~Interrupts()
{
    pthread_kill(thread_.native_handle(), kEnd);
    thread_.join();
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

}  // namespace warmd::client
