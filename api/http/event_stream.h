#pragma once

#include "api/http/router.h"
#include "daemon/service/service.h"

namespace warmd::http {

/// Answers with what changes, as it changes, as text/event-stream: until the client is gone or the server stops. Begins
/// after the event that the header Last-Event-ID or the query parameter `after` names, otherwise with now. Throws
/// Error{invalid_argument} for what is no such id.
Response respond_events(Service& service, const Request& request);

}  // namespace warmd::http
