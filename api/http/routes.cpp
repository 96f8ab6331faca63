#include "api/http/routes.h"

#include <charconv>
#include <utility>

#include "api/contract/documents.h"
#include "daemon/base/error.h"

namespace warmd::http {

Duration read_wait(const Request& request)
{
    const auto wait = request.query.find("wait");
    if (wait == request.query.end()) return Duration::zero();
    try {
        const Duration patience = parse_duration(wait->second);
        if (patience <= std::chrono::minutes{1}) return patience;
        throw Error{ErrorCode::invalid_argument, "wait must be 60s at most"}.with_hint("ask again when it is over");
    } catch (Error& error) {
        throw std::move(error).with_field("wait");
    }
}

Router make_router(Service& service, AccessOptions access)
{
    Router router{std::move(access)};
    add_system_routes(router, service);
    add_template_routes(router, service);
    add_checkpoint_routes(router, service);
    add_instance_routes(router, service);
    add_pool_routes(router, service);
    add_operation_routes(router, service);
    add_store_routes(router, service);
    add_event_routes(router, service);
    add_web_routes(router);
    router.observe([&service](const std::string& route, const std::string& method, int status, Duration elapsed) {
        service.metrics().request_answered(route, method, status, elapsed);
    });
    return router;
}

Response answer_operation(Service& service, const OperationId& id, Duration patience)
{
    const Operation now = patience > Duration::zero() ? service.operations().wait(id, patience)
                                                      : service.operations().get(id);
    Response response = Response::json(contract::encode(now), is_final(now.state) ? 200 : 202);
    response.headers["Location"] = "/v1/operations/" + id.value();
    if (!is_final(now.state)) response.headers["Retry-After"] = "1";
    return response;
}

namespace {

/// Submits, unless the request's key has come before, and answers with the operation.
Response begin(const Request& request, Service& service, const std::function<Operation()>& submit)
{
    const Duration patience = read_wait(request);
    if (!request.key) return answer_operation(service, submit().id, patience);
    RequestKeys::Turn turn = service.keys().take(*request.key);
    if (turn.claim) {
        const OperationId id = submit().id;
        turn.claim.reset();  // it is recorded: a repeat need not wait for its end
        return answer_operation(service, id, patience);
    }
    Response response = answer_operation(service, OperationId{turn.subject}, patience);
    response.headers[kReplayed] = "true";
    return response;
}

}  // namespace

Response start(const Request& request, Service& service, const std::function<Operation()>& submit,
               std::vector<std::string_view> also)
{
    // All that can be wrong with the request is found before anything is begun.
    also.emplace_back("wait");
    request.allow_query(also);
    request.expect_no_body();
    return begin(request, service, submit);
}

Response start_with_body(const Request& request, Service& service, const std::function<Operation()>& submit)
{
    request.allow_query({"wait"});
    return begin(request, service, submit);
}

RestoreRequest read_restore(const Request& request)
{
    RestoreRequest how{.force = read_flag(request, "force")};
    const auto text = request.query.find("path");
    if (text == request.query.end()) return how;
    how.path = instance_path_from_string(text->second);
    if (how.path == InstancePath::linked || how.path == InstancePath::archive) return how;
    throw Error{ErrorCode::invalid_argument, "path must be linked or archive"}.with_field("path").with_hint(
        "without it warmd takes the fastest that works");
}

Page read_page(const Request& request)
{
    Page page;
    if (const auto limit = request.query.find("limit"); limit != request.query.end()) {
        const std::string& text = limit->second;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), page.limit);
        if (error != std::errc{} || end != text.data() + text.size() || page.limit < 1 || page.limit > 1000) {
            throw Error{ErrorCode::invalid_argument, "limit must be a number from 1 to 1000"}.with_field("limit");
        }
    }
    if (const auto cursor = request.query.find("cursor"); cursor != request.query.end()) {
        if (!is_valid_name(cursor->second)) {
            throw Error{ErrorCode::invalid_argument, "cursor is not one that a list gave out"}.with_field("cursor");
        }
        page.before = cursor->second;
    }
    return page;
}

bool read_flag(const Request& request, const std::string& name)
{
    const auto flag = request.query.find(name);
    if (flag == request.query.end() || flag->second == "false") return false;
    if (flag->second == "true") return true;
    throw Error{ErrorCode::invalid_argument, name + " must be true or false"}.with_field(name);
}

}  // namespace warmd::http
