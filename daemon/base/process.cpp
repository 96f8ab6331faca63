#include "daemon/base/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <fstream>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <vector>

#include "daemon/base/error.h"

namespace warmd {

namespace {

/// Nothing when the process has ended. It may have between opening and reading (ESRCH), of which an iterator would
/// throw, and `<<` makes a failed stream.
std::string read_file(int pid, const char* name)
{
    const std::ifstream file{"/proc/" + std::to_string(pid) + "/" + name};
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

Error gone(int pid) { return Error{ErrorCode::conflict, "the process " + std::to_string(pid) + " has ended"}; }

struct ProcessStat {
    int pid = 0;
    char state = '?';
    int parent = 0;
    int session = 0;
};

std::optional<ProcessStat> read_stat(int pid)
{
    const std::string text = read_file(pid, "stat");
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

std::string control_group_of(int pid)
{
    // "0::/machine.slice/libpod-ID.scope/container", among lines of version 1 on a hybrid system.
    std::istringstream lines{read_file(pid, "cgroup")};
    std::string line;
    while (std::getline(lines, line) && !line.starts_with("0::")) {
    }
    if (!line.starts_with("0::")) throw gone(pid);
    return "/sys/fs/cgroup" + line.substr(3);
}

void kill_one(int pid, const std::function<bool(int)>& may_kill)
{
    // The descriptor first: what it names cannot become another process between the check and the kill.
    const UniqueFd handle{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
    if (handle.valid() && may_kill(pid)) ::syscall(SYS_pidfd_send_signal, handle.get(), SIGKILL, nullptr, 0);
}

}  // namespace

const std::string& boot_id()
{
    static const std::string id = [] {
        std::string line;
        std::ifstream{"/proc/sys/kernel/random/boot_id"} >> line;
        return line;
    }();
    return id;
}

bool in_control_group(int pid, std::string_view fragment)
{
    return read_file(pid, "cgroup").find(fragment) != std::string::npos;
}

void set_control_group_frozen(int pid, bool frozen)
{
    const std::string path = control_group_of(pid) + "/cgroup.freeze";
    const UniqueFd file{::open(path.c_str(), O_WRONLY | O_CLOEXEC)};
    if (!file.valid() || ::write(file.get(), frozen ? "1" : "0", 1) != 1) throw system_error("write " + path, errno);
}

std::optional<std::uint64_t> memory_of_control_group(int pid)
{
    constexpr std::string_view kInnermost = "/container";  // crun's, to which the controller may not be handed down
    std::string group = control_group_of(pid);
    std::ifstream counts{group + "/memory.stat"};
    if (!counts && group.ends_with(kInnermost)) {
        group.resize(group.size() - kInnermost.size());
        counts = std::ifstream{group + "/memory.stat"};
    }
    if (!counts) return std::nullopt;
    std::uint64_t bytes = 0;
    std::string name;
    for (std::uint64_t count = 0; counts >> name >> count;) {
        if (name == "anon" || name == "shmem") bytes += count;
    }
    std::uint64_t swapped = 0;
    std::ifstream{group + "/memory.swap.current"} >> swapped;
    return bytes + swapped;
}

UniqueFd open_in_root(int pid, const std::string& path, int flags)
{
    const std::string link = "/proc/" + std::to_string(pid) + "/root";
    const UniqueFd root{::open(link.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
    if (!root.valid()) throw gone(pid);
    open_how how{};
    how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    return UniqueFd{static_cast<int>(::syscall(SYS_openat2, root.get(), path.c_str(), &how, sizeof how))};
}

int open_tcp_connections_of(int pid)
{
    constexpr std::string_view kListen = "0A";
    int count = 0;
    bool readable = false;
    for (const char* const table : {"net/tcp", "net/tcp6"}) {
        std::istringstream lines{read_file(pid, table)};
        std::string line;
        readable = std::getline(lines, line).good() || readable;  // the heading
        while (std::getline(lines, line)) {
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

std::string root_options_of(int pid)
{
    // "36 35 0:50 / / rw,relatime shared:1 - overlay overlay rw,lowerdir=...": of several on "/" the last is on top.
    const std::string table = read_file(pid, "mountinfo");
    if (table.empty()) throw gone(pid);
    std::istringstream lines{table};
    std::string line;
    std::string options;
    while (std::getline(lines, line)) {
        std::istringstream fields{line};
        std::string field;
        for (int i = 0; i < 5; ++i) fields >> field;
        const std::size_t separator = line.find(" - ");
        if (field != "/" || separator == std::string::npos) continue;
        options = line.substr(line.rfind(' ') + 1);
    }
    return options;
}

void kill_process_tree(int pid, const std::function<bool(int)>& may_kill)
{
    if (pid <= 0) return;  // 0 is the parent of PID 1 and of all kernel threads
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
            kill_one(process.pid, may_kill);
            alive = true;
        }
        if (!alive) return;
    }
}

}  // namespace warmd
