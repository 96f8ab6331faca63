#include <vector>

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
        const std::vector<Checkpoint> found = service.catalog().checkpoints(page, filter);
        std::vector<contract::CheckpointHere> items;
        items.reserve(found.size());
        for (const Checkpoint& one : found) items.push_back({one, service.host().differences(one)});
        return Response::json(contract::encode_list(items, page.limit));
    });
    router.get("/v1/checkpoints/{id}", [&service](const Request& request) {
        request.allow_query({});
        const Checkpoint found = service.catalog().get(request.id<CheckpointId>("id"));
        return Response::json(contract::encode(contract::CheckpointHere{found, service.host().differences(found)}));
    });
    router.del("/v1/checkpoints/{id}", [&service](const Request& request) {
        return start(request, service, [&] { return service.delete_checkpoint(request.id<CheckpointId>("id")); });
    });
    const auto answer_pinned = [&service](const Request& request, bool pinned) {
        request.allow_query({});
        request.expect_no_body();
        const Checkpoint now = service.set_pinned(request.id<CheckpointId>("id"), pinned);
        return Response::json(contract::encode(contract::CheckpointHere{now, service.host().differences(now)}));
    };
    router.post("/v1/checkpoints/{id}/pin",
                [answer_pinned](const Request& request) { return answer_pinned(request, true); });
    router.del("/v1/checkpoints/{id}/pin",
               [answer_pinned](const Request& request) { return answer_pinned(request, false); });
    router.post(
        "/v1/checkpoints/{id}/restore",
        [&service](const Request& request) {
            return start(
                request, service,
                [&] { return service.restore(request.id<CheckpointId>("id"), read_restore(request), request.key); },
                {"path", "force"});
        },
        {.role = Role::admin, .pace = Pace::lengthy, .keyed = true});
}

}  // namespace warmd::http
