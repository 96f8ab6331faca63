#include "api/http/error_response.h"

#include "api/contract/documents.h"

namespace warmd::http {

int http_status(ErrorCode code)
{
    switch (code) {
    case ErrorCode::invalid_argument: return 400;
    case ErrorCode::unauthenticated: return 401;
    case ErrorCode::forbidden: return 403;
    case ErrorCode::untrusted: return 403;
    case ErrorCode::not_found: return 404;
    case ErrorCode::method_not_allowed: return 405;
    case ErrorCode::conflict: return 409;
    case ErrorCode::cancelled: return 409;
    case ErrorCode::precondition: return 412;
    case ErrorCode::too_large: return 413;
    case ErrorCode::unsupported_media: return 415;
    case ErrorCode::misdirected: return 421;
    case ErrorCode::key_reused: return 422;
    case ErrorCode::incompatible_host: return 422;
    case ErrorCode::invalid_archive: return 422;
    case ErrorCode::internal: return 500;
    case ErrorCode::corrupt: return 500;
    case ErrorCode::interrupted: return 500;
    case ErrorCode::engine_failed: return 502;
    case ErrorCode::not_ready: return 502;
    case ErrorCode::busy: return 503;
    case ErrorCode::unavailable: return 503;
    case ErrorCode::timeout: return 504;
    case ErrorCode::no_space: return 507;
    }
    return 500;
}

Response error_response(const Error& error, const std::string& request_id)
{
    return error_response(error, request_id, http_status(error.code()));
}

Response error_response(const Error& error, const std::string& request_id, int status)
{
    Response response = Response::json(contract::encode_problem(error, status, request_id), status);
    response.content_type = "application/problem+json";
    response.headers["X-Request-Id"] = request_id;
    if (status == 401) response.headers["WWW-Authenticate"] = "Bearer realm=\"warmd\"";
    if (status == 503) response.headers["Retry-After"] = "2";
    // A request with the same key is being done (RequestKeys).
    if (error.code() == ErrorCode::conflict && error.field() == "Idempotency-Key")
        response.headers["Retry-After"] = "1";
    return response;
}

}  // namespace warmd::http
