#include "api/contract/documents.h"
#include "api/http/routes.h"

namespace warmd::http {

void add_store_routes(Router& router, Service& service)
{
    router.get("/v1/df", [&service](const Request& request) {
        request.allow_query({});
        return Response::json(contract::encode(service.usage()));
    });
    router.post("/v1/prune",
                [&service](const Request& request) {
                    const contract::PruneOrder order = contract::decode_prune_order(request.json());
                    if (order.dry_run) {
                        request.allow_query({});
                        return Response::json(contract::encode(service.plan_prune(order.request)));
                    }
                    return start_with_body(request, service, [&] { return service.prune(order.request, request.key); });
                },
                {.keyed = true});
}

}  // namespace warmd::http
