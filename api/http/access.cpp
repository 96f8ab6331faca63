#include "api/http/access.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "api/http/router.h"
#include "daemon/base/error.h"
#include "daemon/base/sha256.h"
#include "daemon/base/text.h"

namespace warmd::http {

namespace {

template <typename Container, typename Value>
bool contains(const Container& container, const Value& value)
{
    return std::find(container.begin(), container.end(), value) != container.end();
}

/// The token of "Authorization: Bearer TOKEN"; empty when there is none.
std::string bearer_token(const Request& request)
{
    constexpr std::string_view kScheme = "bearer ";
    const std::string header = request.header("authorization");
    if (lower_case(header.substr(0, kScheme.size())) != kScheme) return {};
    const std::size_t begin = header.find_first_not_of(' ', kScheme.size());
    return begin == std::string::npos ? std::string{} : header.substr(begin);
}

/// The header Host in lower case without its port, which may be any: a tunnel's end has one of its own. Empty for what
/// cannot be a host.
std::string host_name(const Request& request)
{
    const std::string host = lower_case(request.header("host"));
    const std::size_t end = host.starts_with('[') ? host.find(']') : std::string::npos;
    const std::size_t colon = end == std::string::npos ? host.find(':') : end + 1;
    if (colon >= host.size()) return host;
    const std::string_view port = std::string_view{host}.substr(colon + 1);
    const bool digits = std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
    return host[colon] == ':' && digits ? host.substr(0, colon) : std::string{};
}

std::string origin_of(const Request& request) { return lower_case(request.header("origin")); }

std::string user_name(uid_t uid)
{
    std::array<char, 4096> buffer{};
    struct passwd entry {};
    struct passwd* found = nullptr;
    if (::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) return {};
    return found->pw_name;
}

Error too_small(const Request& request, Role needed, bool capped)
{
    const Caller& caller = request.caller;
    const std::string role = caller.role == Role::none ? "no role" : "the role " + std::string{to_string(caller.role)};
    Error error{ErrorCode::forbidden,
                describe_caller(request) + " has " + role + ", and this needs " + std::string{to_string(needed)}};
    if (capped) return std::move(error).with_hint("pages of other origins only read; the page at / may do more");
    if (request.peer.via == Peer::Via::tcp) {
        return std::move(error).with_hint("ask the administrator for another token: [tokens] in warmd.toml");
    }
    return std::move(error).with_hint("ask the administrator for [access] in warmd.toml");
}

}  // namespace

std::string describe_caller(const Request& request)
{
    if (request.peer.via == Peer::Via::tcp || request.caller.name.empty()) return request.caller.name;
    const std::string user = user_name(request.peer.uid);
    return user.empty() ? request.caller.name : request.caller.name + " (" + printable(user, 80) + ")";
}

Access::Access(AccessOptions options) : options_{std::move(options)}
{
    for (const char* const host : {"localhost", "127.0.0.1", "[::1]"}) options_.hosts.emplace_back(host);
}

/// A page that has its own name resolve to this machine (DNS rebinding) is of our origin to the browser: the name is
/// what gives it away. To the Unix socket a browser gets through a tunnel, while other clients send there what they
/// like: names without a dot, which no foreign page can have.
void Access::check_host(const Request& request) const
{
    const std::string host = host_name(request);
    const bool private_name = request.peer.via == Peer::Via::socket && host.find('.') == std::string::npos;
    if (private_name || contains(options_.hosts, host)) return;
    throw Error{ErrorCode::misdirected,
                "this daemon does not answer for the host \"" + printable(request.header("host"), 100) + "\""}
        .with_hint("name it in api.hosts of warmd.toml, or use the address that warmd listens on");
}

/// Whether the page was served under the very name that the request goes to, which must be one of ours.
bool Access::is_own_origin(const std::string& origin, const Request& request) const
{
    for (const std::string_view scheme : {"http://", "https://"}) {
        if (!origin.starts_with(scheme)) continue;
        return origin.substr(scheme.size()) == lower_case(request.header("host")) &&
               contains(options_.hosts, host_name(request));
    }
    return false;
}

bool Access::is_configured_origin(const Request& request) const
{
    const std::string origin = origin_of(request);
    return !origin.empty() && contains(options_.origins, origin) && !is_own_origin(origin, request);
}

bool Access::comes_from_configured_page(const Request& request, Role needed) const
{
    if (is_configured_origin(request)) return true;
    const std::string origin = origin_of(request);
    if (!origin.empty() && !is_own_origin(origin, request)) {
        throw Error{ErrorCode::forbidden, "pages of " + printable(origin, 100) + " may not ask this daemon"}.with_hint(
            "name the origin in api.origins of warmd.toml, and its pages may read");
    }
    // Browsers send no Origin with some requests, such as those for images.
    const std::string site = request.header("sec-fetch-site");
    if (site.empty() || site == "none" || site == "same-origin") return false;
    const bool follows_link = request.method == "GET" && request.header("sec-fetch-mode") == "navigate";
    if (follows_link && needed == Role::none) return false;
    throw Error{ErrorCode::forbidden, "a page of another site made the browser send this"}.with_hint(
        "open the address itself, or the page at /");
}

Caller Access::identify_by_token(const Request& request) const
{
    const std::string token = bearer_token(request);
    if (token.empty()) return {};
    const std::string sum = sha256_hex(token);
    Caller caller;
    for (const Token& known : options_.tokens) {  // all of them: the time tells nothing
        if (equal_in_constant_time(sum, known.sha256)) caller = {.role = known.role, .name = "token " + known.name};
    }
    return caller;
}

Caller Access::identify(const Request& request) const
{
    const Peer& peer = request.peer;
    if (peer.via == Peer::Via::tcp) return identify_by_token(request);
    Caller caller{.role = peer.uid == 0 ? Role::admin : Role::none, .name = "uid " + std::to_string(peer.uid)};
    for (const auto& [role, callers] : options_.callers) {
        const auto in_group = [&groups = callers.groups](gid_t group) { return contains(groups, group); };
        const bool named = contains(callers.users, peer.uid) || in_group(peer.gid) ||
                           std::any_of(peer.groups.begin(), peer.groups.end(), in_group);
        if (named) caller.role = std::max(caller.role, role);
    }
    return caller;
}

void Access::admit(Request& request, Role needed) const
{
    check_host(request);
    const bool capped = comes_from_configured_page(request, needed);
    request.caller = identify(request);
    if (capped) request.caller.role = std::min(request.caller.role, Role::read);
    if (request.caller.role >= needed) return;
    if (request.caller.name.empty()) {
        const bool has_token = !bearer_token(request).empty();
        throw Error{ErrorCode::unauthenticated,
                    has_token ? "the token is not one that this daemon knows" : "this request needs a token"}
            .with_hint(has_token ? "[tokens] in warmd.toml has the SHA-256 of those that it knows"
                                 : "send Authorization: Bearer TOKEN");
    }
    throw too_small(request, needed, capped);
}

std::optional<Response> Access::preflight(const Request& request) const
{
    const bool asks = request.method == "OPTIONS" && !request.header("access-control-request-method").empty();
    if (!asks || !is_configured_origin(request)) return std::nullopt;
    check_host(request);
    Response response;
    response.status = 204;
    response.content_type.clear();
    response.headers = {{"Access-Control-Allow-Methods", "GET, HEAD"},
                        {"Access-Control-Allow-Headers", "Authorization, If-None-Match, Last-Event-ID"},
                        {"Access-Control-Max-Age", "600"}};
    return response;
}

void Access::let_pages_read(const Request& request, Response& response) const
{
    if (options_.origins.empty()) return;
    response.headers["Vary"] = "Origin";
    if (!is_configured_origin(request)) return;
    response.headers["Access-Control-Allow-Origin"] = request.header("origin");
    response.headers["Access-Control-Expose-Headers"] = "ETag, Retry-After, X-Request-Id";
}

}  // namespace warmd::http
