#include "api/contract/documents.h"
#include "api/http/exec_stream.h"
#include "api/http/routes.h"

namespace warmd::http {

void add_template_routes(Router& router, Service& service)
{
    router.get("/v1/templates", [&service](const Request& request) {
        request.allow_query({});
        Json items = Json::array();
        for (const auto& [name, entry] : service.templates().all()) items.push_back(contract::encode(entry));
        return Response::json({{"items", std::move(items)}, {"next_cursor", nullptr}});
    });
    router.get("/v1/templates/{template}", [&service](const Request& request) {
        request.allow_query({});
        return Response::json(contract::encode(service.templates().get(request.id<TemplateName>("template"))));
    });
    router.post("/v1/templates/{template}/warm",
                [&service](const Request& request) {
                    return start(request, service,
                                 [&] { return service.warm(request.id<TemplateName>("template"), request.key); });
                },
                {.keyed = true});
    router.post("/v1/templates/{template}/checkpoints",
                [&service](const Request& request) {
                    return start(request, service,
                                 [&] { return service.checkpoint(request.id<TemplateName>("template"), request.key); });
                },
                {.keyed = true});
    router.post("/v1/templates/{template}/pull",
                [&service](const Request& request) {
                    return start(request, service, [&] {
                        return service.pull_checkpoint(request.id<TemplateName>("template"), request.key);
                    });
                },
                {.role = Role::admin, .pace = Pace::lengthy, .keyed = true});
    router.post("/v1/templates/{template}/restore",
                [&service](const Request& request) {
                    return start(request, service,
                                 [&] {
                                     return service.restore_newest(request.id<TemplateName>("template"),
                                                                   read_restore(request), request.key);
                                 },
                                 {"path", "force"});
                },
                {.role = Role::admin, .pace = Pace::lengthy, .keyed = true});
    router.post("/v1/templates/{template}/run",
                [&service](const Request& request) {
                    request.allow_query({});
                    return respond_run(service, request.id<TemplateName>("template"), request);
                },
                {.role = Role::exec, .pace = Pace::lengthy});
}

}  // namespace warmd::http
