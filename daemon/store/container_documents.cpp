#include "daemon/store/container_documents.h"

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "daemon/base/error.h"
#include "daemon/base/json.h"
#include "daemon/base/text.h"

// Podman's names are from libpod/container_config.go (4.3 to 5.8), those of spec.dump from the OCI runtime
// specification. What Podman replaces on import is from libpod/runtime_ctr.go (RestoreContainer) and
// libpod/container_internal_common.go (restore).

namespace warmd {

namespace {

using Names = std::set<std::string, std::less<>>;

constexpr std::size_t kShown = 200;

const Names kCapabilities{"CAP_CHOWN",   "CAP_DAC_OVERRIDE",     "CAP_FOWNER",    "CAP_FSETID",
                          "CAP_KILL",    "CAP_NET_BIND_SERVICE", "CAP_SETFCAP",   "CAP_SETGID",
                          "CAP_SETPCAP", "CAP_SETUID",           "CAP_SYS_CHROOT"};
const Names kOwnNamespaces{"pid", "network", "ipc", "uts", "mount"};
/// Mounted anew by Podman, whatever spec.dump says.
const Names kReplacedMounts{"/dev/shm", "/etc/resolv.conf", "/etc/hostname", "/etc/hosts", "/run/.containerenv"};
const std::map<std::string, std::string, std::less<>> kKernelMounts{{"/proc", "proc"},
                                                                    {"/sys", "sysfs"},
                                                                    {"/dev/pts", "devpts"},
                                                                    {"/dev/mqueue", "mqueue"},
                                                                    {"/sys/fs/cgroup", "cgroup"}};
const Names kMasked{"/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"};
const Names kReadOnly{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
const Names kSysctls{"net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start"};
const Names kAnnotations{"org.systemd.property.KillSignal", "org.systemd.property.TimeoutStopUSec",
                         "io.container.manager"};
constexpr std::array<std::string_view, 3> kAnnotationFamilies{"io.podman.annotations.", "org.opencontainers.image.",
                                                              "io.kubernetes.cri-o."};

/// Settings of config.dump that concern the inside of the container, its name and its limits, and those that Podman
/// sets anew on import.
const Names kHarmlessSettings{
    "spec", "id", "name", "lockID", "CreateCommand", "RawImageName", "rootfsImageID", "rootfsImageName", "ShmDir",
    "shmSize", "shmSizeSystemd", "staticDir", "mounts", "createWorkingDir", "secretsPath", "passwd", "labelopts",
    "label_nested", "createNetNS", "UseImageResolvConf", "useImageHostname", "UseImageHosts", "command", "entrypoint",
    "stopSignal", "stopTimeout", "timeout", "createdTime", "cgroupManager", "cgroupParent", "logPath", "logTag",
    "logSize", "postConfigureNetNS", "pause", "healthcheck", "healthcheck_on_failure_action", "healthLogDestination",
    "healthMaxLogCount", "healthMaxLogSize", "umask", "labels", "user", "groups", "stdin", "restart_policy",
    "restart_retries", "ProcessLabel", "MountLabel", "kubeExitCodePropagation", "volatile", "readWriteTmpfs",
    "addCurrentUserPasswdEntry", "passwd_entry", "group_entry", "exposedPorts",
    // Looked at below.
    "idMappingsOptions", "cgroupsMode", "logDriver", "conmonPidFile", "pid_file", "runtime", "sdnotifyMode",
    "networkMode", "networks", "newNetworks", "network_options", "exitCommand", "privileged"};

/// Null, false, 0, "" and what has no members.
bool is_empty(const Json& value)
{
    return value.is_null() || (value.is_boolean() && !value.get<bool>()) ||
           (value.is_number() && value.get<double>() == 0) ||
           (value.is_string() && value.get_ref<const std::string&>().empty()) ||
           (value.is_structured() && value.empty());
}

bool is_hex(std::string_view text)
{
    return !text.empty() && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

/// A JSON document and where in it we are, for errors.
class Document {
public:
    Document(std::string name, std::string_view text) : name_{std::move(name)}
    {
        try {
            root_ = parse_json(text);
            require_unique_names(text, {"labels", "annotations", "sysctl", "network_options"});
        } catch (const Error& error) {
            throw Error{ErrorCode::invalid_archive, name_ + ": " + error.what()}.with_cause(printable(error.cause()));
        }
        if (!root_.is_object()) refuse("", "is no JSON object");
    }

    [[nodiscard]] const Json& root() const { return root_; }

    [[noreturn]] void refuse(const std::string& path, const std::string& problem) const
    {
        throw Error{ErrorCode::invalid_archive, name_ + ": " + (path.empty() ? "it" : path) + " " + problem}
            .with_field(path)
            .with_hint("a checkpoint from elsewhere may ask for no more than this host's template gives");
    }

    /// The member of `object`, or an empty value of type `like`; another type is refused.
    [[nodiscard]] Json get(const Json& object, const std::string& path, const char* name, Json like) const
    {
        const auto found = object.find(name);
        if (found == object.end() || found->is_null()) return like;
        if (found->type() != like.type()) refuse(join(path, name), "is of another type than it should be");
        return *found;
    }
    [[nodiscard]] std::string text(const Json& object, const std::string& path, const char* name) const
    {
        return get(object, path, name, "").get<std::string>();
    }
    /// An array of strings.
    [[nodiscard]] Names texts(const Json& object, const std::string& path, const char* name) const
    {
        Names found;
        for (const Json& item : get(object, path, name, Json::array())) {
            if (!item.is_string()) refuse(join(path, name), "has something other than strings in it");
            found.insert(item.get<std::string>());
        }
        return found;
    }
    /// That the object has these members alone, others only when they are empty.
    void require_known(const Json& object, const std::string& path, const Names& known) const
    {
        for (const auto& [name, value] : object.items()) {
            if (!known.contains(name) && !is_empty(value)) {
                refuse(join(path, name), "is nothing that this host's container would have");
            }
        }
    }

    static std::string join(const std::string& path, const std::string& name)
    {
        return path.empty() ? printable(name, kShown) : path + "." + printable(name, kShown);
    }

private:
    std::string name_;
    Json root_;
};

std::string shown(std::string_view text) { return "\"" + printable(text, kShown) + "\""; }

class SpecCheck {
public:
    SpecCheck(const Template& from, std::string_view text, bool makes_network)
        : from_{from}, makes_network_{makes_network}, document_{"spec.dump", text}
    {
    }

    void run() const
    {
        const Json& root = document_.root();
        document_.require_known(
            root, "", {"ociVersion", "process", "root", "hostname", "domainname", "mounts", "annotations", "linux"});
        check_process(document_.get(root, "", "process", Json::object()));
        check_root(document_.get(root, "", "root", Json::object()));
        for (const Json& mount : document_.get(root, "", "mounts", Json::array())) check_mount(mount);
        check_annotations(document_.get(root, "", "annotations", Json::object()));
        check_linux(document_.get(root, "", "linux", Json::object()));
    }

private:
    [[noreturn]] void refuse(const std::string& path, const std::string& problem) const
    {
        document_.refuse(path, problem);
    }

    void check_process(const Json& process) const
    {
        document_.require_known(process, "process",
                                {"terminal", "consoleSize", "user", "args", "env", "cwd", "capabilities", "rlimits",
                                 "noNewPrivileges", "apparmorProfile", "selinuxLabel", "oomScoreAdj"});
        const Json capabilities = document_.get(process, "process", "capabilities", Json::object());
        document_.require_known(capabilities, "process.capabilities",
                                {"bounding", "effective", "permitted", "inheritable", "ambient"});
        for (const char* const set : {"bounding", "effective", "permitted", "inheritable", "ambient"}) {
            for (const std::string& name : document_.texts(capabilities, "process.capabilities", set)) {
                if (!kCapabilities.contains(name))
                    refuse(std::string{"process.capabilities."} + set, "has " + shown(name));
            }
        }
        const std::string profile = document_.text(process, "process", "apparmorProfile");
        if (!profile.empty() && !profile.starts_with("containers-default")) {
            refuse("process.apparmorProfile", "is " + shown(profile));
        }
        const std::string label = document_.text(process, "process", "selinuxLabel");
        if (!label.empty() && label.find(":container_t:") == std::string::npos) {
            refuse("process.selinuxLabel", "is " + shown(label));
        }
        const auto score = process.find("oomScoreAdj");
        if (score != process.end() && (!score->is_number_integer() || score->get<double>() < 0)) {
            refuse("process.oomScoreAdj", "spares it when memory is short");
        }
    }

    void check_root(const Json& root) const
    {
        document_.require_known(root, "root", {"path", "readonly"});
        std::string_view path = root.contains("path") && root.at("path").is_string()
                                    ? std::string_view{root.at("path").get_ref<const std::string&>()}
                                    : std::string_view{};
        // Podman puts its own there; another is a sign of something else.
        constexpr std::string_view kPrefix = "/var/lib/containers/storage/overlay/";
        constexpr std::string_view kSuffix = "/merged";
        const std::string whole{path};
        const bool known = path.starts_with(kPrefix) && path.ends_with(kSuffix) &&
                           path.size() > kPrefix.size() + kSuffix.size();
        if (known) path = path.substr(kPrefix.size(), path.size() - kPrefix.size() - kSuffix.size());
        if (!known || !is_hex(path)) refuse("root.path", "is " + shown(whole));
    }

    void check_mount(const Json& mount) const
    {
        if (!mount.is_object()) refuse("mounts", "has something other than objects in it");
        document_.require_known(mount, "mounts", {"destination", "type", "source", "options"});
        const std::string destination = document_.text(mount, "mounts", "destination");
        const std::string type = document_.text(mount, "mounts", "type");
        const std::string source = document_.text(mount, "mounts", "source");
        const Names options = document_.texts(mount, "mounts", "options");
        for (const char* const shared : {"shared", "rshared"}) {
            if (options.contains(shared)) refuse("mounts", "shares what is mounted below " + shown(destination));
        }
        if (type == "tmpfs") return;
        if (const auto kernel = kKernelMounts.find(destination);
            kernel != kKernelMounts.end() && kernel->second == type) {
            const bool wants_ro = type == "sysfs" || type == "cgroup";
            if (wants_ro && !options.contains("ro")) refuse("mounts", "has " + shown(destination) + " writable");
            return;
        }
        if (type != "bind") refuse("mounts", "has " + shown(destination) + " of the type " + shown(type));
        if (kReplacedMounts.contains(destination)) return;
        const auto wanted = std::find_if(from_.mounts.begin(), from_.mounts.end(), [&](const BindMount& one) {
            return one.source == source && one.target == destination;
        });
        if (wanted == from_.mounts.end()) {
            refuse("mounts", "has " + shown(source) + " of the host at " + shown(destination) + ", the template " +
                                 shown(from_.name.value()) + " has not");
        }
        if (wanted->read_only && !options.contains("ro")) refuse("mounts", "has " + shown(destination) + " writable");
    }

    void check_annotations(const Json& annotations) const
    {
        for (const auto& [name, value] : annotations.items()) {
            const bool known = kAnnotations.contains(name) ||
                               std::any_of(
                                   kAnnotationFamilies.begin(), kAnnotationFamilies.end(),
                                   [&name = name](std::string_view family) { return name.starts_with(family); });
            // crun, runc and CRIU take orders from others: hooks, files to read, programs to run.
            if (!known) refuse("annotations", "has " + shown(name));
            if (!value.is_string()) refuse("annotations", "has something other than strings in it");
        }
    }

    void check_linux(const Json& linux_part) const
    {
        document_.require_known(linux_part, "linux",
                                {"sysctl", "resources", "cgroupsPath", "namespaces", "seccomp", "maskedPaths",
                                 "readonlyPaths", "mountLabel", "rootfsPropagation"});
        const Json sysctls = document_.get(linux_part, "linux", "sysctl", Json::object());
        for (const auto& [name, value] : sysctls.items()) {
            if (!kSysctls.contains(name)) refuse("linux.sysctl", "has " + shown(name));
        }
        const Json resources = document_.get(linux_part, "linux", "resources", Json::object());
        for (const Json& rule : document_.get(resources, "linux.resources", "devices", Json::array())) {
            if (!rule.is_object() || !rule.contains("allow") || rule.at("allow") != Json(false)) {
                refuse("linux.resources.devices", "allows a device");
            }
        }
        check_namespaces(document_.get(linux_part, "linux", "namespaces", Json::array()));
        const Json seccomp = document_.get(linux_part, "linux", "seccomp", Json::object());
        const std::string action = document_.text(seccomp, "linux.seccomp", "defaultAction");
        if (action != "SCMP_ACT_ERRNO" && !action.starts_with("SCMP_ACT_KILL")) {
            refuse("linux.seccomp", "lets through by default what it does not name");
        }
        for (const char* const dangerous : {"listenerPath", "listenerMetadata"}) {
            if (seccomp.contains(dangerous) && !is_empty(seccomp.at(dangerous))) {
                refuse(std::string{"linux.seccomp."} + dangerous, "hands decisions to somebody else");
            }
        }
        const std::string propagation = document_.text(linux_part, "linux", "rootfsPropagation");
        if (propagation.find("shared") != std::string::npos)
            refuse("linux.rootfsPropagation", "is " + shown(propagation));
        require_all(linux_part, "maskedPaths", kMasked);
        require_all(linux_part, "readonlyPaths", kReadOnly);
    }

    void check_namespaces(const Json& namespaces) const
    {
        Names own;
        for (const Json& item : namespaces) {
            if (!item.is_object()) refuse("linux.namespaces", "has something other than objects in it");
            document_.require_known(item, "linux.namespaces", {"type", "path"});
            const std::string type = document_.text(item, "linux.namespaces", "type");
            const std::string path = document_.text(item, "linux.namespaces", "path");
            // Podman puts the namespace that it makes there.
            const bool replaced = type == "network" && makes_network_;
            if (!path.empty() && !replaced) refuse("linux.namespaces", "joins " + shown(path));
            if (!own.insert(type).second) refuse("linux.namespaces", "has " + shown(type) + " twice");
            if (!kOwnNamespaces.contains(type) && type != "cgroup" && type != "user") {
                refuse("linux.namespaces", "has " + shown(type));
            }
        }
        for (const std::string& type : kOwnNamespaces) {
            if (!own.contains(type)) refuse("linux.namespaces", "lacks " + type + ": it would be the host's");
        }
    }

    void require_all(const Json& linux_part, const char* name, const Names& wanted) const
    {
        const Names found = document_.texts(linux_part, "linux", name);
        for (const std::string& path : wanted) {
            if (!found.contains(path)) refuse(std::string{"linux."} + name, "lacks " + path);
        }
    }

    const Template& from_;
    const bool makes_network_;
    const Document document_;
};

class ConfigCheck {
public:
    ConfigCheck(const Template& from, std::string_view text) : from_{from}, document_{"config.dump", text} {}

    [[nodiscard]] bool makes_network() const
    {
        return document_.get(document_.root(), "", "createNetNS", false).get<bool>();
    }

    void run(const std::string& image_id) const
    {
        const Json& root = document_.root();
        document_.require_known(root, "", kHarmlessSettings);
        if (document_.get(root, "", "privileged", false).get<bool>()) document_.refuse("privileged", "is true");
        check_one_of("cgroupsMode", {"", "enabled", "split", "no-conmon"});
        check_one_of("logDriver", {"", "journald", "k8s-file", "json-file", "none"});
        check_one_of("runtime", {"", "crun", "runc"});
        check_one_of("sdnotifyMode", {"", "container", "conmon", "ignore"});
        check_network();
        check_paths();
        check_users();
        check_image(image_id);
        check_exit_command();
    }

private:
    void check_one_of(const char* name, const Names& allowed) const
    {
        const std::string value = document_.text(document_.root(), "", name);
        if (!allowed.contains(value)) document_.refuse(name, "is " + shown(value));
    }

    void check_network() const
    {
        const std::string mode = document_.text(document_.root(), "", "networkMode");
        const Names allowed = from_.network == Network::bridge ? Names{"bridge", "none", ""} : Names{"none", ""};
        if (!allowed.contains(mode) || (makes_network() && from_.network != Network::bridge)) {
            document_.refuse("networkMode", "is " + shown(mode) + ", the template's network is " +
                                                std::string{to_string(from_.network)});
        }
        for (const char* const name : {"networks", "newNetworks", "network_options"}) {
            const auto found = document_.root().find(name);
            if (found == document_.root().end() || is_empty(*found)) continue;
            const bool usual = from_.network == Network::bridge && found->is_object() && found->size() == 1 &&
                               found->contains("podman");
            if (!usual) document_.refuse(name, "has networks that the template has not");
        }
    }

    /// That `path` is empty or, below `root`, of Podman's directory for a container, with one of `tails` after it.
    void check_path(const char* name, std::string_view path, std::string_view root, const Names& tails) const
    {
        constexpr std::string_view kData = "/userdata";
        const std::size_t data = path.find(kData);
        const bool usual = path.starts_with(root) && data != std::string_view::npos && data > root.size() &&
                           is_hex(path.substr(root.size(), data - root.size())) &&
                           tails.contains(path.substr(data + kData.size()));
        if (!path.empty() && !usual) document_.refuse(name, "is " + shown(path));
    }

    void check_paths() const
    {
        constexpr std::string_view kRun = "/run/containers/storage/overlay-containers/";
        constexpr std::string_view kLib = "/var/lib/containers/storage/overlay-containers/";
        const auto text = [this](const char* name) { return document_.text(document_.root(), "", name); };
        // conmon writes these files, and Podman unmounts those mounts.
        check_path("conmonPidFile", text("conmonPidFile"), kRun, {"/conmon.pid"});
        check_path("pid_file", text("pid_file"), kRun, {"/pidfile"});
        check_path("ShmDir", text("ShmDir"), kLib, {"/shm"});
        check_path("staticDir", text("staticDir"), kLib, {""});
        check_path("secretsPath", text("secretsPath"), kLib, {"/secrets"});
        for (const std::string& path : document_.texts(document_.root(), "", "mounts")) {
            check_path("mounts", path, kLib, {"/shm"});
        }
    }

    void check_users() const
    {
        const Json mappings = document_.get(document_.root(), "", "idMappingsOptions", Json::object());
        for (const char* const name : {"HostUIDMapping", "HostGIDMapping"}) {
            if (mappings.empty() || document_.get(mappings, "idMappingsOptions", name, false).get<bool>()) continue;
            document_.refuse("idMappingsOptions", "maps users, which no template does");
        }
    }

    /// The image is that of the manifest, which has been looked for on this host.
    void check_image(const std::string& id) const
    {
        const std::string said = document_.text(document_.root(), "", "rootfsImageID");
        const std::string_view digits = std::string_view{id}.substr(id.starts_with("sha256:") ? 7 : 0);
        if (said.empty() || said != digits) document_.refuse("rootfsImageID", "is not the manifest's image");
    }

    /// conmon runs it, as root, when the container ends: Podman's own cleaning up and nothing else.
    void check_exit_command() const
    {
        const Json command = document_.get(document_.root(), "", "exitCommand", Json::array());
        if (command.empty()) return;
        const auto refuse = [this](const std::string& word) {
            document_.refuse("exitCommand", "is not how Podman cleans up: " + shown(word));
        };
        static const Names kPrograms{"/usr/bin/podman", "/usr/local/bin/podman"};
        static const Names kFlags{"--transient-store=false", "--transient-store=true", "--syslog", "--stopped-only"};
        static const std::map<std::string, Names, std::less<>> kOptions{
            {"--root", {"/var/lib/containers/storage"}},
            {"--runroot", {"/run/containers/storage"}},
            {"--log-level", {"error", "warning", "warn", "info", "debug", "fatal", "panic", "trace"}},
            {"--cgroup-manager", {"systemd", "cgroupfs"}},
            {"--tmpdir", {"/run/libpod"}},
            {"--network-config-dir", {"", "/etc/containers/networks"}},
            {"--network-backend", {"netavark", "cni"}},
            {"--volumepath", {"/var/lib/containers/storage/volumes"}},
            {"--db-backend", {"sqlite", "boltdb"}},
            {"--runtime", {"crun", "runc"}},
            {"--storage-driver", {"overlay"}},
            {"--storage-opt", {"overlay.mountopt=nodev", "overlay.mountopt=nodev,metacopy=on"}},
            {"--events-backend", {"journald", "file", "none"}},
        };
        std::vector<std::string> words;
        for (const Json& word : command) {
            if (!word.is_string()) refuse("no string");
            words.push_back(word.get<std::string>());
        }
        if (!kPrograms.contains(words.front())) refuse(words.front());
        std::size_t at = 1;
        while (at < words.size() && words[at] != "container") {
            const auto option = kOptions.find(words[at]);
            if (kFlags.contains(words[at])) {
                ++at;
            } else if (option != kOptions.end() && at + 1 < words.size() && option->second.contains(words[at + 1])) {
                at += 2;
            } else {
                refuse(words[at]);
            }
        }
        if (at + 1 >= words.size() || words[at + 1] != "cleanup") refuse(words.back());
        for (at += 2; at < words.size(); ++at) {
            if (!kFlags.contains(words[at]) && !is_hex(words[at])) refuse(words[at]);
        }
    }

    const Template& from_;
    const Document document_;
};

}  // namespace

void require_no_more_than(const Template& from, const std::string& image_id, const ContainerDocuments& documents)
{
    const ConfigCheck config{from, documents.config_dump};
    config.run(image_id);
    SpecCheck{from, documents.spec_dump, config.makes_network()}.run();
}

}  // namespace warmd
