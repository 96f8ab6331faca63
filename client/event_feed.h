#pragma once

#include <functional>
#include <stop_token>
#include <string>

#include "client/api_client.h"

namespace warmd::client {

/// The daemon's events, across broken connections: what happened meanwhile is asked for again.
class EventFeed {
public:
    /// `since`: the id of the last event that is known; empty: from now on.
    EventFeed(const ApiClient& api, std::string since) : api_{api}, last_id_{std::move(since)} {}

    /// Called with false and the reason when the connection breaks, with true when events come again.
    using OnState = std::function<void(bool connected, const std::string& words)>;

    /// Hands on every event until `stop` is requested. Throws Error when the first connection fails, when the daemon
    /// refuses, or when it cannot be reached for `patience`.
    void run(std::stop_token stop, std::chrono::seconds patience,
             const std::function<void(const StreamEvent&)>& on_event, const OnState& on_state);

private:
    const ApiClient& api_;
    std::string last_id_;
};

}  // namespace warmd::client
