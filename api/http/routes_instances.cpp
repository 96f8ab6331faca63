#include <charconv>
#include <utility>

#include "api/contract/documents.h"
#include "api/http/exec_stream.h"
#include "api/http/routes.h"
#include "daemon/base/error.h"

namespace warmd::http {

namespace {

int read_lines(const Request& request)
{
    const auto lines = request.query.find("lines");
    int count = 100;
    if (lines == request.query.end()) return count;
    const std::string& text = lines->second;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (error != std::errc{} || end != text.data() + text.size() || count < 1 || count > 10'000) {
        throw Error{ErrorCode::invalid_argument, "lines must be a number from 1 to 10000"}.with_field("lines");
    }
    return count;
}

}  // namespace

void add_instance_routes(Router& router, Service& service)
{
    router.get("/v1/instances", [&service](const Request& request) {
        request.allow_query({"limit", "cursor", "all"});
        const Page page = read_page(request);
        return Response::json(
            contract::encode_list(service.catalog().instances(page, read_all_flag(request)), page.limit));
    });
    router.get("/v1/instances/{id}", [&service](const Request& request) {
        request.allow_query({});
        return Response::json(contract::encode(service.catalog().get(request.id<InstanceId>("id"))));
    });
    router.del("/v1/instances/{id}", [&service](const Request& request) {
        return start(request, service, [&] { return service.terminate(request.id<InstanceId>("id")); });
    });
    router.post("/v1/instances/{id}/checkpoint",
                [&service](const Request& request) {
                    return start(request, service,
                                 [&] { return service.checkpoint(request.id<InstanceId>("id"), request.key); });
                },
                {.keyed = true});
    router.get("/v1/instances/{id}/logs",
               [&service](const Request& request) {
                   request.allow_query({"lines"});
                   Response response;
                   response.content_type = "text/plain";
                   response.body = service.logs(request.id<InstanceId>("id"), read_lines(request));
                   return response;
               },
               {.role = Role::read, .pace = Pace::lengthy});
    router.post("/v1/instances/{id}/exec",
                [&service](const Request& request) {
                    request.allow_query({});
                    const auto id = request.id<InstanceId>("id");
                    return respond_exec(service, id, request, nullptr);
                },
                {.role = Role::exec, .pace = Pace::lengthy});
    router.post("/v1/instances/{id}/execs/{exec}/signal",
                [&service](const Request& request) {
                    request.allow_query({});
                    const int number = contract::decode_signal_request(request.json());
                    service.exec().signal(request.id<InstanceId>("id"), request.id<ExecId>("exec"), number);
                    return Response::json(Json{{"signal", number}});
                },
                {.role = Role::exec});
}

}  // namespace warmd::http
