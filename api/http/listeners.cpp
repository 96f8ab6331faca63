#include "api/http/listeners.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "daemon/base/error.h"

namespace warmd::http {

namespace {

constexpr int kKind = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

/// Owned by root and the group, for both to use. Without the group root alone can connect.
void hand_to_group(const std::string& path, const std::string& group_name)
{
    // getgrnam is not thread-safe; nobody else in this process asks for groups at this time.
    if (group_name.empty()) return;
    const struct group* const group = ::getgrnam(group_name.c_str());
    if (group == nullptr) {
        spdlog::warn("there is no group \"{}\": only root can use {}", group_name, path);
        return;
    }
    if (::chown(path.c_str(), 0, group->gr_gid) != 0) throw system_error("give " + path + " to its group", errno);
}

/// Whatever umask or systemd made of it.
void let_everybody_connect(const UniqueFd& listener)
{
    sockaddr_un address{};
    socklen_t size = sizeof(address);
    // NOLINTNEXTLINE(*-reinterpret-cast): the way of the sockets API
    if (::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
        throw system_error("ask for the path of a listener", errno);
    }
    // An abstract socket has no file, and no mode that would keep anybody away.
    if (address.sun_path[0] == '\0') return;
    const std::string path{static_cast<const char*>(address.sun_path),
                           ::strnlen(static_cast<const char*>(address.sun_path), sizeof(address.sun_path))};
    if (::chmod(path.c_str(), 0666) != 0) {
        throw system_error("let everybody connect to " + path, errno, ErrorCode::unavailable).with_field("api.socket");
    }
}

struct AddressList {
    addrinfo* first = nullptr;
    AddressList() = default;
    ~AddressList()
    {
        if (first != nullptr) ::freeaddrinfo(first);
    }
    AddressList(const AddressList&) = delete;
    AddressList& operator=(const AddressList&) = delete;
};

Error cannot_listen(const std::string& address, int error)
{
    Error failed = system_error("listen on " + address, error, ErrorCode::unavailable).with_field("api.tcp");
    if (error != EAFNOSUPPORT) return failed;
    // Of what the sandbox in warmd.service leaves, only sockets that are there already may be of the internet.
    return std::move(failed).with_hint("let systemd open it: ListenStream=" + address +
                                       " in a drop-in of warmd.socket (docs/sandbox.md)");
}

}  // namespace

UniqueFd listen_on_socket(const std::string& path, const std::string& group)
{
    const auto failed = [&path](int error) {
        return system_error("listen on " + path, error, ErrorCode::unavailable)
            .with_field("api.socket")
            .with_hint("the directory must exist, and the path be shorter than 108 characters");
    };
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof(address.sun_path)) throw failed(ENAMETOOLONG);
    std::memcpy(address.sun_path, path.data(), path.size());
    UniqueFd listener{::socket(AF_UNIX, kKind, 0)};
    if (!listener.valid()) throw failed(errno);
    ::unlink(path.c_str());
    const mode_t previous = ::umask(0117);  // 0660, from the moment the socket exists
    // NOLINTNEXTLINE(*-reinterpret-cast): the way of the sockets API
    const int bound = ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    const int error = errno;
    ::umask(previous);
    if (bound != 0) throw failed(error);
    if (::listen(listener.get(), SOMAXCONN) != 0) throw failed(errno);
    hand_to_group(path, group);
    return listener;
}

UniqueFd listen_on_tcp(const std::string& address)
{
    const std::size_t colon = address.rfind(':');
    if (colon == std::string::npos) throw cannot_listen(address, EINVAL);
    std::string host = address.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
    hints.ai_socktype = SOCK_STREAM;
    AddressList found;
    if (::getaddrinfo(host.c_str(), address.substr(colon + 1).c_str(), &hints, &found.first) != 0) {
        throw cannot_listen(address, EINVAL);
    }
    UniqueFd listener{::socket(found.first->ai_family, kKind, 0)};
    if (!listener.valid()) throw cannot_listen(address, errno);
    const int yes = 1;
    ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (::bind(listener.get(), found.first->ai_addr, found.first->ai_addrlen) != 0 ||
        ::listen(listener.get(), SOMAXCONN) != 0) {
        throw cannot_listen(address, errno);
    }
    return listener;
}

std::string bound_address(const UniqueFd& listener)
{
    sockaddr_storage address{};
    socklen_t size = sizeof(address);
    std::array<char, NI_MAXHOST> host{};
    std::array<char, NI_MAXSERV> port{};
    // NOLINTNEXTLINE(*-reinterpret-cast): the way of the sockets API
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    if (::getsockname(listener.get(), generic, &size) != 0 ||
        ::getnameinfo(generic, size, host.data(), host.size(), port.data(), port.size(),
                      NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        throw system_error("ask for the address of a listener", errno);
    }
    const bool v6 = address.ss_family == AF_INET6;
    return (v6 ? "[" : "") + std::string{host.data()} + (v6 ? "]:" : ":") + port.data();
}

std::vector<UniqueFd> take_activated_listeners()
{
    const int count = sd_listen_fds(1);
    if (count < 0) throw system_error("take the sockets of systemd", -count);
    std::vector<UniqueFd> listeners;
    for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + count; ++fd) {
        listeners.emplace_back(fd);
        if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0) {
            throw Error{ErrorCode::invalid_argument, "systemd passed a descriptor that is no listening stream socket"}
                .with_hint("warmd.socket may have ListenStream= alone");
        }
        ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
    }
    return listeners;
}

std::vector<UniqueFd> open_listeners(const ListenerOptions& options)
{
    std::vector<UniqueFd> listeners = take_activated_listeners();
    const auto has = [&listeners](int family) {
        return std::any_of(listeners.begin(), listeners.end(), [family](const UniqueFd& listener) {
            return sd_is_socket(listener.get(), family, SOCK_STREAM, 1) > 0;
        });
    };
    if (!has(AF_UNIX)) listeners.push_back(listen_on_socket(options.socket_path, options.socket_group));
    for (const UniqueFd& listener : listeners) {
        if (options.for_everybody && sd_is_socket(listener.get(), AF_UNIX, SOCK_STREAM, 1) > 0) {
            let_everybody_connect(listener);
        }
    }
    if (!options.tcp.empty() && !has(AF_INET) && !has(AF_INET6)) listeners.push_back(listen_on_tcp(options.tcp));
    return listeners;
}

}  // namespace warmd::http
