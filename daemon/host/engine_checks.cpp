#include <sstream>

#include "daemon/host/checks.h"
#include "daemon/model/criu_kernel.h"

// Podman, its runtime and its storage.

namespace warmd::checks {

namespace {

constexpr const char* kNoPodman = "Podman does not answer";

Finding skipped(std::string reason) { return {.status = FindingStatus::skipped, .found = std::move(reason)}; }

/// What containers.conf says last of `key`, in the order in which Podman reads its files (containers.conf(5)).
std::optional<std::string> container_setting(const HostFiles& files, const std::string& key)
{
    std::vector<std::string> sources{"/usr/share/containers/containers.conf", "/etc/containers/containers.conf"};
    for (const std::string& file : files.files("/etc/containers/containers.conf.d", ".conf")) sources.push_back(file);
    std::optional<std::string> value;
    for (const std::string& source : sources) {
        std::istringstream lines{files.text(source).value_or("")};
        for (std::string line; std::getline(lines, line);) {
            std::istringstream words{line};
            std::string name;
            std::string equals;
            std::string word;
            std::getline(words >> std::ws, name, '=');
            name.erase(name.find_last_not_of(" \t") + 1);
            if (name == key && words >> word) value = word;
        }
    }
    return value;
}

}  // namespace

Finding podman(const Examined& host)
{
    Finding finding{.why = "warmd does everything with containers through Podman's socket"};
    if (host.engine) {
        finding.found = "Podman answers on " + host.options.podman_socket;
        return finding;
    }
    finding.status = FindingStatus::problem;
    finding.found = host.engine_error->what() +
                    (host.engine_error->cause().empty() ? "" : ": " + host.engine_error->cause());
    finding.fix = host.files().program("podman") ? "systemctl enable --now podman.socket"
                                                 : "apt-get install podman, then systemctl enable --now podman.socket";
    return finding;
}

Finding podman_version(const Examined& host)
{
    if (!host.engine) return skipped(kNoPodman);
    Finding finding{.found = "Podman " + host.engine->version,
                    .why = "warmd is tested with Podman 4.3 and 5.4; older ones lack calls that it needs"};
    const auto version = version_numbers(host.engine->version);
    if (version && *version < std::pair{4, 3}) {
        finding.status = FindingStatus::problem;
        finding.fix = "install Podman 4.3 or later, from a newer release of the distribution";
    }
    return finding;
}

Finding runtime(const Examined& host)
{
    if (!host.engine) return skipped(kNoPodman);
    Finding finding{.found = host.engine->runtime_version.empty() ? host.engine->runtime : host.engine->runtime_version,
                    .why = "the runtime hands dumps and restores to CRIU; one that is built without it refuses both"};
    if (host.engine->runtime == "runc") {
        // Measured with runc 1.1.15, Podman 5.4 and CRIU 4.2. On version 2 runc does not tell CRIU where the new group
        // is (libcontainer/criu_linux.go, criuApplyCgroups).
        finding.status = FindingStatus::problem;
        finding.found += ", which restores a container into the control group of the one that was dumped";
        finding.why = "warmd tells its instances apart, and freezes and limits them, by their control groups";
    } else if (!host.engine->runtime_has_criu) {
        finding.status = FindingStatus::problem;
        finding.found += ", built without CRIU";
    }
    if (finding.status == FindingStatus::problem) {
        finding.fix = "warmd-install-host --runtime crun: it installs or builds a crun with +CRIU in `crun --version`";
    }
    return finding;
}

Finding storage_driver(const Examined& host)
{
    if (!host.engine) return skipped(kNoPodman);
    Finding finding{.found = host.engine->storage_driver,
                    .why = "with any driver but overlay, changes to the files of an image are lost in a checkpoint"};
    if (host.engine->storage_driver == "overlay") return finding;
    finding.status = FindingStatus::problem;
    finding.fix = "set driver = \"overlay\" in /etc/containers/storage.conf; images must then be built anew";
    return finding;
}

Finding exec_remains(const Examined& host)
{
    constexpr int kUsual = 300;  // containers.conf(5)
    constexpr int kMuch = 60;
    const std::string setting = container_setting(host.files(), "exit_command_delay").value_or("");
    const auto number = version_numbers(setting);
    const int seconds = number ? number->first : kUsual;
    Finding finding{.found = "exit_command_delay is " + std::to_string(seconds) + " s",
                    .why = "in images without warm-agent, each exec leaves two processes of conmon for that long"};
    if (seconds <= kMuch) return finding;
    finding.status = FindingStatus::advice;
    finding.fix = "warmd-install-host, or exit_command_delay = 5 below [engine] in a file in "
                  "/etc/containers/containers.conf.d";
    return finding;
}

}  // namespace warmd::checks
