#include "api/contract/documents.h"
#include "api/http/exec_stream.h"
#include "api/http/routes.h"

namespace warmd::http {

void add_pool_routes(Router& router, Service& service)
{
    router.get("/v1/pools", [&service](const Request& request) {
        request.allow_query({});
        Json items = Json::array();
        for (const PoolStatus& pool : service.pools().all()) items.push_back(contract::encode(pool));
        return Response::json({{"items", std::move(items)}, {"next_cursor", nullptr}});
    });
    router.get("/v1/pools/{template}", [&service](const Request& request) {
        request.allow_query({});
        return Response::json(contract::encode(service.pools().status(request.id<TemplateName>("template"))));
    });
    router.post("/v1/pools/{template}/leases",
                [&service](const Request& request) {
                    request.allow_query({});
                    const contract::LeaseRequest wanted = contract::decode_lease_request(request.json());
                    const auto turn = request.key ? service.keys().take(*request.key) : RequestKeys::Turn{};
                    const Lease lease = turn.subject.empty()
                                            ? service.pools().acquire(request.id<TemplateName>("template"), wanted.wait,
                                                                      wanted.ttl, wanted.cold, request.stop, {},
                                                                      request.key)
                                            : service.pools().get(LeaseId{turn.subject});
                    Response response = Response::json(contract::encode(lease), 201);
                    response.headers["Location"] = "/v1/leases/" + lease.id.value();
                    if (!turn.subject.empty()) response.headers[kReplayed] = "true";
                    return response;
                },
                {.role = Role::exec, .pace = Pace::lengthy, .keyed = true});
    router.get("/v1/leases", [&service](const Request& request) {
        request.allow_query({"limit", "cursor", "all"});
        const Page page = read_page(request);
        return Response::json(contract::encode_list(service.pools().leases(page, read_all_flag(request)), page.limit));
    });
    router.get("/v1/leases/{id}", [&service](const Request& request) {
        request.allow_query({});
        return Response::json(contract::encode(service.pools().get(request.id<LeaseId>("id"))));
    });
    router.del("/v1/leases/{id}",
               [&service](const Request& request) {
                   request.allow_query({});
                   request.expect_no_body();
                   return Response::json(contract::encode(service.pools().release(request.id<LeaseId>("id"))));
               },
               {.role = Role::exec});
    router.post("/v1/leases/{id}/heartbeat",
                [&service](const Request& request) {
                    request.allow_query({});
                    request.expect_no_body();
                    return Response::json(contract::encode(service.pools().heartbeat(request.id<LeaseId>("id"))));
                },
                {.role = Role::exec});
    router.post("/v1/leases/{id}/exec",
                [&service](const Request& request) {
                    request.allow_query({});
                    const auto id = request.id<LeaseId>("id");
                    // Shared, because the stream outlives this call.
                    const std::shared_ptr<Pools::Use> use = service.pools().use(id);
                    return respond_exec(service, service.pools().get(id).instance, request, use);
                },
                {.role = Role::exec, .pace = Pace::lengthy});
}

}  // namespace warmd::http
