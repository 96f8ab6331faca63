#pragma once

#include <string>
#include <vector>

#include "daemon/base/unique_fd.h"

namespace warmd::http {

struct ListenerOptions {
    std::string socket_path;
    std::string socket_group{};  // owns the socket, 0660; when there is no such group, root's alone
    std::string tcp{};           // "127.0.0.1:8642"; empty: none
    bool for_everybody = false;  // 0666: users outside the group have roles, too, and every request is checked
};

/// The sockets to serve on: those that systemd passed, in place of the Unix socket (and of the TCP one, if there is
/// one among them), otherwise bound here. `for_everybody` holds for systemd's Unix socket, too. Clients can connect
/// when this returns. Throws Error{unavailable}.
std::vector<UniqueFd> open_listeners(const ListenerOptions& options);

/// Binds a Unix socket, removing a stale one: that no other daemon owns it is the caller's to know. It is 0660
/// and the group's; when there is no such group, root's alone. Call while no other thread makes files (it sets
/// the umask for a moment). Throws Error{unavailable} that names api.socket.
UniqueFd listen_on_socket(const std::string& path, const std::string& group);

/// Binds `address`, "127.0.0.1:8642" or "[::1]:8642" (port 0: any). Throws Error{unavailable} that names api.tcp.
UniqueFd listen_on_tcp(const std::string& address);

/// The "ADDRESS:PORT" that a TCP listener is bound to.
std::string bound_address(const UniqueFd& listener);

/// The listening sockets that systemd made for this process (sd_listen_fds(3)); none without socket activation.
/// They are of SOCK_STREAM, Unix or TCP. Throws Error{invalid_argument} for another kind.
std::vector<UniqueFd> take_activated_listeners();

}  // namespace warmd::http
