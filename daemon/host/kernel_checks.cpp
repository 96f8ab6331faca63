#include <sstream>

#include "daemon/host/checks.h"

// The kernel, its control groups and the processor.

namespace warmd::checks {

Finding kernel_features(const Examined& host)
{
    Finding finding{
        .found = "checkpoint/restore, process maps and all kinds of namespaces",
        .why = "CRIU needs a kernel with CONFIG_CHECKPOINT_RESTORE and with every namespace that it restores"};
    std::string missing;
    for (const char* const path : {"/proc/sys/kernel/ns_last_pid", "/proc/self/map_files", "/proc/self/ns/mnt",
                                   "/proc/self/ns/pid", "/proc/self/ns/net", "/proc/self/ns/uts", "/proc/self/ns/ipc",
                                   "/proc/self/ns/user", "/proc/self/ns/cgroup"}) {
        if (!host.files().exists(path)) missing += (missing.empty() ? "" : ", ") + std::string{path};
    }
    if (missing.empty()) return finding;
    finding.status = FindingStatus::problem;
    finding.found = "the kernel has no " + missing;
    finding.fix = "start the distribution's own kernel: linux-image-amd64 of Debian has all of it";
    return finding;
}

Finding cgroups(const Examined& host)
{
    Finding finding{.why = "CRIU copies every version 1 hierarchy that it sees with each dump and restore: they grow "
                           "without bound and take the memory of the kernel"};
    // Of the first process where that may be read: a service has mounts of its own.
    std::optional<std::string> mounts = host.files().text("/proc/1/mountinfo");
    if (!mounts || mounts->empty()) mounts = host.files().text("/proc/self/mountinfo");
    std::istringstream lines{mounts.value_or("")};
    bool v2 = false;
    std::string v1;
    for (std::string line; std::getline(lines, line);) {
        // proc(5): ID PARENT DEVICE ROOT MOUNT-POINT OPTIONS [TAG...] - TYPE SOURCE OPTIONS
        std::istringstream fields{line};
        std::string skip;
        std::string where;
        fields >> skip >> skip >> skip >> skip >> where;
        const std::size_t dash = line.find(" - ");
        if (dash == std::string::npos) continue;
        std::string type;
        std::istringstream{line.substr(dash + 3)} >> type;
        if (type == "cgroup") v1 += (v1.empty() ? "" : " ") + where;
        if (type == "cgroup2" && where == "/sys/fs/cgroup") v2 = true;
    }
    if (!v1.empty()) {
        finding.status = FindingStatus::problem;
        finding.found = "control groups version 1 are mounted on " + v1;
        finding.fix = "umount " + v1 +
                      (v2 ? ""
                          : "; and start with systemd.unified_cgroup_hierarchy=1 on the kernel's "
                            "command line");
    } else if (!v2) {
        finding.status = FindingStatus::problem;
        finding.found = "there are no control groups version 2 on /sys/fs/cgroup";
        finding.fix = "start with systemd.unified_cgroup_hierarchy=1 on the kernel's command line";
    } else {
        finding.found = "version 2 on /sys/fs/cgroup, and no version 1 beside it";
    }
    return finding;
}

Finding security_module(const Examined& host)
{
    Finding finding{
        .why = "a container's AppArmor profile is loaded when a container starts, not when one is restored: "
               "warmd's first cycle after a boot sees to that"};
    if (host.files().first_line("/sys/fs/selinux/enforce") == "1") {
        finding.status = FindingStatus::advice;
        finding.found = "SELinux enforces; warmd has not been tried with it";
        finding.fix = "if the check `probe` fails: setenforce 0 tells whether that is why";
        return finding;
    }
    const bool apparmor = host.files().first_line("/sys/module/apparmor/parameters/enabled") == "Y";
    finding.found = apparmor ? "AppArmor is on" : "neither AppArmor nor SELinux is on";
    return finding;
}

Finding cpu(const Examined& host)
{
    Finding finding{.why = "a checkpoint is restored only where the processor has what it had where it was made"};
    std::istringstream lines{host.files().text("/proc/cpuinfo").value_or("")};
    std::string model = "unknown model";
    std::size_t flags = 0;
    int processors = 0;
    for (std::string line; std::getline(lines, line);) {
        const std::size_t colon = line.find(':');
        if (colon == std::string::npos) continue;
        const std::string value = line.substr(std::min(line.size(), colon + 2));
        if (line.starts_with("processor")) ++processors;
        if (line.starts_with("model name")) model = value;
        if (!line.starts_with("flags")) continue;
        std::istringstream words{value};
        flags = 0;
        for (std::string word; words >> word;) ++flags;
    }
    finding.found = std::to_string(processors) + " x " + model + ", " + std::to_string(flags) + " flags";
    return finding;
}

Finding huge_pages(const Examined& host)
{
    Finding finding{.why = "with `always`, a restored copy can hold more memory than its application asked for"};
    const std::string line = host.files().first_line("/sys/kernel/mm/transparent_hugepage/enabled");
    const std::size_t open = line.find('[');
    const std::size_t close = line.find(']');
    if (open == std::string::npos || close == std::string::npos) {
        finding.status = FindingStatus::skipped;
        finding.found = "the kernel does not tell";
        return finding;
    }
    finding.found = "transparent huge pages: " + line.substr(open + 1, close - open - 1);
    return finding;
}

}  // namespace warmd::checks
