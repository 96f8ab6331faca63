#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "daemon/base/clock.h"

namespace warmd {

/// Something that must go on for this process to be of use. `check` returns when it does, whether well or not, and
/// never returns when it hangs. It is called on a thread of its own.
struct VitalPart {
    std::string name;
    std::function<void()> check;
};

/// Beats while all vital parts go on, so that whoever listens (systemd's watchdog) ends a process in which one hangs.
class Heartbeat {
public:
    /// Looks at each part, and beats, every `interval`; not while a look takes longer than `patience`, which is logged
    /// with the part's name. `clock` must outlive this, and so must what the checks need.
    Heartbeat(std::vector<VitalPart> parts, Duration interval, Duration patience, Clock& clock,
              std::function<void()> beat);
    /// Waits for the checks under way.
    ~Heartbeat() = default;
    Heartbeat(const Heartbeat&) = delete;
    Heartbeat& operator=(const Heartbeat&) = delete;

private:
    struct Watched {
        VitalPart part;
        std::atomic<SteadyTime> last;  // when the last look ended
        bool told = false;             // that it hangs
        std::jthread thread;
    };
    void look_at(Watched& watched, const std::stop_token& stop) const;
    void run(const std::stop_token& stop);
    [[nodiscard]] bool all_go_on();

    const Duration interval_;
    const Duration patience_;
    Clock& clock_;
    const std::function<void()> beat_;
    std::vector<std::unique_ptr<Watched>> parts_;
    std::jthread beating_;  // last: it looks at the above
};

}  // namespace warmd
