#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace warmd::http {

/// Who is at the other end of a connection, as far as the kernel knows.
struct Peer {
    enum class Via { socket, tcp };
    Via via = Via::socket;
    // Of the Unix socket: SO_PEERCRED and SO_PEERGROUPS at the time of connecting (unix(7)).
    uid_t uid = 0;
    gid_t gid = 0;
    std::vector<gid_t> groups{};
    // Of TCP: the address it connects from.
    std::string address{};
};

}  // namespace warmd::http
