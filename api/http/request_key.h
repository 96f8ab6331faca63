#pragma once

#include <optional>
#include <string>

#include "api/http/router.h"
#include "daemon/model/request_key.h"

namespace warmd::http {

/// Who asks, in words that stay the same from one connection to the next: keys are each caller's own.
std::string caller_name(const Request& request);

/// The header Idempotency-Key, 1 to 255 printable characters, bare or quoted as a string of RFC 8941. Nothing when it
/// is absent, or `request` only reads. Throws Error{invalid_argument} for another value, and unless `accepted`: a
/// client that counts on a key must not find out too late that it was ignored.
std::optional<RequestKey> read_key(const Request& request, bool accepted);

}  // namespace warmd::http
