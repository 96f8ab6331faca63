#pragma once

#include <memory>
#include <string>

#include "api/http/router.h"

namespace warmd::http {

struct ServerOptions {
    std::string socket_path;
    std::string socket_group;  // the socket is 0660 and owned by it; when there is no such group, root's alone
    int threads = 64;          // requests at once, those that wait or stream included
};

/// Serves a router on a Unix socket with cpp-httplib. This file is the only one of the daemon that knows
/// that library's server.
class Server {
public:
    /// Binds: when this returns, clients can connect. Removes a stale socket; that no other daemon owns it
    /// is the caller's to know. Call while no other thread makes files (it sets the umask for a moment).
    /// Throws Error{unavailable}.
    Server(const ServerOptions& options, Router router);
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    /// Serves until `stop`.
    void run();
    /// Ends `run`, waits for requests in progress, ends streams. Any thread, any time.
    void stop();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace warmd::http
