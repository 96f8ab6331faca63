#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/contract/documents.h"
#include "client/endpoint.h"
#include "client/event_stream.h"

namespace warmd::client {

/// The connection broke, or the answer ended early: whether the daemon did what it was asked is not known.
class ConnectionLost : public Error {
public:
    explicit ConnectionLost(Error error) : Error{std::move(error)} {}
};

/// Nobody listens, or we may not connect: the daemon was not asked.
class Unreachable : public Error {
public:
    explicit Unreachable(Error error) : Error{std::move(error)} {}
};

/// How to reach a daemon, and how patient to be.
struct ApiOptions {
    Endpoint endpoint;
    std::string token;  // sent by TCP alone: on the socket the kernel says who calls
    // Longer than the daemon's longest `wait`, and than its pause between keepalive frames.
    std::chrono::seconds silence{90};
    std::function<void(const std::string& words)> notice;  // told before a request is sent again
};

/// The API of one daemon. Calls block and throw Error: what the daemon's problem document says, Unreachable or
/// ConnectionLost. Any number of threads may call.
class ApiClient {
public:
    explicit ApiClient(ApiOptions options) : options_{std::move(options)} {}

    [[nodiscard]] Json get(const std::string& path) const;
    [[nodiscard]] Json post(const std::string& path) const;
    [[nodiscard]] Json post(const std::string& path, const Json& body) const;
    [[nodiscard]] Json del(const std::string& path) const;
    [[nodiscard]] std::string get_text(const std::string& path) const;
    /// Hands the body on as it arrives. What `on_data` throws breaks the connection and is thrown.
    void download(const std::string& path, const std::function<void(std::string_view)>& on_data) const;
    /// Every page of a list.
    [[nodiscard]] std::vector<Json> get_all(const std::string& path) const;
    /// Nothing when the document is still the one of `etag`; otherwise the document, and `etag` is its own.
    [[nodiscard]] std::optional<Json> get_if_changed(const std::string& path, std::string& etag) const;

    /// Whether a daemon that is busy is asked again; where the request itself says how long to wait it is not.
    enum class WhenBusy { repeat, report };
    /// Posts what starts an operation or acquires a lease, with an Idempotency-Key of its own: when the connection
    /// breaks, or the daemon says 503 and Retry-After, it is sent again with the same key, so that it happens once.
    /// Gives up after four tries or ten seconds.
    [[nodiscard]] Json start(const std::string& path, const std::optional<Json>& body = {},
                             WhenBusy busy = WhenBusy::repeat) const;

    /// Sends a signal by its name ("INT") to a running command.
    void signal(const InstanceId& id, const ExecId& exec, const std::string& name) const;

    /// Posts what runs a command and hands on each frame as it arrives, except keepalives. Returns after the last.
    void stream(const std::string& path, const Json& body,
                const std::function<void(const std::string& line, const contract::ExecFrame& frame)>& handler) const;

    /// Reads one connection's events from after `last_id` on (empty: from now on) and hands each on. Ends with
    /// ConnectionLost, or returns once `stop` is requested.
    void events(const std::string& last_id, std::stop_token stop, EventStreamParser& parser,
                const std::function<void(const StreamEvent&)>& handler) const;

    [[nodiscard]] const Endpoint& endpoint() const noexcept { return options_.endpoint; }

private:
    struct Exchange {
        std::string method;
        std::string path;
        std::string body;
        std::map<std::string, std::string> headers;
        std::function<void(std::string_view data)> on_data;  // instead of collecting the body of a 2xx answer
        std::stop_token stop;                                // breaks the connection
    };
    struct Answer {
        int status = 0;
        std::string body;
        std::string etag;
        std::optional<int> retry_after;  // seconds

        [[nodiscard]] bool ok() const noexcept { return status / 100 == 2; }
    };

    [[nodiscard]] Answer send(const Exchange& exchange) const;
    [[nodiscard]] std::string call(const Exchange& exchange) const;

    ApiOptions options_;
};

}  // namespace warmd::client
