#include "api/contract/documents.h"
#include "api/http/routes.h"

namespace warmd::http {

void add_checkpoint_routes(Router& router, Service& service)
{
    router.get("/v1/checkpoints", [&service](const Request& request) {
        request.allow_query({"limit", "cursor", "template"});
        const Page page = read_page(request);
        const auto name = request.query.find("template");
        const TemplateName filter{name == request.query.end() ? std::string{} : name->second};
        return Response::json(contract::encode_list(service.catalog().checkpoints(page, filter), page.limit));
    });
    router.get("/v1/checkpoints/{id}", [&service](const Request& request) {
        request.allow_query({});
        return Response::json(contract::encode(service.catalog().get(request.id<CheckpointId>("id"))));
    });
    router.del("/v1/checkpoints/{id}", [&service](const Request& request) {
        return start(request, service, [&] { return service.delete_checkpoint(request.id<CheckpointId>("id")); });
    });
    router.post(
        "/v1/checkpoints/{id}/restore",
        [&service](const Request& request) {
            return start(
                request, service,
                [&] { return service.restore(request.id<CheckpointId>("id"), read_path(request), request.key); },
                {"path"});
        },
        {.keyed = true});
}

}  // namespace warmd::http
