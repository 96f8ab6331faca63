#pragma once

#include <memory>
#include <vector>

#include "api/http/front_door.h"
#include "api/http/router.h"
#include "daemon/base/unique_fd.h"

namespace warmd::http {

/// Serves a router: the front door takes connections and complete requests in, cpp-httplib parses and answers them.
/// This file is the only one of the daemon that knows that library's server.
class Server {
public:
    /// `listeners`: see open_listeners.
    Server(std::vector<UniqueFd> listeners, const FrontDoorOptions& options, Router router);
    /// As `stop`.
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    /// Serves until `stop`.
    void run();
    /// As FrontDoor::wait_for_turn.
    void wait_for_turn();
    /// Takes no more connections. With systemd's socket they wait there for the next warmd, instead of being told that
    /// this one stops. Any thread, any time.
    void turn_away();
    /// Ends `run` once the requests in progress, which are asked to stop, have been answered, and returns when it has.
    /// Any thread, any time.
    void stop();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace warmd::http
