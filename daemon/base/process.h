#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/base/unique_fd.h"

// What /proc tells of processes, and what can be done with it. Needs root for processes of others.

namespace warmd {

/// Different after each boot of this machine.
const std::string& boot_id();

/// True when the path of the process's control group contains `fragment`. False for a process that is gone.
bool in_control_group(int pid, std::string_view fragment);

/// Freezes or thaws the control group (v2) of process `pid` with all that is in it. Returns when the kernel has been
/// told. Throws Error{conflict} when the process is gone.
void set_control_group_frozen(int pid, bool frozen);

/// Bytes of memory in the control group (v2) of process `pid` that no file holds: anonymous, shared and swapped out.
/// Nothing where the kernel does not count them. Throws Error{conflict} when the process is gone.
std::optional<std::uint64_t> memory_of_control_group(int pid);

/// Opens `path` as process `pid` sees it: links are resolved inside its root, which they cannot leave. `flags`
/// as for open(2). Invalid, with errno set, when there is no such file. Throws Error{conflict} when the process
/// is gone.
UniqueFd open_in_root(int pid, const std::string& path, int flags);

/// How many TCP sockets in the network namespace of process `pid` are in any state but LISTEN, IPv4 and IPv6.
/// Throws Error{conflict} when the process is gone.
int open_tcp_connections_of(int pid);

/// The options of the file system that process `pid` has as its root, as /proc/PID/mountinfo ends the line. Empty when
/// it cannot be told. Throws Error{conflict} when the process is gone.
std::string root_options_of(int pid);

/// Kills process `pid`, its descendants and its session with SIGKILL: those for which `may_kill` is true, asked
/// while a descriptor keeps the pid from becoming another process. Returns when a scan finds none of them any
/// more, or after a few rounds against processes that fork faster. Does nothing when `pid` is 0.
void kill_process_tree(int pid, const std::function<bool(int)>& may_kill);

}  // namespace warmd
