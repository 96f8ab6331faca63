#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/http/access.h"
#include "api/http/peer.h"
#include "daemon/base/clock.h"
#include "daemon/base/json.h"
#include "daemon/model/request_key.h"

namespace warmd::http {

/// A request as the routes see it: complete, within its limits, decoded.
struct Request {
    std::string method;
    std::string path;
    std::map<std::string, std::string> query;
    std::map<std::string, std::string> params;   // the {names} of the route's pattern
    std::map<std::string, std::string> headers;  // by their names in lower case
    std::string body;
    std::string request_id;
    Peer peer;
    Caller caller{};                  // who that is, once a route has been found
    std::stop_token stop;             // the client is gone or the server stops
    std::optional<RequestKey> key{};  // only on routes that are keyed
    std::string route{};              // the pattern that matched; empty: none

    /// Of the header `name` (in lower case); empty when absent.
    [[nodiscard]] std::string header(const std::string& name) const;

    /// The parameter `name` of the route, as an id of type `IdType`. Throws Error{not_found} for what cannot
    /// be an id.
    template <typename IdType>
    [[nodiscard]] IdType id(const std::string& name) const
    {
        return IdType{checked_param(name)};
    }

    /// The body as JSON; an empty body is an empty object. Throws Error{unsupported_media} for another
    /// content type, Error{invalid_argument} for what cannot be parsed.
    [[nodiscard]] Json json() const;
    /// Throws Error{invalid_argument} for a query parameter that is not among `known`.
    void allow_query(const std::vector<std::string_view>& known) const;
    /// Throws unless the body is empty or {}.
    void expect_no_body() const;

private:
    [[nodiscard]] std::string checked_param(const std::string& name) const;
};

/// Writes the next piece of a streamed body. False when the client is gone. Thread-safe.
using StreamWriter = std::function<bool(std::string_view bytes)>;

struct Response {
    int status = 200;
    std::string content_type = "application/json";
    std::string body;
    std::map<std::string, std::string> headers;
    std::optional<std::uint64_t> length{};  // of a streamed body, where it is known before
    /// When set, writes the body piece by piece; returns at its end. With a `length`, fewer bytes than that break the
    /// connection.
    std::function<void(const StreamWriter&)> stream;

    static Response json(const Json& document, int status = 200);
};

/// How long a request takes of a thread.
enum class Pace {
    brief,    // milliseconds: shares a few threads
    lengthy,  // streams, or waits for something: has a thread of its own, of which there are only so many
};

struct RouteOptions {
    Role role = Role::admin;
    Pace pace = Pace::brief;
    bool keyed = false;  // takes an Idempotency-Key: its handler honours `key`
};

using Handler = std::function<Response(const Request&)>;

/// Literal patterns with {parameters}, first match wins. Every request is held against `access` before its handler.
class Router {
public:
    explicit Router(AccessOptions access = {}) : access_{std::move(access)} {}

    void get(const std::string& pattern, Handler handler, RouteOptions options = {.role = Role::read})
    {
        add("GET", pattern, std::move(handler), options);
    }
    void post(const std::string& pattern, Handler handler, RouteOptions options = {})
    {
        add("POST", pattern, std::move(handler), options);
    }
    void del(const std::string& pattern, Handler handler, RouteOptions options = {})
    {
        add("DELETE", pattern, std::move(handler), options);
    }

    /// Of a request that has not been read as a whole: `target` is the path with its query. Brief where no
    /// route matches.
    [[nodiscard]] Pace pace(std::string_view method, std::string_view target) const;

    /// Told of every answer: the route's pattern (empty: none), the method, the status, and how long it took until the
    /// answer began. Must not throw. Set before the router is used.
    using Observer =
        std::function<void(const std::string& route, const std::string& method, int status, Duration elapsed)>;
    void observe(Observer observer) { observer_ = std::move(observer); }

    /// Never throws: every Error, and every other exception, becomes a problem document.
    [[nodiscard]] Response dispatch(Request request) const;

    /// "GET /v1/status" and so on, in the order of their registration.
    [[nodiscard]] std::vector<std::string> routes() const;
    /// The role that each of them needs.
    [[nodiscard]] std::map<std::string, Role> roles() const;

private:
    struct Route {
        std::string method;
        std::string pattern;
        std::vector<std::string> segments;
        Handler handler;
        RouteOptions options;
    };

    void add(const char* method, const std::string& pattern, Handler handler, RouteOptions options);
    [[nodiscard]] Response handle(Request& request) const;
    [[nodiscard]] Response answer(const Route& route, Request& request) const;
    [[nodiscard]] std::optional<Response> refuse_change(const Request& request) const;
    [[nodiscard]] const Route* find(std::string_view method, const std::string& path) const;

    Access access_;
    std::vector<Route> routes_;
    Observer observer_;
};

}  // namespace warmd::http
