#include <vector>

#include "api/contract/documents.h"
#include "api/http/routes.h"
#include "api/http/tarball_response.h"

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
    router.get("/v1/checkpoints/{id}/archive",
               [&service](const Request& request) {
                   request.allow_query({});
                   return respond_tarball(service.transfer().open(request.id<CheckpointId>("id")), request);
               },
               {.role = Role::admin, .pace = Pace::lengthy});
    router.get("/v1/checkpoints/{id}/manifest",
               [&service](const Request& request) {
                   request.allow_query({});
                   Response response;
                   response.body = service.transfer().signed_manifest(request.id<CheckpointId>("id"));
                   return response;
               },
               {.role = Role::admin});
    router.post("/v1/checkpoints/import",
                [&service](const Request& request) {
                    const std::string name = contract::decode_import_request(request.json());
                    return start_with_body(request, service,
                                           [&] { return service.import_checkpoint(name, request.key); });
                },
                {.keyed = true});
    router.post("/v1/checkpoints/{id}/verify",
                [&service](const Request& request) {
                    return start(request, service,
                                 [&] {
                                     return service.verify_checkpoint(request.id<CheckpointId>("id"),
                                                                      read_flag(request, "restore"), request.key);
                                 },
                                 {"restore"});
                },
                {.role = Role::admin, .pace = Pace::lengthy, .keyed = true});
    router.post("/v1/checkpoints/{id}/push",
                [&service](const Request& request) {
                    return start(request, service,
                                 [&] { return service.push_checkpoint(request.id<CheckpointId>("id"), request.key); });
                },
                {.role = Role::admin, .pace = Pace::lengthy, .keyed = true});
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
