#pragma once

#include <functional>
#include <map>
#include <stop_token>
#include <string>

#include "daemon/ports/container_engine.h"

namespace warmd::podman {

struct HttpCall {
    std::string method = "GET";
    std::string path{};  // with the query, encoded
    std::string body{};
    std::string content_type = "application/json";
    ByteSource upload{};                          // instead of `body`: sent chunked as application/x-tar
    Duration timeout = std::chrono::seconds{30};  // for the whole call
    std::stop_token stop{};
};

struct HttpReply {
    int status = 0;
    std::string body;
    std::string libpod_version;  // the header Libpod-API-Version
};

/// HTTP over a Unix socket. Thread-safe: every call has a connection of its own. Throws Error: `unavailable`
/// (nobody listens, the connection broke or the reply is not HTTP), `timeout`, `cancelled`, or what `upload`
/// and the handlers of `stream` throw. An HTTP status is no error here.
///
/// cpp-httplib is told what it would get wrong with Podman: it would send the socket's path as Host, which
/// Podman answers with 400, and would give up after 5 s without a byte.
class UnixHttp {
public:
    explicit UnixHttp(std::string socket_path);

    /// Replies of more than 16 MiB are `unavailable`.
    [[nodiscard]] HttpReply call(const HttpCall& call) const;

    /// As `call`, but the body of a 2xx reply goes to `sink` piece by piece. A chunked body without its end
    /// is `unavailable`; one without a length ends when the connection does.
    HttpReply stream(const HttpCall& call, const ByteSink& sink) const;

private:
    std::string socket_path_;
};

}  // namespace warmd::podman
