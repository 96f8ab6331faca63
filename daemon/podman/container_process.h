#pragma once

#include <string>

#include "daemon/base/id.h"

// What the host's /proc tells of a container's processes: Podman's API has nothing as cheap or, for killing
// an exec session (below 5.6 its "SIGKILL" is a second SIGTERM), nothing that works. Needs the host's PID
// namespace and root.

namespace warmd::podman {

/// True when process `pid` runs in the container's control group: guards against a reused pid.
bool belongs_to(int pid, const ContainerId& container);

/// True when `path` exists in the root of process `pid`. Links are resolved inside that root: they are the
/// container's to choose. Throws Error{conflict} when the process is gone.
bool file_exists_in_root(int pid, const std::string& path);

/// How many TCP sockets in the network namespace of process `pid` are in any state but LISTEN, IPv4 and
/// IPv6. Throws Error{conflict} when the process is gone.
int open_tcp_connections_of(int pid);

/// Kills process `pid` of `container`, its descendants and its session, with SIGKILL. Returns when a scan
/// finds none of them any more, or after a few rounds against processes that fork faster. Does nothing if
/// `pid` is not (any more) in the container.
void kill_process_tree(int pid, const ContainerId& container);

}  // namespace warmd::podman
