#include "daemon/store/container_documents.h"

#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

#include "daemon/base/json.h"
#include "tests/unit/expect_error.h"

namespace warmd {
namespace {

using test::contains;
using test::expect_error;

constexpr const char* kImage = "e0581c1489550249d5f88698eec03249cf94cca260db36af3fdf7bb2d1803d70";

/// Both documents as Podman 5.4 writes them over its API, without what says nothing here.
Json config()
{
    return Json::parse(R"({
        "id": "f1a8", "name": "warmd-inst-1", "lockID": 3, "Dependencies": null, "rootfsImageName": "localhost/a:1",
        "rootfsImageID": "e0581c1489550249d5f88698eec03249cf94cca260db36af3fdf7bb2d1803d70",
        "idMappingsOptions": {"HostUIDMapping": true, "HostGIDMapping": true, "UIDMap": null, "AutoUserNs": false},
        "ShmDir": "/var/lib/containers/storage/overlay-containers/f1a8/userdata/shm",
        "mounts": ["/var/lib/containers/storage/overlay-containers/f1a8/userdata/shm"],
        "staticDir": "/var/lib/containers/storage/overlay-containers/f1a8/userdata",
        "secretsPath": "/var/lib/containers/storage/overlay-containers/f1a8/userdata/secrets",
        "privileged": false, "createNetNS": false, "networkMode": "none", "cgroupsMode": "enabled",
        "labels": {"Version": "1", "version": "2"}, "logDriver": "journald", "runtime": "crun", "storageOpts": null,
        "conmonPidFile": "/run/containers/storage/overlay-containers/f1a8/userdata/conmon.pid",
        "pid_file": "/run/containers/storage/overlay-containers/f1a8/userdata/pidfile", "mountAllDevices": false,
        "exitCommand": ["/usr/bin/podman", "--root", "/var/lib/containers/storage", "--runroot",
            "/run/containers/storage", "--log-level", "warning", "--cgroup-manager", "systemd", "--tmpdir",
            "/run/libpod", "--network-config-dir", "", "--network-backend", "netavark", "--volumepath",
            "/var/lib/containers/storage/volumes", "--db-backend", "sqlite", "--transient-store=false", "--runtime",
            "crun", "--storage-driver", "overlay", "--events-backend", "journald", "container", "cleanup",
            "--stopped-only", "f1a8"]})");
}

Json spec()
{
    return Json::parse(R"({
        "ociVersion": "1.2.0", "hostname": "a", "root": {"path": "/var/lib/containers/storage/overlay/c8ac/merged"},
        "process": {"args": ["sh"], "cwd": "/", "user": {"uid": 0, "gid": 0},
            "capabilities": {"bounding": ["CAP_CHOWN", "CAP_KILL"], "effective": ["CAP_CHOWN"]}},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "rprivate"]},
            {"destination": "/dev/shm", "type": "bind", "source": "/var/lib/shm", "options": ["bind", "rprivate"]},
            {"destination": "/data", "type": "bind", "source": "/srv/data", "options": ["rbind", "ro", "rprivate"]}],
        "annotations": {"io.container.manager": "libpod", "org.opencontainers.image.stopSignal": "15",
            "org.systemd.property.KillSignal": "15"},
        "linux": {"sysctl": {"net.ipv4.ping_group_range": "0 0"},
            "resources": {"devices": [{"allow": false, "access": "rwm"}], "pids": {"limit": 2048}},
            "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"},
                {"type": "cgroup"}],
            "seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []},
            "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]}})");
}

Template from()
{
    Template made;
    made.name = TemplateName{"a"};
    made.mounts = {{.source = "/srv/data", .target = "/data", .read_only = true}};
    return made;
}

void look_at(const Template& with, const std::string& config_dump, const std::string& spec_dump)
{
    require_no_more_than(with, kImage, {.config_dump = config_dump, .spec_dump = spec_dump});
}

TEST(ContainerDocuments, AcceptsWhatThisHostWouldMake)
{
    EXPECT_NO_THROW(look_at(from(), config().dump(), spec().dump()));
}

TEST(ContainerDocuments, AcceptsABridgeOfTheTemplates)
{
    Template with = from();
    with.network = Network::bridge;
    Json bridged = config();
    bridged["networkMode"] = "bridge";
    bridged["createNetNS"] = true;
    bridged["newNetworks"] = Json::parse(R"({"podman": {"interface_name": "eth0"}})");
    Json joined = spec();
    joined["linux"]["namespaces"][1]["path"] = "/run/netns/netns-1";
    EXPECT_NO_THROW(look_at(with, bridged.dump(), joined.dump()));
    const Error error = expect_error(ErrorCode::invalid_archive,
                                     [&] { look_at(from(), bridged.dump(), joined.dump()); });
    EXPECT_TRUE(contains(error.what(), "networkMode")) << error.what();
}

/// What is changed (RFC 6902), and what the refusal says.
struct Demand {
    const char* name;
    const char* document;  // "config" or "spec"
    const char* patch;
    const char* says;
};
void PrintTo(const Demand& one, std::ostream* out) { *out << one.name; }

class Demanding : public ::testing::TestWithParam<Demand> {};

TEST_P(Demanding, IsRefused)
{
    const bool of_config = std::string{GetParam().document} == "config";
    const Json patch = Json::parse("[" + std::string{GetParam().patch} + "]");
    const std::string changed_config = (of_config ? config().patch(patch) : config()).dump();
    const std::string changed_spec = (of_config ? spec() : spec().patch(patch)).dump();
    const Error error = expect_error(ErrorCode::invalid_archive,
                                     [&] { look_at(from(), changed_config, changed_spec); });
    EXPECT_TRUE(contains(error.what(), std::string{GetParam().document} + ".dump: ")) << error.what();
    EXPECT_TRUE(contains(error.what(), GetParam().says)) << error.what();
}

const Demand kDemands[] = {
    {"Capability", "spec", R"({"op":"add","path":"/process/capabilities/bounding/-","value":"CAP_SYS_ADMIN"})",
     "process.capabilities.bounding has \"CAP_SYS_ADMIN\""},
    {"AmbientCapability", "spec", R"({"op":"add","path":"/process/capabilities/ambient","value":["CAP_NET_ADMIN"]})",
     "process.capabilities.ambient"},
    {"Unconfined", "spec", R"({"op":"add","path":"/process/apparmorProfile","value":"unconfined"})", "apparmorProfile"},
    {"SuperPrivilegedLabel", "spec",
     R"({"op":"add","path":"/process/selinuxLabel","value":"system_u:system_r:spc_t:s0"})", "selinuxLabel"},
    {"SparedWhenMemoryIsShort", "spec", R"({"op":"add","path":"/process/oomScoreAdj","value":-1000})", "oomScoreAdj"},
    {"Scheduler", "spec", R"({"op":"add","path":"/process/scheduler","value":{"policy":"SCHED_FIFO"}})",
     "process.scheduler"},
    {"Hooks", "spec", R"({"op":"add","path":"/hooks","value":{"poststop":[{"path":"/bin/sh"}]}})", "hooks"},
    {"MiscasedHooks", "spec", R"({"op":"add","path":"/Hooks","value":{"poststop":[{"path":"/bin/sh"}]}})", "Hooks"},
    {"MiscasedMounts", "spec", R"({"op":"add","path":"/Mounts","value":[]})", "two members have the name"},
    {"KelvinName", "spec", "{\"op\":\"add\",\"path\":\"/hoo\xe2\x84\xaas\",\"value\":{\"a\":1}}", "two members"},
    {"RootOfTheHost", "spec", R"({"op":"replace","path":"/root/path","value":"/"})", "root.path is \"/\""},
    {"RootWithParent", "spec",
     R"({"op":"replace","path":"/root/path","value":"/var/lib/containers/storage/overlay/../../../../merged"})",
     "root.path"},
    {"HostFolder", "spec",
     R"({"op":"add","path":"/mounts/-","value":{"destination":"/mnt","type":"bind","source":"/","options":["ro"]}})",
     "mounts has \"/\" of the host at \"/mnt\""},
    {"WritableFolder", "spec", R"({"op":"replace","path":"/mounts/5/options","value":["rbind"]})",
     "\"/data\" writable"},
    {"OtherSource", "spec", R"({"op":"replace","path":"/mounts/5/source","value":"/etc"})", "mounts has \"/etc\""},
    {"SharedMount", "spec", R"({"op":"replace","path":"/mounts/5/options","value":["ro","rshared"]})", "shares"},
    {"WritableSys", "spec", R"({"op":"replace","path":"/mounts/2/options","value":["nosuid"]})", "\"/sys\" writable"},
    {"DiskAsMount", "spec",
     R"({"op":"add","path":"/mounts/-","value":{"destination":"/mnt","type":"ext4","source":"/dev/sda1"}})",
     "\"ext4\""},
    {"ProcSomewhereElse", "spec",
     R"({"op":"add","path":"/mounts/-","value":{"destination":"/p","type":"proc","source":"proc"}})", "\"/p\""},
    {"CriuConfiguration", "spec", R"({"op":"add","path":"/annotations/org.criu.config","value":"/tmp/evil.conf"})",
     "org.criu.config"},
    {"RuntimeAnnotation", "spec", R"({"op":"add","path":"/annotations/run.oci.handler","value":"krun"})",
     "run.oci.handler"},
    {"SystemdProperty", "spec", R"({"op":"add","path":"/annotations/org.systemd.property.DeviceAllow","value":"x"})",
     "DeviceAllow"},
    {"Sysctl", "spec", R"({"op":"add","path":"/linux/sysctl/kernel.core_pattern","value":"|/evil"})", "core_pattern"},
    {"DeviceNode", "spec", R"({"op":"add","path":"/linux/devices","value":[{"path":"/dev/sda","type":"b"}]})",
     "linux.devices"},
    {"AllowedDevice", "spec", R"({"op":"replace","path":"/linux/resources/devices/0/allow","value":true})",
     "allows a device"},
    {"HostProcesses", "spec", R"({"op":"remove","path":"/linux/namespaces/0"})", "lacks pid"},
    {"HostMounts", "spec", R"({"op":"remove","path":"/linux/namespaces/4"})", "lacks mount"},
    {"JoinedNamespace", "spec", R"({"op":"add","path":"/linux/namespaces/0/path","value":"/proc/1/ns/pid"})",
     "joins \"/proc/1/ns/pid\""},
    {"JoinedNetwork", "spec", R"({"op":"add","path":"/linux/namespaces/1/path","value":"/proc/1/ns/net"})",
     "joins \"/proc/1/ns/net\""},
    {"NoSeccomp", "spec", R"({"op":"remove","path":"/linux/seccomp"})", "linux.seccomp"},
    {"OpenSeccomp", "spec", R"({"op":"replace","path":"/linux/seccomp/defaultAction","value":"SCMP_ACT_ALLOW"})",
     "linux.seccomp"},
    {"SeccompListener", "spec", R"({"op":"add","path":"/linux/seccomp/listenerPath","value":"/run/evil"})",
     "listenerPath"},
    {"UnmaskedPath", "spec", R"({"op":"remove","path":"/linux/maskedPaths/1"})", "lacks /proc/kcore"},
    {"WritableProc", "spec", R"({"op":"remove","path":"/linux/readonlyPaths/4"})", "lacks /proc/sysrq-trigger"},
    {"SharedRoot", "spec", R"({"op":"add","path":"/linux/rootfsPropagation","value":"rshared"})", "rootfsPropagation"},
    {"MountsOfAnotherType", "spec", R"({"op":"replace","path":"/mounts","value":{}})", "mounts is of another type"},
    {"Privileged", "config", R"({"op":"replace","path":"/privileged","value":true})", "privileged"},
    {"ExitCommand", "config", R"({"op":"replace","path":"/exitCommand","value":["/bin/sh","-c","evil"]})",
     "exitCommand is not how Podman cleans up: \"/bin/sh\""},
    {"ExitCommandRuntime", "config", R"({"op":"replace","path":"/exitCommand/21","value":"/tmp/evil"})", "exitCommand"},
    {"ExitCommandOption", "config", R"({"op":"add","path":"/exitCommand/1","value":"--hooks-dir=/tmp"})",
     "--hooks-dir"},
    {"ExitCommandElse", "config",
     R"({"op":"replace","path":"/exitCommand","value":["/usr/bin/podman","container","run"]})", "\"run\""},
    {"RootOfTheConfig", "config", R"({"op":"add","path":"/rootfs","value":"/"})", "rootfs"},
    {"Volume", "config", R"({"op":"add","path":"/namedVolumes","value":[{"volumeName":"a"}]})", "namedVolumes"},
    {"OverlayVolume", "config", R"({"op":"add","path":"/overlayVolumes","value":[{"source":"/etc"}]})",
     "overlayVolumes"},
    {"Secret", "config", R"({"op":"add","path":"/secrets","value":[{"name":"a"}]})", "secrets"},
    {"Port", "config", R"({"op":"add","path":"/newPortMappings","value":[{"host_port":22}]})", "newPortMappings"},
    {"Device", "config", R"({"op":"add","path":"/device_host_src","value":[{"path":"/dev/mem"}]})", "device_host_src"},
    {"Pod", "config", R"({"op":"add","path":"/pod","value":"abc"})", "pod"},
    {"NamespaceOfAnother", "config", R"({"op":"add","path":"/pidNsCtr","value":"abc"})", "pidNsCtr"},
    {"PidFile", "config", R"({"op":"replace","path":"/conmonPidFile","value":"/etc/cron.d/evil"})", "conmonPidFile"},
    {"PidFileWithParent", "config",
     R"({"op":"add","path":"/pid_file","value":"/run/containers/storage/overlay-containers/../userdata/pidfile"})",
     "pid_file"},
    {"Unmount", "config", R"({"op":"replace","path":"/mounts/0","value":"/home"})", "mounts"},
    {"Runtime", "config", R"({"op":"replace","path":"/runtime","value":"/tmp/evil"})", "runtime"},
    {"HostNetwork", "config", R"({"op":"replace","path":"/networkMode","value":"host"})", "networkMode"},
    {"SystemdSocket", "config", R"({"op":"add","path":"/sdnotifySocket","value":"/run/systemd/notify"})",
     "sdnotifySocket"},
    {"MappedUsers", "config", R"({"op":"replace","path":"/idMappingsOptions/HostUIDMapping","value":false})",
     "idMappingsOptions"},
    {"AnotherImage", "config", R"({"op":"replace","path":"/rootfsImageID","value":"aaaa"})", "rootfsImageID"},
    {"UnknownSetting", "config", R"({"op":"add","path":"/newInPodman9","value":"x"})", "newInPodman9"},
    {"MiscasedId", "config", R"({"op":"add","path":"/ID","value":"x"})", "two members have the name"},
};

INSTANTIATE_TEST_SUITE_P(Demands, Demanding, ::testing::ValuesIn(kDemands),
                         [](const auto& test) { return std::string{test.param.name}; });

TEST(ContainerDocuments, ANameThatComesTwiceIsRefused)
{
    std::string twice = config().dump();
    twice.insert(1, R"("privileged": true, )");
    const Error error = expect_error(ErrorCode::invalid_archive, [&] { look_at(from(), twice, spec().dump()); });
    EXPECT_TRUE(contains(error.what(), "two members have the name \"privileged\"")) << error.what();
}

}  // namespace
}  // namespace warmd
