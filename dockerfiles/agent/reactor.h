#pragma once

#include <poll.h>

#include <cstdint>
#include <functional>
#include <map>

#include "daemon/base/clock.h"

namespace warmd::agent {

/// One thread that waits for descriptors and times. poll(2), not epoll: a handful of descriptors, and one
/// kernel object less that a checkpoint has to carry.
class Reactor {
public:
    using Ready = std::function<void(short events)>;
    using TimerId = std::uint64_t;

    /// Calls `ready` whenever one of `events` is there (POLLHUP and POLLERR always). One watch a descriptor.
    void watch(int fd, short events, Ready ready);
    void set_events(int fd, short events);
    /// Must be called before the descriptor is closed. Nothing when it is not watched.
    void unwatch(int fd);

    TimerId at(SteadyTime when, std::function<void()> callback);
    void cancel(TimerId id) { timers_.erase(id); }

    /// Until `stop`. Callbacks may call everything here.
    void run();
    void stop() { stopping_ = true; }

private:
    struct Watch {
        short events = 0;
        std::uint64_t serial = 0;  // tells a watch from an earlier one of the same descriptor
        Ready ready;
    };
    struct Timer {
        SteadyTime when;
        std::function<void()> callback;
    };

    [[nodiscard]] int milliseconds_to_next() const;
    void fire_timers();

    std::map<int, Watch> watches_;
    std::map<TimerId, Timer> timers_;
    std::uint64_t next_ = 1;
    bool stopping_ = false;
};

}  // namespace warmd::agent
