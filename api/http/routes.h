#pragma once

#include "api/http/router.h"
#include "daemon/service/service.h"

// One function for each family of resources, one file for each function. `service` must outlive the router.

namespace warmd::http {

void add_system_routes(Router& router, Service& service);
void add_template_routes(Router& router, Service& service);
void add_checkpoint_routes(Router& router, Service& service);
void add_instance_routes(Router& router, Service& service);
void add_operation_routes(Router& router, Service& service);

/// All of them.
Router make_router(Service& service);

/// The answer to a request that started `operation`: 202 with Location, or 200 if it ends within the time
/// that the query parameter `wait` allows.
Response accepted(const Request& request, Service& service, const Operation& operation);

/// The query parameters `limit` (1 to 1000) and `cursor` of a list.
Page read_page(const Request& request);

}  // namespace warmd::http
