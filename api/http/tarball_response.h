#pragma once

#include "api/http/router.h"
#include "daemon/service/transfer.h"

namespace warmd::http {

/// Answers with a checkpoint's tarball, or with the one part of it that `Range` asks for (RFC 9110: several parts,
/// other units and a part of another tarball than `If-Range` means are answered with all of it). The answer's ETag is
/// the tarball's SHA-256. A file that cannot be read to its end breaks the connection.
Response respond_tarball(Outgoing outgoing, const Request& request);

}  // namespace warmd::http
