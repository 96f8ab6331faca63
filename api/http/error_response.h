#pragma once

#include <string>

#include "api/http/router.h"
#include "daemon/base/error.h"

namespace warmd::http {

/// The only place that knows which error is which HTTP status.
int http_status(ErrorCode code);

/// A problem document (RFC 9457), with Retry-After where trying again may help and
/// WWW-Authenticate where a token may.
Response error_response(const Error& error, const std::string& request_id);
/// With another status than the error's own.
Response error_response(const Error& error, const std::string& request_id, int status);

}  // namespace warmd::http
