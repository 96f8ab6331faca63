#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "api/http/router.h"
#include "daemon/service/service.h"

// One function for each family of resources, one file for each function. `service` must outlive the router.

namespace warmd::http {

void add_system_routes(Router& router, Service& service);
void add_template_routes(Router& router, Service& service);
void add_checkpoint_routes(Router& router, Service& service);
void add_instance_routes(Router& router, Service& service);
void add_pool_routes(Router& router, Service& service);
void add_operation_routes(Router& router, Service& service);
void add_store_routes(Router& router, Service& service);
void add_event_routes(Router& router, Service& service);
void add_web_routes(Router& router);

/// All of them, for those whom `access` names.
Router make_router(Service& service, AccessOptions access = {});

/// Handles a request that starts an operation and has no body: checks it, calls `submit`, and answers 202
/// with Location, or 200 if the operation ends within the time that the query parameter `wait` allows. `submit` may
/// read the query parameters in `also`. A request whose key has begun an operation before is answered with that one.
Response start(const Request& request, Service& service, const std::function<Operation()>& submit,
               std::vector<std::string_view> also = {});
/// As `start`, for a request with a body, which `submit` has read.
Response start_with_body(const Request& request, Service& service, const std::function<Operation()>& submit);

/// As `start`, for a request whose body `submit` has decoded.
Response start_with_body(const Request& request, Service& service, const std::function<Operation()>& submit);

/// The answer to a request whose key has come before is marked as such.
inline constexpr const char* kReplayed = "Idempotent-Replayed";

/// The operation as it is, after waiting for its end for `patience` at most.
Response answer_operation(Service& service, const OperationId& id, Duration patience);

/// The query parameter `wait`: 60s at most, nothing when absent.
Duration read_wait(const Request& request);

/// The query parameters of a restore: `path` (linked or archive; nothing when absent) and `force` (false when absent).
RestoreRequest read_restore(const Request& request);

/// The query parameters `limit` (1 to 1000) and `cursor` of a list.
Page read_page(const Request& request);

/// A query parameter that is true or false, and false when absent.
bool read_flag(const Request& request, const std::string& name);

/// The query parameter `all` of a list.
inline bool read_all_flag(const Request& request) { return read_flag(request, "all"); }

}  // namespace warmd::http
