#pragma once

#include <optional>
#include <string>

#include "daemon/model/access.h"

namespace warmd::http {

struct Request;
struct Response;

/// Who sent a request.
struct Caller {
    Role role = Role::none;
    std::string name{};  // "uid 1000", "token ci"; empty: nobody in particular. The same on every connection
};

/// The caller for people: "uid 1000 (builder)", "token ci". May ask the host's user database. Empty for nobody.
std::string describe_caller(const Request& request);

/// Says of each request whether it may be served. Callers of the Unix socket are whom the kernel says they are, callers
/// of TCP whose token they show; and no web page makes a browser ask in its user's name. Thread-safe.
class Access {
public:
    explicit Access(AccessOptions options = {});

    /// Sets `request.caller`. Throws unless it may use a route that needs `needed`: Error{misdirected} for a Host
    /// that is not ours, Error{unauthenticated} without a token that is known, Error{forbidden} for a role that is
    /// too small and for pages of foreign origins.
    void admit(Request& request, Role needed) const;

    /// The answer to a browser that asks whether a page of a configured origin may read (a CORS preflight); nothing
    /// for any other request. Throws Error{misdirected}.
    [[nodiscard]] std::optional<Response> preflight(const Request& request) const;

    /// Gives `response` the headers that let such a page see it.
    void let_pages_read(const Request& request, Response& response) const;

private:
    void check_host(const Request& request) const;
    [[nodiscard]] bool is_own_origin(const std::string& origin, const Request& request) const;
    [[nodiscard]] bool is_configured_origin(const Request& request) const;
    [[nodiscard]] bool comes_from_configured_page(const Request& request, Role needed) const;
    [[nodiscard]] Caller identify(const Request& request) const;
    [[nodiscard]] Caller identify_by_token(const Request& request) const;

    AccessOptions options_;
};

}  // namespace warmd::http
