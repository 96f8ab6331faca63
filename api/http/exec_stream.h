#pragma once

#include <stop_token>

#include "api/http/router.h"
#include "daemon/model/exec.h"
#include "daemon/service/exec.h"

namespace warmd::http {

/// Runs the command and answers with its whole outcome in one document, up to 1 MiB of each stream, with a
/// Server-Timing header. Blocks until the command has ended.
Response answer_exec(Exec& exec, const InstanceId& id, const ExecRequest& command, std::stop_token stop);

/// Runs the command and writes what comes of it as newline-delimited JSON frames: first `start`, which
/// names the command, last `exit` or `error`. A `keepalive` frame every five seconds finds out whether the client is
/// still there: the command of one that has gone is killed. Blocks until the command has ended.
void stream_exec(Exec& exec, const InstanceId& id, const ExecRequest& command, const StreamWriter& write,
                 std::stop_token stop);

}  // namespace warmd::http
