#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "api/http/peer.h"
#include "api/http/request_head.h"
#include "api/http/router.h"
#include "daemon/base/unique_fd.h"

namespace warmd::http {

struct FrontDoorOptions {
    int workers = 8;                                  // threads for brief requests
    int streams = 256;                                // lengthy requests at once, each with a thread of its own
    int connections = 4096;                           // at once; one user who is not root has at most half of them
    std::size_t waiting = 1024;                       // brief requests that wait for a worker
    std::size_t memory = 64U * 1024U * 1024U;         // bytes of requests that are not complete
    std::chrono::milliseconds complete_within{5000};  // a request, from its first byte to its last
    std::chrono::milliseconds idle{75'000};           // a connection between requests
    std::chrono::milliseconds read_within{30'000};    // a client that does not take its answer
};

/// A complete and checked request, and the way to its client.
struct Exchange {
    RequestHead head;
    std::string body;
    Peer peer;
    std::stop_token stop;  // the client is gone, or the server stops
    /// Writes bytes of the answer. False when the client is gone. Of a lengthy request it blocks while the client
    /// does not read, at most for `read_within`; of a brief one never.
    std::function<bool(std::string_view)> write;
};

/// Accepts connections and reads requests on one epoll thread, for which neither thousands of idle connections nor
/// clients that send or read slowly are more than an entry in a table. Requests that are complete go to a few
/// workers, lengthy ones to threads of their own; what is beyond the bounds gets 503 with Retry-After. A failing
/// accept never ends the service: where descriptors are short it is tried again.
class FrontDoor {
public:
    /// Answers a request. Called on many threads at once. True if the connection can be used again.
    using Serve = std::function<bool(Exchange&)>;
    using PaceOf = std::function<Pace(const RequestHead&)>;

    FrontDoor(std::vector<UniqueFd> listeners, FrontDoorOptions options, PaceOf pace_of, Serve serve);
    /// As `stop`.
    ~FrontDoor();
    FrontDoor(const FrontDoor&) = delete;
    FrontDoor& operator=(const FrontDoor&) = delete;

    /// Serves until `stop`: then takes no more connections (they wait in the listeners), answers the requests that
    /// are on their way, asks all to be brief, and returns when they have been answered.
    void run();
    /// Returns at the loop's next turn, or when it does not run. Any thread but the loop's.
    void wait_for_turn();
    /// Leaves new connections in the listeners. Any thread, any time.
    void turn_away();
    /// Returns when `run` has. Any thread but those that serve, any time.
    void stop();

private:
    class Loop;
    std::unique_ptr<Loop> loop_;
};

/// `response` as it goes over the wire when no request is behind it that a library could answer; the connection is
/// closed after it when `close`.
std::string raw_response(const Response& response, bool close);

}  // namespace warmd::http
