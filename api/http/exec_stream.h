#pragma once

#include <memory>

#include "api/http/router.h"
#include "daemon/service/service.h"

namespace warmd::http {

/// Answers a request for a command in an instance. With `Accept: application/json`: with its whole outcome in one
/// document, up to 1 MiB of each stream, and a Server-Timing header, once it has ended. Otherwise as it happens, with
/// newline-delimited JSON frames: first `start`, which names the command, last `exit` or `error`. A `keepalive` frame
/// every five seconds finds out whether the client is still there; when it is gone the command is killed. What can be
/// refused is refused before the answer begins. `keep` lives until its end.
Response respond_exec(Service& service, const InstanceId& id, const Request& request, std::shared_ptr<void> keep);

/// As `respond_exec`, in an instance that is acquired for it and destroyed after it. While one is being made,
/// `progress` frames come before `start`.
Response respond_run(Service& service, const TemplateName& name, const Request& request);

}  // namespace warmd::http
