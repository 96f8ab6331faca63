#include "client/event_feed.h"

#include <algorithm>
#include <exception>

#include "daemon/base/clock.h"

namespace warmd::client {

namespace {

/// Whether the same request may succeed later.
bool passes(const Error& error) { return error.code() == ErrorCode::unavailable || error.code() == ErrorCode::busy; }

}  // namespace

void EventFeed::run(std::stop_token stop, std::chrono::seconds patience,
                    const std::function<void(const StreamEvent&)>& on_event, const OnState& on_state)
{
    constexpr std::chrono::milliseconds kShortestPause{50};
    SystemClock clock;
    Duration pause = std::chrono::seconds{2};
    bool ever = false;
    bool connected = false;
    SteadyTime lost_at{};
    while (!stop.stop_requested()) {
        EventStreamParser parser;
        std::exception_ptr failure;
        std::string words;
        try {
            api_.events(last_id_, stop, parser, [&](const StreamEvent& event) {
                if (!connected) on_state(true, "");
                ever = connected = true;
                on_event(event);
            });
        } catch (const Error& error) {
            if (!ever || !passes(error)) throw;
            failure = std::current_exception();
            words = error.what();
        }
        if (stop.stop_requested()) return;
        if (!parser.last_id().empty()) last_id_ = parser.last_id();
        if (parser.retry()) pause = std::max<Duration>(*parser.retry(), kShortestPause);
        if (connected) {
            on_state(false, words);
            lost_at = clock.steady_now();
        } else if (clock.steady_now() - lost_at > patience) {
            std::rethrow_exception(failure);
        }
        connected = false;
        clock.sleep_for(pause, stop);
    }
}

}  // namespace warmd::client
