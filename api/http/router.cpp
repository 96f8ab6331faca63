#include "api/http/router.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <set>
#include <utility>

#include "api/http/conditional.h"
#include "api/http/error_response.h"
#include "api/http/request_key.h"
#include "daemon/base/error.h"
#include "daemon/base/id.h"
#include "daemon/base/text.h"

namespace warmd::http {

namespace {

std::vector<std::string> split(std::string_view path)
{
    std::vector<std::string> segments;
    while (!path.empty()) {
        path.remove_prefix(1);  // the slash
        const std::size_t end = std::min(path.find('/'), path.size());
        segments.emplace_back(path.substr(0, end));
        path.remove_prefix(end);
    }
    return segments;
}

bool is_parameter(const std::string& segment) { return segment.starts_with('{'); }

bool match(const std::vector<std::string>& pattern, const std::vector<std::string>& path,
           std::map<std::string, std::string>& params)
{
    if (pattern.size() != path.size()) return false;
    std::map<std::string, std::string> found;
    for (std::size_t i = 0; i < pattern.size(); ++i) {
        if (is_parameter(pattern[i])) found.emplace(pattern[i].substr(1, pattern[i].size() - 2), path[i]);
        else if (pattern[i] != path[i]) return false;
    }
    params = std::move(found);
    return true;
}

}  // namespace

std::string Request::checked_param(const std::string& name) const
{
    const std::string& value = params.at(name);
    if (is_valid_name(value)) return value;
    throw Error{ErrorCode::not_found, "\"" + printable(value, 80) + "\" cannot be a name or an id"}.with_hint(
        "names and ids are [a-z0-9][a-z0-9._-]{0,62}");
}

std::string Request::header(const std::string& name) const
{
    const auto found = headers.find(name);
    return found == headers.end() ? std::string{} : found->second;
}

Json Request::json() const
{
    if (body.empty()) return Json::object();
    const std::string content_type = header("content-type");
    std::string media = content_type.substr(0, content_type.find(';'));
    std::erase(media, ' ');
    if (lower_case(media) != "application/json") {
        throw Error{ErrorCode::unsupported_media, "the body must be application/json"}.with_hint(
            "send the header Content-Type: application/json");
    }
    return parse_json(body);
}

void Request::allow_query(const std::vector<std::string_view>& known) const
{
    for (const auto& [name, value] : query) {
        if (std::find(known.begin(), known.end(), name) != known.end()) continue;
        throw Error{ErrorCode::invalid_argument, "the query parameter " + printable(name, 80) + " is not known here"}
            .with_field(printable(name, 80));
    }
}

void Request::expect_no_body() const { JsonObject{json()}.finish(); }

Response Response::json(const Json& document, int status)
{
    Response response;
    response.status = status;
    response.body = dump_json(document) + "\n";
    return response;
}

void Router::add(const char* method, const std::string& pattern, Handler handler, RouteOptions options)
{
    routes_.push_back({.method = method,
                       .pattern = pattern,
                       .segments = split(pattern),
                       .handler = std::move(handler),
                       .options = options});
}

Pace Router::pace(std::string_view method, std::string_view target) const
{
    std::string decoded;  // as the dispatched path will be
    if (!percent_decode(target, decoded)) return Pace::brief;
    target = decoded;
    const std::size_t question = std::min(target.find('?'), target.size());
    // The query parameter `wait`, on whatever route, is what makes a request wait.
    const std::string_view query = target.substr(question);
    if (query.find("?wait=") != std::string_view::npos || query.find("&wait=") != std::string_view::npos) {
        return Pace::lengthy;
    }
    if (!target.starts_with('/')) return Pace::brief;
    const Route* const route = find(method, std::string{target.substr(0, question)});
    return route == nullptr ? Pace::brief : route->options.pace;
}

const Router::Route* Router::find(std::string_view method, const std::string& path) const
{
    const std::vector<std::string> segments = split(path);
    std::map<std::string, std::string> ignored;
    const auto found = std::find_if(routes_.begin(), routes_.end(), [&](const Route& route) {
        return route.method == method && match(route.segments, segments, ignored);
    });
    return found == routes_.end() ? nullptr : &*found;
}

/// What keeps a conditional change from being made. It is compared with the resource that it is made to: the request's
/// own path or, where that cannot be read, the nearest above it.
std::optional<Response> Router::refuse_change(const Request& request) const
{
    if (!is_conditional_change(request)) return std::nullopt;
    std::string path = request.path;
    while (!path.empty() && find("GET", path) == nullptr) path.resize(path.rfind('/'));
    if (path.empty()) return std::nullopt;
    Request look = request;
    look.method = "GET";
    look.path = path;
    look.query.clear();
    look.body.clear();
    for (const char* const header : {"if-match", "if-none-match", "idempotency-key"}) look.headers.erase(header);
    Response representation = handle(look);
    if (representation.status != 200) return representation;
    check_preconditions(request, representation, path);
    return std::nullopt;
}

Response Router::answer(const Route& route, Request& request) const
{
    request.key = read_key(request, route.options.keyed);
    if (auto refused = refuse_change(request)) return *std::move(refused);
    return with_etag(request, route.handler(request));
}

Response Router::handle(Request& request) const
{
    if (auto preflight = access_.preflight(request)) return *std::move(preflight);
    const bool absolute = request.path.starts_with('/');
    const std::vector<std::string> path = absolute ? split(request.path) : std::vector<std::string>{};
    std::set<std::string> allowed;
    Role least = Role::read;
    for (const Route& route : routes_) {
        if (!absolute || !match(route.segments, path, request.params)) continue;
        if (route.method == request.method || (route.method == "GET" && request.method == "HEAD")) {
            request.route = route.pattern;
            access_.admit(request, route.options.role);
            return answer(route, request);
        }
        allowed.insert(route.method);
        least = std::min(least, route.options.role);
    }
    access_.admit(request, least);  // what there is, is not for everybody to find out
    if (allowed.empty()) {
        throw Error{ErrorCode::not_found, "no resource " + printable(request.path, 200)}.with_hint(
            "docs/api.md lists the resources");
    }
    std::string list;
    for (const std::string& method : allowed) list += (list.empty() ? "" : ", ") + method;
    Response refused = error_response(
        Error{ErrorCode::method_not_allowed,
              printable(request.path, 200) + " does not do " + printable(request.method, 20)}
            .with_hint("it does " + list),
        request.request_id);
    refused.headers["Allow"] = list;
    return refused;
}

Response Router::dispatch(Request request) const
{
    const auto began = std::chrono::steady_clock::now();
    Response response;
    try {
        response = handle(request);
    } catch (const Error& error) {
        response = error_response(error, request.request_id);
    } catch (const std::exception& error) {
        response = error_response(Error{ErrorCode::internal, "an unexpected error"}, request.request_id);
        spdlog::error("request_id={} {} {}: {}", request.request_id, request.method, printable(request.path, 200),
                      printable(error.what()));
    } catch (...) {
        response = error_response(Error{ErrorCode::internal, "an unexpected error"}, request.request_id);
    }
    response.headers["X-Request-Id"] = request.request_id;
    access_.let_pages_read(request, response);
    if (observer_) {
        observer_(request.route, request.method, response.status,
                  std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now() - began));
    }
    const auto level = response.status >= 500   ? spdlog::level::err
                       : response.status >= 400 ? spdlog::level::warn
                                                : spdlog::level::debug;
    spdlog::log(level, "request_id={} {} {} {} {}", request.request_id, printable(request.method, 20),
                printable(request.path, 200), response.status,
                response.status >= 400 ? printable(response.body, 500) : std::string{});
    return response;
}

std::vector<std::string> Router::routes() const
{
    std::vector<std::string> names;
    for (const Route& route : routes_) names.push_back(route.method + " " + route.pattern);
    return names;
}

std::map<std::string, Role> Router::roles() const
{
    std::map<std::string, Role> roles;
    for (const Route& route : routes_) roles.emplace(route.method + " " + route.pattern, route.options.role);
    return roles;
}

}  // namespace warmd::http
