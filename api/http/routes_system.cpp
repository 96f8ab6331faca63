#include "api/contract/documents.h"
#include "api/http/openapi_document.h"
#include "api/http/routes.h"
#include "warmd_version.h"

namespace warmd::http {

void add_system_routes(Router& router, Service& service)
{
    // Alive: needs nothing that could fail.
    router.get("/healthz",
               [](const Request& request) {
                   request.allow_query({});
                   return Response::json({{"status", "ok"}});
               },
               {.role = Role::none});
    // Able to do its work: Podman answers, its runtime has CRIU, the catalog can be read.
    router.get("/readyz",
               [&service](const Request& request) {
                   request.allow_query({});
                   service.check_ready();
                   return Response::json({{"status", "ok"}});
               },
               {.role = Role::read, .pace = Pace::lengthy});
    router.get("/openapi.json",
               [](const Request& request) {
                   request.allow_query({});
                   Response response;
                   response.body = kOpenApiDocument;
                   return response;
               },
               {.role = Role::none});
    router.get("/v1/status", [&service](const Request& request) {
        request.allow_query({});
        const ServiceStatus status = service.status();
        return Response::json(
            {{"version", WARMD_VERSION},
             {"started_at", format_time(status.started_at)},
             {"recovered", status.recovered},
             {"templates", status.templates},
             {"operations", {{"active", status.operations_active}}},
             {"instances", {{"live", status.instances}}},
             {"checkpoints", {{"available", status.checkpoints_available}, {"bytes", status.checkpoint_bytes}}},
             {"store", {{"free_bytes", status.store_free_bytes}}}});
    });
}

}  // namespace warmd::http
