#include "dockerfiles/agent/reactor.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>
#include <vector>

#include "daemon/base/error.h"

namespace warmd::agent {

void Reactor::watch(int fd, short events, Ready ready)
{
    watches_[fd] = Watch{.events = events, .serial = next_++, .ready = std::move(ready)};
}

void Reactor::set_events(int fd, short events)
{
    const auto found = watches_.find(fd);
    if (found != watches_.end()) found->second.events = events;
}

void Reactor::unwatch(int fd) { watches_.erase(fd); }

Reactor::TimerId Reactor::at(SteadyTime when, std::function<void()> callback)
{
    timers_[next_] = Timer{.when = when, .callback = std::move(callback)};
    return next_++;
}

int Reactor::milliseconds_to_next() const
{
    if (timers_.empty()) return -1;
    const auto next = std::min_element(timers_.begin(), timers_.end(),
                                       [](const auto& a, const auto& b) { return a.second.when < b.second.when; });
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next->second.when -
                                                                   std::chrono::steady_clock::now());
    return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 60'000));
}

void Reactor::fire_timers()
{
    const SteadyTime now = std::chrono::steady_clock::now();
    std::vector<TimerId> due;
    for (const auto& [id, timer] : timers_) {
        if (timer.when <= now) due.push_back(id);
    }
    for (const TimerId id : due) {
        auto node = timers_.extract(id);  // an earlier callback may have cancelled it
        if (!node.empty()) node.mapped().callback();
    }
}

void Reactor::run()
{
    while (!stopping_) {
        std::vector<pollfd> polled;
        std::vector<std::uint64_t> serials;
        for (const auto& [fd, watch] : watches_) {
            // What watches nothing is left out: POLLHUP would come again and again.
            if (watch.events == 0) continue;
            polled.push_back({.fd = fd, .events = watch.events, .revents = 0});
            serials.push_back(watch.serial);
        }
        if (::poll(polled.data(), polled.size(), milliseconds_to_next()) < 0 && errno != EINTR) {
            throw system_error("wait for descriptors", errno);
        }
        for (std::size_t i = 0; i < polled.size() && !stopping_; ++i) {
            if (polled[i].revents == 0) continue;
            const auto found = watches_.find(polled[i].fd);
            if (found == watches_.end() || found->second.serial != serials[i]) continue;
            const Ready ready = found->second.ready;  // a copy: it may unwatch itself
            ready(polled[i].revents);
        }
        fire_timers();
    }
}

}  // namespace warmd::agent
