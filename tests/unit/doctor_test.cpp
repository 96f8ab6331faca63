#include "daemon/host/doctor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "daemon/host/checks.h"
#include "daemon/host/host_environment.h"
#include "daemon/model/criu_kernel.h"
#include "tests/support/fake_engine.h"
#include "tests/support/manual_clock.h"
#include "tests/support/temp_dir.h"

namespace warmd {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPureV2 = "24 1 0:22 / /proc rw - proc proc rw\n"
                                "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";

/// A machine that has all that warmd needs, made of files below a directory; tests take away from it.
class DoctorTest : public testing::Test {
protected:
    DoctorTest()
    {
        for (const char* const path :
             {"/proc/sys/kernel/ns_last_pid", "/proc/self/map_files", "/proc/self/ns/mnt", "/proc/self/ns/pid",
              "/proc/self/ns/net", "/proc/self/ns/uts", "/proc/self/ns/ipc", "/proc/self/ns/user",
              "/proc/self/ns/cgroup", "/usr/lib/x86_64-linux-gnu/libcriu.so.2"}) {
            put(path, "");
        }
        for (const char* const program :
             {"/usr/sbin/criu", "/usr/sbin/iptables-restore", "/usr/sbin/ip6tables-restore", "/usr/bin/podman"}) {
            put(program, "");
            fs::permissions(below(program), fs::perms::owner_all);
        }
        put("/proc/1/mountinfo", kPureV2);
        put("/proc/self/status", "Name:\twarmd\nCapEff:\t000001ffffffffff\n");
        put("/proc/meminfo", "MemTotal:       16000000 kB\nMemAvailable:    8000000 kB\n");
        put("/proc/cpuinfo", "processor\t: 0\nmodel name\t: Quick CPU\nflags\t\t: sse avx\n");
        put("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
        put("/etc/containers/containers.conf.d/50-warmd.conf", "[engine]\nexit_command_delay = 5\n");
    }

    [[nodiscard]] fs::path below(const std::string& path) const
    {
        return root_.path() / fs::path{path}.relative_path();
    }
    void put(const std::string& path, const std::string& text)
    {
        fs::create_directories(below(path).parent_path());
        std::ofstream{below(path)} << text;
    }
    void take(const std::string& path) { fs::remove(below(path)); }

    DoctorReport examine(const std::string& only = {})
    {
        Probe probe{engine, clock, WARMD_AGENT_PROGRAM};
        Doctor doctor{engine,
                      probe,
                      {.files = HostFiles{root_.path()},
                       .store = store_.path(),
                       .podman_socket = "/run/podman/podman.sock",
                       .run = [this](const std::string& command) {
                           ran_ = command;
                           return check_says_;
                       }}};
        return doctor.examine({}, only);
    }

    Finding look(const std::string& check)
    {
        const Findings found = examine(check).findings;
        EXPECT_EQ(found.size(), 1U) << check;
        return found.empty() ? Finding{} : found.front();
    }

    /// Of an engine that says other things than the fake.
    static Finding look(Finding (*check)(const Examined&), const EngineInfo& engine)
    {
        const DoctorOptions options;
        return check({.options = options, .engine = engine, .engine_error = std::nullopt});
    }

    test::FakeEngine engine;
    SystemClock clock;
    test::TempDir root_;
    test::TempDir store_;
    std::string ran_;
    std::pair<int, std::string> check_says_{0, "Looks good.\n"};
};

TEST_F(DoctorTest, AMachineThatHasEverythingHasNoProblem)
{
    const auto [findings, environment] = examine();
    for (const Finding& finding : findings) {
        if (finding.check == "podman_version") continue;  // the fake is Podman 0.0
        EXPECT_NE(finding.status, FindingStatus::problem) << finding.check << ": " << finding.found;
        EXPECT_NE(finding.status, FindingStatus::skipped) << finding.check << ": " << finding.found;
        EXPECT_FALSE(finding.found.empty()) << finding.check;
        EXPECT_FALSE(finding.why.empty()) << finding.check;
    }
    EXPECT_EQ(findings.back().check, "probe");
    EXPECT_NE(findings.back().found.find("restore"), std::string::npos);
    EXPECT_TRUE(engine.container_names().empty());
    EXPECT_EQ(ran_, "/usr/sbin/criu check 2>&1");
    EXPECT_EQ(environment, host_environment(engine.info())) << "what a checkpoint made here would record";
}

TEST_F(DoctorTest, WithoutPodmanItSaysSoAndSkipsWhatPodmanWouldTell)
{
    engine.fail_next("info", Error{ErrorCode::unavailable, "cannot connect to Podman"});
    const auto [findings, environment] = examine();
    EXPECT_EQ(findings.front().status, FindingStatus::problem);
    EXPECT_EQ(findings.front().fix, "systemctl enable --now podman.socket");
    for (const char* const name : {"podman_version", "runtime", "storage_driver", "criu_and_kernel", "probe"}) {
        const auto found = std::find_if(findings.begin(), findings.end(),
                                        [name](const Finding& finding) { return finding.check == name; });
        ASSERT_NE(found, findings.end());
        EXPECT_EQ(found->status, FindingStatus::skipped) << name;
    }
    EXPECT_EQ(worst(findings), FindingStatus::problem);
    EXPECT_EQ(environment, Environment{});

    take("/usr/bin/podman");
    engine.fail_next("info", Error{ErrorCode::unavailable, "cannot connect to Podman"});
    EXPECT_NE(look("podman").fix.find("apt-get install podman"), std::string::npos);
}

TEST_F(DoctorTest, ARuntimeWithoutCriuAndAStorageWithoutOverlayAreProblems)
{
    EngineInfo info{
        .version = "5.4.2", .runtime = "crun", .runtime_version = "crun version 1.8.1", .storage_driver = "vfs"};
    EXPECT_EQ(look(checks::runtime, info).status, FindingStatus::problem);
    EXPECT_EQ(look(checks::storage_driver, info).status, FindingStatus::problem);
    EXPECT_EQ(look(checks::podman_version, info).status, FindingStatus::ok);
    info.version = "3.4.4";
    EXPECT_EQ(look(checks::podman_version, info).status, FindingStatus::problem);
    info.runtime_has_criu = true;
    EXPECT_EQ(look(checks::runtime, info).status, FindingStatus::ok);
    info.runtime = "runc";
    EXPECT_EQ(look(checks::runtime, info).status, FindingStatus::problem) << "its instances cannot be told apart";
}

TEST_F(DoctorTest, EachMissingPartNamesThePackageThatHasIt)
{
    take("/usr/sbin/criu");
    EXPECT_EQ(look("criu").status, FindingStatus::problem);
    EXPECT_NE(look("criu").fix.find("apt-get install criu"), std::string::npos);
    EXPECT_EQ(look("criu_check").status, FindingStatus::skipped);

    take("/usr/sbin/ip6tables-restore");
    EXPECT_EQ(look("iptables").status, FindingStatus::problem);
    EXPECT_EQ(look("iptables").found, "there is no program ip6tables-restore");
    EXPECT_EQ(look("iptables").fix, "apt-get install iptables");
    put("/etc/criu/default.conf", "# ours\nnetwork-lock skip\n");
    EXPECT_EQ(look("iptables").status, FindingStatus::ok);

    take("/usr/lib/x86_64-linux-gnu/libcriu.so.2");
    EXPECT_EQ(look("libcriu").status, FindingStatus::ok) << "the fake's runtime is not crun";
    const EngineInfo crun{.runtime = "crun"};
    const DoctorOptions here{.files = HostFiles{root_.path()}, .store = {}, .podman_socket = {}, .run = {}};
    const Finding finding = checks::libcriu({.options = here, .engine = crun, .engine_error = std::nullopt});
    EXPECT_EQ(finding.status, FindingStatus::problem);
    EXPECT_EQ(finding.fix, "apt-get install libcriu2");
}

TEST_F(DoctorTest, CriusOwnCheckIsMadeOnlyByWhoMay)
{
    check_says_ = {1, "Error: kernel too old\x1b[31m\n"};
    const Finding failed = look("criu_check");
    EXPECT_EQ(failed.status, FindingStatus::problem);
    EXPECT_EQ(failed.found, "Error: kernel too old\\x1b[31m");

    ran_.clear();
    put("/proc/self/status", "CapEff:\t0000000000000000\n");
    EXPECT_EQ(look("criu_check").status, FindingStatus::skipped);
    EXPECT_TRUE(ran_.empty());
}

TEST_F(DoctorTest, AControlGroupOfVersionOneIsAProblemWithItsUnmountAsFix)
{
    EXPECT_EQ(look("cgroups").status, FindingStatus::ok);
    put("/proc/1/mountinfo", std::string{kPureV2} + "40 24 0:30 / /mnt/v1 rw - cgroup none rw,name=stale\n");
    EXPECT_EQ(look("cgroups").status, FindingStatus::problem);
    EXPECT_EQ(look("cgroups").fix, "umount /mnt/v1");
    EXPECT_EQ(look("probe").status, FindingStatus::skipped);
    EXPECT_EQ(engine.calls("checkpoint"), 0);
    put("/proc/1/mountinfo", "40 24 0:30 / /sys/fs/cgroup/pids rw - cgroup none rw,pids\n");
    EXPECT_NE(look("cgroups").fix.find("systemd.unified_cgroup_hierarchy=1"), std::string::npos);
    put("/proc/1/mountinfo", "");
    put("/proc/self/mountinfo", kPureV2);
    EXPECT_EQ(look("cgroups").status, FindingStatus::ok);
}

TEST_F(DoctorTest, KernelsThatThisCriuDoesNotKnowAreNamed)
{
    EXPECT_TRUE(known_conflict("6.18.2-cloud-amd64", "4.1.1"));
    EXPECT_TRUE(known_conflict("6.16.0", "4.1"));
    EXPECT_FALSE(known_conflict("6.12.48+deb13-amd64", "4.1.1"));
    EXPECT_FALSE(known_conflict("6.18.2", "4.2"));
    EXPECT_NE(known_conflict("6.18.2", "3.17.1")->find("does not start"), std::string::npos);
    EXPECT_FALSE(known_conflict("6.1.0-41-amd64", "3.17.1"));
    EXPECT_FALSE(known_conflict("unknown", "4.1"));
    EXPECT_FALSE(known_conflict("6.18", ""));
    EXPECT_EQ(look(checks::criu_and_kernel, {.criu_version = "4.1", .kernel = "6.18.1"}).status,
              FindingStatus::problem);
    EXPECT_EQ(look(checks::criu_and_kernel, {.criu_version = "4.2", .kernel = "6.18.1"}).status, FindingStatus::ok);
}

TEST_F(DoctorTest, MissingKernelFeaturesAreNamed)
{
    take("/proc/sys/kernel/ns_last_pid");
    EXPECT_EQ(look("kernel_features").status, FindingStatus::problem);
    EXPECT_NE(look("kernel_features").found.find("ns_last_pid"), std::string::npos);
}

TEST_F(DoctorTest, SettingsAreReadInPodmansOrder)
{
    put("/etc/containers/containers.conf", "[engine]\nexit_command_delay=900\n");
    EXPECT_EQ(look("exec_remains").status, FindingStatus::ok) << "the drop-in comes last";
    take("/etc/containers/containers.conf.d/50-warmd.conf");
    EXPECT_EQ(look("exec_remains").found, "exit_command_delay is 900 s");
    take("/etc/containers/containers.conf");
    EXPECT_EQ(look("exec_remains").status, FindingStatus::advice);
    EXPECT_EQ(look("exec_remains").found, "exit_command_delay is 300 s");
}

TEST_F(DoctorTest, LittleMemoryIsAdvice)
{
    put("/proc/meminfo", "MemTotal:       16000000 kB\nMemAvailable:    200000 kB\n");
    EXPECT_EQ(look("memory").status, FindingStatus::advice);
    take("/proc/meminfo");
    EXPECT_EQ(look("memory").status, FindingStatus::skipped);
}

TEST_F(DoctorTest, TheExportIsLookedForWherePodmansServiceHasItsTmpdir)
{
    put("/etc/systemd/system/podman.service.d/tmp.conf",
        "[Service]\nEnvironment=TMPDIR=" + store_.path().string() + "\n");
    EXPECT_TRUE(look("export_space").found.starts_with(store_.path().string()));
    put("/etc/systemd/system/podman.service.d/tmp.conf", "[Service]\nEnvironment=\"TMPDIR=/no/such/place\"\n");
    EXPECT_EQ(look("export_space").status, FindingStatus::problem);
}

TEST_F(DoctorTest, ACatalogThatWasDamagedIsAdvice)
{
    EXPECT_EQ(look("catalog").status, FindingStatus::ok);
    std::ofstream{store_.path() / "catalog.sqlite.damaged-2026-01-31T120000.000Z-wal"} << "log";
    EXPECT_EQ(look("catalog").status, FindingStatus::ok);
    std::ofstream{store_.path() / "catalog.sqlite.damaged-2026-01-31T120000.000Z"} << "rows";
    const Finding finding = look("catalog");
    EXPECT_EQ(finding.status, FindingStatus::advice);
    EXPECT_TRUE(finding.found.ends_with("damaged-2026-01-31T120000.000Z")) << finding.found;
}

TEST_F(DoctorTest, TheSpeedTestLeavesNoFile)
{
    EXPECT_EQ(look("store_speed").check, "store_speed");
    EXPECT_TRUE(fs::is_empty(store_.path()));
}

TEST_F(DoctorTest, WhatTheProbeFailsWithIsItsFinding)
{
    engine.fail_next("checkpoint", Error{ErrorCode::engine_failed, "Podman refused"}.with_cause("iptables: not found"));
    const Finding finding = look("probe");
    EXPECT_EQ(finding.status, FindingStatus::problem);
    EXPECT_EQ(finding.found, "a container cannot be checkpointed: Podman refused: iptables: not found");
    EXPECT_FALSE(finding.fix.empty());
    EXPECT_TRUE(engine.container_names().empty());
}

}  // namespace
}  // namespace warmd
