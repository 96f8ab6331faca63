#pragma once

#include <string>

#include "api/http/router.h"

// Conditional requests (RFC 9110, 13): what a client has seen before it need not be sent, and what has changed since it
// looked it does not change unawares.

namespace warmd::http {

/// Gives a whole JSON answer to a GET or HEAD its ETag, a hash of the body, and makes it a 304 without a body when
/// If-None-Match names that. Throws Error{invalid_argument} for a malformed header.
Response with_etag(const Request& request, Response response);

/// True when the request is a mutation with If-Match or If-None-Match.
bool is_conditional_change(const Request& request);

/// Compares If-Match, and If-None-Match, with `representation`, the answer to a GET of `path`. Throws
/// Error{precondition} when they do not hold, Error{invalid_argument} for a malformed one. Between this and the change
/// itself the resource may still change; a change that its state then forbids is a conflict.
void check_preconditions(const Request& request, const Response& representation, const std::string& path);

}  // namespace warmd::http
