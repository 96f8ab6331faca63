#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "api/contract/documents.h"
#include "api/http/openapi_document.h"
#include "api/http/routes.h"
#include "warmd_version.h"

namespace warmd::http {

namespace {

/// So that the answers of an idle daemon are equal, whatever else writes a little to its disk.
constexpr std::uint64_t kFreeStep = std::uint64_t{16} << 20U;

Json or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Json encode(const ServiceStatus& status)
{
    Json pools = Json::array();
    for (const PoolStatus& pool : status.pools) pools.push_back(contract::encode(pool));
    return {{"version", WARMD_VERSION},
            {"started_at", format_time(status.started_at)},
            {"recovered", status.recovered},
            {"priming", contract::encode(status.priming)},
            {"templates", status.templates},
            {"operations", {{"active", status.operations_active}}},
            {"instances", {{"live", status.instances}}},
            {"leases", {{"active", status.leases_active}}},
            {"pools", std::move(pools)},
            {"checkpoints", {{"available", status.checkpoints_available}, {"bytes", status.checkpoint_bytes}}},
            {"catalog",
             {{"rebuilt_checkpoints", status.rebuild.checkpoints}, {"damaged_file", or_null(status.rebuild.damaged)}}},
            {"store",
             {{"free_bytes", status.store.free_bytes / kFreeStep * kFreeStep},
              {"total_bytes", status.store.total_bytes},
              {"unpacked_bytes", status.store.unpacked_bytes}}},
            {"last_event", status.last_event}};
}

Response answer_readiness(const std::vector<ReadinessCheck>& checks)
{
    Json list = Json::array();
    bool ready = true;
    for (const ReadinessCheck& check : checks) {
        ready = ready && !check.error;
        const std::string cause = check.error && !check.error->cause().empty() ? ": " + check.error->cause() : "";
        list.push_back({{"name", check.name},
                        {"ok", !check.error},
                        {"reason", check.error ? check.error->what() + cause : ""},
                        {"hint", check.error ? check.error->hint() : ""}});
    }
    Response response = Response::json({{"status", ready ? "ok" : "unready"}, {"checks", std::move(list)}},
                                       ready ? 200 : 503);
    if (!ready) response.headers["Retry-After"] = "1";
    return response;
}

}  // namespace

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
                   return answer_readiness(service.readiness());
               },
               {.role = Role::read, .pace = Pace::lengthy});
    // For everybody, so that whoever is refused elsewhere can find out as whom.
    router.get("/v1/whoami",
               [](const Request& request) {
                   request.allow_query({});
                   return Response::json({{"role", to_string(request.caller.role)},
                                          {"name", describe_caller(request)},
                                          {"via", request.peer.via == Peer::Via::tcp ? "tcp" : "socket"}});
               },
               {.role = Role::none});
    router.get("/openapi.json",
               [](const Request& request) {
                   request.allow_query({});
                   Response response;
                   response.body = kOpenApiDocument;
                   return response;
               },
               {.role = Role::none});
    router.get("/metrics", [&service](const Request& request) {
        request.allow_query({});
        Response response;
        response.content_type = "text/plain; version=0.0.4; charset=utf-8";
        response.body = service.metrics().text(service.levels(WARMD_VERSION));
        return response;
    });
    // For admins: it writes to the disk and runs a container.
    router.get("/v1/doctor",
               [&service](const Request& request) {
                   request.allow_query({});
                   return Response::json(contract::encode(service.doctor(request.stop)));
               },
               {.role = Role::admin, .pace = Pace::lengthy});
    router.get("/v1/status", [&service](const Request& request) {
        request.allow_query({});
        return Response::json(encode(service.status()));
    });
}

}  // namespace warmd::http
