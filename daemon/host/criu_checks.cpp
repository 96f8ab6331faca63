#include <algorithm>
#include <sstream>

#include "daemon/base/text.h"
#include "daemon/host/checks.h"
#include "daemon/model/criu_kernel.h"

// CRIU and what it calls.

namespace warmd::checks {

namespace {

/// Whether this process may do what CRIU does. warmd's service may not: Podman's service, which starts CRIU, may.
bool may_administer(const HostFiles& files)
{
    constexpr unsigned kSysAdmin = 21;  // capability.h
    std::istringstream lines{files.text("/proc/self/status").value_or("")};
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with("CapEff:")) return (std::stoull(line.substr(7), nullptr, 16) >> kSysAdmin & 1U) != 0;
    }
    return false;
}

/// What /etc/criu/default.conf says of `key` (criu(8), Configuration files): CRIU reads it whoever calls it.
std::string criu_setting(const HostFiles& files, const std::string& key)
{
    std::istringstream lines{files.text("/etc/criu/default.conf").value_or("")};
    std::string value;
    for (std::string line; std::getline(lines, line);) {
        std::replace(line.begin(), line.end(), '=', ' ');
        std::istringstream words{line};
        std::string name;
        std::string word;
        if (words >> name && name == key && words >> word) value = word;
    }
    return value;
}

}  // namespace

Finding criu(const Examined& host)
{
    Finding finding{.why = "CRIU dumps and restores the processes"};
    const auto program = host.files().program("criu");
    if (!program) {
        finding.status = FindingStatus::problem;
        finding.found = "there is no program criu";
        finding.fix = "apt-get install criu, or warmd-install-host where the distribution has none";
        return finding;
    }
    finding.found = *program;
    if (host.engine && !host.engine->criu_version.empty()) finding.found += ", version " + host.engine->criu_version;
    return finding;
}

Finding libcriu(const Examined& host)
{
    Finding finding{.why = "crun loads libcriu.so.2 when it first needs it, and Debian's crun does not depend on it"};
    if (host.engine && host.engine->runtime != "crun") {
        finding.found = host.engine->runtime + " does not need it";
        return finding;
    }
    if (const auto library = host.files().library("libcriu.so.2")) {
        finding.found = *library;
        return finding;
    }
    finding.status = FindingStatus::problem;
    finding.found = "there is no libcriu.so.2";
    finding.fix = "apt-get install libcriu2";
    return finding;
}

Finding criu_and_kernel(const Examined& host)
{
    if (!host.engine) return {.status = FindingStatus::skipped, .found = "Podman does not answer"};
    const std::string& kernel = host.engine->kernel;
    const std::string& criu = host.engine->criu_version;
    Finding finding{.found = "Linux " + kernel + " with CRIU " + (criu.empty() ? "of unknown version" : criu),
                    .why = "each new kernel changes something that CRIU must know"};
    if (const auto conflict = known_conflict(kernel, criu)) {
        finding.status = FindingStatus::problem;
        finding.found += ": " + *conflict;
        finding.fix = "warmd-install-host brings a CRIU that knows this kernel; or start the distribution's own kernel";
    }
    return finding;
}

Finding criu_check(const Examined& host)
{
    Finding finding{.why = "CRIU's own look at the kernel"};
    if (!host.options.run || !may_administer(host.files())) {
        finding.status = FindingStatus::skipped;
        finding.found = "needs capabilities that the service does not have; `sudo warmctl doctor` does it";
        return finding;
    }
    const auto program = host.files().program("criu");
    if (!program) {
        finding.status = FindingStatus::skipped;
        finding.found = "there is no program criu";
        return finding;
    }
    const auto [status, words] = host.options.run(*program + " check 2>&1");
    finding.found = printable(words.substr(0, words.find_last_not_of('\n') + 1), 500);
    if (status == 0) return finding;
    finding.status = FindingStatus::problem;
    finding.fix = "a kernel or a version of CRIU that `criu check` is content with; warmd-install-host looks for one";
    return finding;
}

Finding iptables(const Examined& host)
{
    Finding finding{.why = "while it dumps and restores, CRIU closes the container's network with iptables-restore: "
                           "without it every checkpoint fails"};
    const std::string lock = criu_setting(host.files(), "network-lock");
    if (lock == "skip" || lock == "nftables") {
        finding.found = "not needed: network-lock is " + lock + " in /etc/criu/default.conf";
        return finding;
    }
    const auto v4 = host.files().program("iptables-restore");
    const auto v6 = host.files().program("ip6tables-restore");
    if (v4 && v6) {
        finding.found = *v4;
        return finding;
    }
    finding.status = FindingStatus::problem;
    finding.found = std::string{"there is no program "} + (v4 ? "ip6tables-restore" : "iptables-restore");
    finding.fix = "apt-get install iptables";
    return finding;
}

}  // namespace warmd::checks
