#include "api/http/event_stream.h"
#include "api/http/routes.h"

namespace warmd::http {

void add_event_routes(Router& router, Service& service)
{
    router.get("/v1/events", [&service](const Request& request) { return respond_events(service, request); },
               {.role = Role::read, .pace = Pace::lengthy});
}

}  // namespace warmd::http
