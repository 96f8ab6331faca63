#include "daemon/podman/container_process.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <vector>

#include "daemon/base/error.h"
#include "daemon/base/unique_fd.h"

namespace warmd::podman {

namespace {

std::string proc_path(int pid, const char* name) { return "/proc/" + std::to_string(pid) + "/" + name; }

std::string read_file(const std::string& path)
{
    std::ifstream file{path};
    return {std::istreambuf_iterator<char>{file}, {}};
}

Error gone(int pid)
{
    return Error{ErrorCode::conflict, "the container's process " + std::to_string(pid) + " has ended"};
}

struct ProcessStat {
    int pid = 0;
    char state = '?';
    int parent = 0;
    int session = 0;
};

std::optional<ProcessStat> read_stat(int pid)
{
    const std::string text = read_file(proc_path(pid, "stat"));
    // The command's name stands in parentheses and may hold anything, parentheses included.
    const std::size_t end = text.rfind(')');
    if (end == std::string::npos) return std::nullopt;
    ProcessStat stat{.pid = pid};
    int group = 0;
    std::istringstream fields{text.substr(end + 1)};
    fields >> stat.state >> stat.parent >> group >> stat.session;
    return fields ? std::optional{stat} : std::nullopt;
}

std::vector<ProcessStat> all_processes()
{
    std::vector<ProcessStat> processes;
    const std::unique_ptr<DIR, int (*)(DIR*)> directory{::opendir("/proc"), &::closedir};
    if (!directory) throw system_error("list /proc", errno);
    while (const dirent* const entry = ::readdir(directory.get())) {
        const std::string_view name{entry->d_name};
        int pid = 0;
        const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
        if (error != std::errc{} || end != name.data() + name.size()) continue;
        if (const auto stat = read_stat(pid)) processes.push_back(*stat);
    }
    return processes;
}

void kill_one(int pid, const ContainerId& container)
{
    // The descriptor first: what it names cannot become another process between the check and the kill.
    const UniqueFd handle{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
    if (handle.valid() && belongs_to(pid, container)) {
        ::syscall(SYS_pidfd_send_signal, handle.get(), SIGKILL, nullptr, 0);
    }
}

}  // namespace

bool belongs_to(int pid, const ContainerId& container)
{
    return read_file(proc_path(pid, "cgroup")).find("libpod-" + container.value()) != std::string::npos;
}

bool file_exists_in_root(int pid, const std::string& path)
{
    const UniqueFd root{::open(proc_path(pid, "root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
    if (!root.valid()) throw gone(pid);
    open_how how{};
    how.flags = O_PATH | O_CLOEXEC;
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    return UniqueFd{static_cast<int>(::syscall(SYS_openat2, root.get(), path.c_str(), &how, sizeof how))}.valid();
}

int open_tcp_connections_of(int pid)
{
    constexpr std::string_view kListen = "0A";
    int count = 0;
    bool readable = false;
    for (const char* const table : {"net/tcp", "net/tcp6"}) {
        std::ifstream file{proc_path(pid, table)};
        std::string line;
        readable = std::getline(file, line).good() || readable;  // the heading
        while (std::getline(file, line)) {
            std::istringstream fields{line};
            std::string slot;
            std::string local;
            std::string remote;
            std::string state;
            if (fields >> slot >> local >> remote >> state && state != kListen) ++count;
        }
    }
    if (!readable) throw gone(pid);
    return count;
}

void kill_process_tree(int pid, const ContainerId& container)
{
    if (!belongs_to(pid, container)) return;
    constexpr int kRounds = 20;
    std::set<int> victims{pid};
    for (int round = 0; round < kRounds; ++round) {
        const std::vector<ProcessStat> processes = all_processes();
        bool grown = true;
        while (grown) {  // a child may be listed before its parent
            grown = false;
            for (const ProcessStat& process : processes) {
                const bool ours = victims.contains(process.parent) || process.session == pid;
                grown = (ours && victims.insert(process.pid).second) || grown;
            }
        }
        bool alive = false;
        for (const ProcessStat& process : processes) {
            if (!victims.contains(process.pid) || process.state == 'Z') continue;
            kill_one(process.pid, container);
            alive = true;
        }
        if (!alive) return;
    }
}

}  // namespace warmd::podman
