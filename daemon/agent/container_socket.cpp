#include "daemon/agent/container_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <string>

#include "daemon/base/error.h"
#include "daemon/base/process.h"

namespace warmd::agent {

namespace {

Error unreachable(const AgentAddress& address, const std::string& why)
{
    return Error{ErrorCode::unavailable, "the agent of container " + address.container.value().substr(0, 12) +
                                             " cannot be reached on " + address.socket}
        .with_cause(why);
}

/// The process that made the socket listen.
int listening_process(int fd)
{
    ucred peer{};
    socklen_t size = sizeof peer;
    return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.pid : 0;
}

}  // namespace

UniqueFd ContainerSocket::connect(const AgentAddress& address)
{
    const UniqueFd file = open_in_root(engine_.running_pid(address.container), address.socket, O_PATH);
    if (!file.valid()) throw unreachable(address, system_error("open it", errno).what());
    struct stat status {};
    if (::fstat(file.get(), &status) != 0 || !S_ISSOCK(status.st_mode)) throw unreachable(address, "it is no socket");

    // Through the descriptor: between opening and connecting the path may become another file.
    const std::string path = "/proc/self/fd/" + std::to_string(file.get());
    sockaddr_un name{.sun_family = AF_UNIX};
    path.copy(name.sun_path, sizeof name.sun_path - 1);
    // Not to block: what listens may never accept, and its queue be full.
    UniqueFd socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!socket.valid()) throw system_error("make a socket", errno);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0) {
        throw unreachable(address, system_error("connect", errno).what());
    }
    if (!in_control_group(listening_process(socket.get()), address.container.value())) {
        throw Error{ErrorCode::engine_failed, "what listens on " + address.socket + " is not in container " +
                                                  address.container.value().substr(0, 12)}
            .with_hint("the container may be hostile: look at what it runs and remove it");
    }
    return socket;
}

}  // namespace warmd::agent
