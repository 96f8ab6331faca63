#include "daemon/podman/podman_json.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "daemon/base/json.h"
#include "tests/unit/expect_error.h"

namespace warmd::podman {
namespace {

using namespace std::chrono_literals;
using test::contains;
using test::expect_error;

const std::string kContainerId = "5d6f0d1c3b8e4a7f9c2d1e0b3a4f5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d";

// Cut from the answers of Podman 4.3 to the requests that the comments name.

// GET /libpod/info
constexpr const char* kInfo = R"({
  "host": {
    "arch": "amd64", "buildahVersion": "1.28.2", "cgroupManager": "systemd", "cgroupVersion": "v2",
    "kernel": "6.1.0-18-amd64",
    "ociRuntime": {
      "name": "crun", "package": "crun_1.8.1-1+deb12u1_amd64", "path": "/usr/bin/crun",
      "version": "crun version 1.8.1\ncommit: f8a096b\nspec: 1.0.0\n+SYSTEMD +SECCOMP +EBPF +CRIU +YAJL"
    }
  },
  "store": {"graphDriverName": "overlay", "graphRoot": "/var/lib/containers/storage"},
  "version": {"APIVersion": "4.3.1", "Version": "4.3.1", "GoVersion": "go1.19.8", "Os": "linux"}
})";

// GET /libpod/containers/ID/json
std::string container_document(const std::string& state)
{
    return R"({"Id": ")" + kContainerId + R"(", "Created": "2026-01-31T12:00:00.123456789Z", "Name": "warmd-inst-1",
  "Image": "a3f0c1d2", "ImageName": "localhost/octave:latest", "Driver": "overlay",
  "State": )" +
           state + R"(,
  "GraphDriver": {"Name": "overlay", "Data": {"LowerDir": "/l", "MergedDir": "/m",
            "UpperDir": "/var/lib/u/diff", "WorkDir": "/w"}},
  "Config": {"Hostname": "calc", "Labels": {"warmd.instance": "inst-1", "warmd.template": "octave"}}})";
}

constexpr const char* kRunning =
    R"({"OciVersion": "1.0.2-dev", "Status": "running", "Running": true, "OOMKilled": false, "Pid": 4711,
            "ExitCode": 0, "Checkpointed": false})";

Json parsed(const std::string& text) { return Json::parse(text); }

TEST(EncodeCreate, SaysAllThatTheSpecSays)
{
    ContainerSpec spec;
    spec.name = "warmd-inst-1";
    spec.image = "localhost/octave";
    spec.command = {"octave-cli", "--eval", "x"};
    spec.env = {{"LC_ALL", "C"}};
    spec.labels = {{"warmd.instance", "inst-1"}};
    spec.workdir = "/work";
    spec.user = "1000";
    spec.hostname = "calc";
    spec.mounts = {{.source = "/a", .target = "/b", .read_only = true},
                   {.source = "/c", .target = "/d", .read_only = false}};
    spec.network = Network::bridge;
    spec.limits = {.memory_bytes = 1U << 30U, .cpus = 1.5, .pids = 64};
    const Json json = parsed(encode_create(spec));
    EXPECT_EQ(json.at("name"), "warmd-inst-1");
    EXPECT_EQ(json.at("image"), "localhost/octave");
    EXPECT_EQ(json.at("command"), parsed(R"(["octave-cli", "--eval", "x"])"));
    EXPECT_EQ(json.at("env"), parsed(R"({"LC_ALL": "C"})"));
    EXPECT_EQ(json.at("labels"), parsed(R"({"warmd.instance": "inst-1"})"));
    EXPECT_EQ(json.at("work_dir"), "/work");
    EXPECT_EQ(json.at("user"), "1000");
    EXPECT_EQ(json.at("hostname"), "calc");
    EXPECT_EQ(json.at("netns"), parsed(R"({"nsmode": "bridge"})"));
    EXPECT_EQ(json.at("mounts"),
              parsed(R"([{"type": "bind", "source": "/a", "destination": "/b", "options": ["ro", "rbind"]},
                         {"type": "bind", "source": "/c", "destination": "/d", "options": ["rw", "rbind"]}])"));
    EXPECT_EQ(json.at("resource_limits"), parsed(R"({"memory": {"limit": 1073741824}, "pids": {"limit": 64},
                                                     "cpu": {"period": 100000, "quota": 150000}})"));
}

TEST(EncodeCreate, LeavesToTheImageWhatTheSpecLeavesOut)
{
    const Json json = parsed(encode_create({.name = "n", .image = "i"}));
    for (const char* const member : {"command", "work_dir", "user", "hostname", "mounts", "resource_limits"}) {
        EXPECT_FALSE(json.contains(member)) << member;
    }
    EXPECT_EQ(json.at("netns").at("nsmode"), "none");
}

TEST(EncodeCreate, LimitsEvenTheSmallestShareOfAProcessor)
{
    ContainerSpec spec{.name = "n", .image = "i"};
    spec.limits.cpus = 0.000'001;
    const Json json = parsed(encode_create(spec));
    // The kernel's smallest quota is one millisecond; 0 means no limit at all.
    EXPECT_GE(json.at("resource_limits").at("cpu").at("quota").get<int>(), 1000);
}

TEST(EncodeExec, AttachesBothStreamsWithoutATerminal)
{
    const Json json = parsed(
        encode_exec({.command = {"sh", "-c", "echo"}, .env = {{"A", "1=2"}}, .workdir = "/w", .user = "u"}));
    EXPECT_EQ(json, parsed(R"({"Cmd": ["sh", "-c", "echo"], "AttachStdout": true, "AttachStderr": true, "Tty": false,
                               "Env": ["A=1=2"], "WorkingDir": "/w", "User": "u"})"));
    const Json plain = parsed(encode_exec({.command = {"true"}}));
    EXPECT_FALSE(plain.contains("Env"));
    EXPECT_FALSE(plain.contains("WorkingDir"));
    EXPECT_FALSE(plain.contains("User"));
}

TEST(DecodeInfo, ReadsTheEngineAndWhatItStandsOn)
{
    const EngineInfo info = decode_info(kInfo);
    EXPECT_EQ(info.version, "4.3.1");
    EXPECT_EQ(info.api_version, "4.3.1");
    EXPECT_EQ(info.runtime, "crun");
    EXPECT_EQ(info.runtime_version, "crun version 1.8.1");
    EXPECT_TRUE(info.runtime_has_criu);
    EXPECT_EQ(info.kernel, "6.1.0-18-amd64");
    EXPECT_EQ(info.architecture, "amd64");
    EXPECT_EQ(info.storage_driver, "overlay");
}

TEST(DecodeInfo, SeesWhetherTheRuntimeHasCriu)
{
    Json json = parsed(kInfo);
    json["host"]["ociRuntime"]["version"] = "crun version 1.8.1\n+SYSTEMD +YAJL";
    EXPECT_FALSE(decode_info(json.dump()).runtime_has_criu);
    json["host"]["ociRuntime"] = {{"name", "runc"}, {"version", "runc version 1.1.5"}};
    EXPECT_TRUE(decode_info(json.dump()).runtime_has_criu);
}

TEST(DecodeImage, ReadsIdAndDigest)
{
    const ImageInfo image = decode_image(
        R"({"Id": "a3f0", "Digest": "sha256:12", "RepoTags": ["localhost/octave:latest"]})");
    EXPECT_EQ(image.id, "a3f0");
    EXPECT_EQ(image.digest, "sha256:12");
    EXPECT_EQ(decode_image(R"({"Id": "a3f0"})").digest, "");
}

TEST(DecodeId, ReadsTheIdOfAnAnswer) { EXPECT_EQ(decode_id(R"({"Id": "abc", "Warnings": []})"), "abc"); }

TEST(DecodeContainer, ReadsARunningContainer)
{
    const ContainerInfo info = decode_container(container_document(kRunning));
    EXPECT_EQ(info.id, ContainerId{kContainerId});
    EXPECT_EQ(info.name, "warmd-inst-1");
    EXPECT_EQ(info.status, ContainerStatus::running);
    EXPECT_EQ(info.pid, 4711);
    EXPECT_FALSE(info.checkpointed);
    EXPECT_EQ(info.image_id, "a3f0c1d2");
    EXPECT_EQ(info.labels.at("warmd.instance"), "inst-1");
    EXPECT_EQ(info.labels.size(), 2U);
}

TEST(DecodeContainer, ReadsAnExitedContainerAndForgetsItsLastPid)
{
    const ContainerInfo info = decode_container(container_document(
        R"({"Status": "exited", "OOMKilled": true, "Pid": 4711, "ExitCode": 137, "Checkpointed": true})"));
    EXPECT_EQ(info.status, ContainerStatus::exited);
    EXPECT_EQ(info.pid, 0);
    EXPECT_EQ(info.exit_code, 137);
    EXPECT_TRUE(info.oom_killed);
    EXPECT_TRUE(info.checkpointed);
}

TEST(DecodeContainer, KnowsPodmansWordsForStates)
{
    const auto status = [](const std::string& word) {
        return decode_container(container_document(R"({"Status": ")" + word + R"("})")).status;
    };
    EXPECT_EQ(status("created"), ContainerStatus::created);
    EXPECT_EQ(status("configured"), ContainerStatus::created);
    EXPECT_EQ(status("initialized"), ContainerStatus::created);
    EXPECT_EQ(status("running"), ContainerStatus::running);
    EXPECT_EQ(status("paused"), ContainerStatus::paused);
    EXPECT_EQ(status("exited"), ContainerStatus::exited);
    EXPECT_EQ(status("stopped"), ContainerStatus::exited);
    EXPECT_EQ(status("removing"), ContainerStatus::other);
}

TEST(DecodeContainer, TakesAbsentLabelsForNone)
{
    Json json = parsed(container_document(kRunning));
    json["Config"]["Labels"] = nullptr;
    EXPECT_TRUE(decode_container(json.dump()).labels.empty());
    json["Config"].erase("Labels");
    EXPECT_TRUE(decode_container(json.dump()).labels.empty());
}

TEST(DecodeUpperDirectory, IsTheOverlaysAndEmptyForAnotherDriver)
{
    EXPECT_EQ(decode_upper_directory(container_document(kRunning)), "/var/lib/u/diff");
    EXPECT_EQ(decode_upper_directory(R"({"GraphDriver": {"Name": "vfs", "Data": {}}})"), "");
    EXPECT_EQ(decode_upper_directory("{}"), "");
}

TEST(DecodeListIds, ReadsTheIdsOfAList)
{
    EXPECT_EQ(decode_list_ids(R"([{"Id": "a", "Names": ["x"]}, {"Id": "b"}])"), (std::vector<std::string>{"a", "b"}));
    EXPECT_TRUE(decode_list_ids("[]").empty());
    EXPECT_TRUE(decode_list_ids("null").empty());
}

TEST(DecodeChanges, KeepsTheModifiedAndTheDeletedAndLeavesTheAdded)
{
    const RootfsChanges changes = decode_changes(R"([{"Path": "/etc", "Kind": 0}, {"Path": "/etc/hosts", "Kind": 0},
                                                     {"Path": "/new", "Kind": 1}, {"Path": "/gone", "Kind": 2}])");
    EXPECT_EQ(changes.modified, (std::vector<std::string>{"/etc", "/etc/hosts"}));
    EXPECT_EQ(changes.deleted, std::vector<std::string>{"/gone"});
    EXPECT_TRUE(decode_changes("null").modified.empty());
}

TEST(KeepFiles, TakesPathsOffTheListOfDeletedFiles)
{
    EXPECT_EQ(keep_files(R"(["/etc/passwd", "/var/run", "/var/run/x"])", {"/var/run", "/other"}),
              R"(["/etc/passwd","/var/run/x"])");
    EXPECT_EQ(keep_files(R"(["/var/run"])", {"/var/run"}), "[]");
    expect_error(ErrorCode::engine_failed, [] { keep_files("[1]", {}); });
}

TEST(DecodeExecSession, ReadsStateAndPid)
{
    const ExecSession session = decode_exec_session(
        R"({"ID": "e", "ExitCode": 3, "Running": true, "Pid": 77, "CanRemove": false})");
    EXPECT_EQ(session.exit_code, 3);
    EXPECT_TRUE(session.running);
    EXPECT_EQ(session.pid, 77);
    EXPECT_EQ(decode_exec_session(R"({"ExitCode": 0, "Running": false})").pid, 0);
}

TEST(DecodeEvent, ReadsAContainersEvent)
{
    const auto event = decode_event(
        R"({"status": "died", "id": "abc", "Type": "container", "Action": "died", "time": 1769860800,
            "timeNano": 1769860800123456789,
            "Actor": {"ID": "abc", "Attributes": {"containerExitCode": "1", "image": "i",
            "name": "warmd-inst-1", "warmd.instance": "inst-1"}}})",
        "warmd.instance");
    ASSERT_TRUE(event);
    EXPECT_EQ(event->action, "died");
    EXPECT_EQ(event->container, ContainerId{"abc"});
    EXPECT_EQ(event->name, "warmd-inst-1");
    EXPECT_EQ(event->at, Time{1'769'860'800'123'456us});
}

TEST(DecodeEvent, PassesOverTheEventsOfOthers)
{
    EXPECT_FALSE(decode_event(R"({"Type": "image", "Action": "pull"})", "warmd.instance"));
    EXPECT_FALSE(decode_event("{}", "warmd.instance"));
}

TEST(PodmanDocuments, GarbageIsAFailureOfTheEngineThatQuotesIt)
{
    const std::vector<std::function<void(const std::string&)>> decoders{
        [](const std::string& body) { decode_info(body); },
        [](const std::string& body) { decode_image(body); },
        [](const std::string& body) { decode_id(body); },
        [](const std::string& body) { decode_container(body); },
        [](const std::string& body) { decode_exec_session(body); },
        [](const std::string& body) { decode_list_ids(body); },
        [](const std::string& body) { decode_changes(body); },
        [](const std::string& body) { rename_config_dump(body, ContainerId{"a"}, {}); },
    };
    for (const char* const body :
         {"", "<html>", "{", "[1]", "\"text\"", "[{}]", "{\"Id\": 1, \"host\": 1, \"State\": 1}", "\xFF"}) {
        for (std::size_t i = 0; i < decoders.size(); ++i) {
            SCOPED_TRACE(body);
            SCOPED_TRACE(i);
            const Error error = expect_error(ErrorCode::engine_failed, [&] { decoders[i](body); });
            EXPECT_TRUE(contains(error.what(), "cannot be read")) << error.what();
            EXPECT_FALSE(error.cause().empty());
        }
    }
}

TEST(PodmanDocuments, AWrongTypeDeepInsideIsAFailureOfTheEngine)
{
    expect_error(ErrorCode::engine_failed,
                 [] { decode_container(container_document(R"({"Status": "running", "Pid": "4711"})")); });
    expect_error(ErrorCode::engine_failed, [] { decode_container(container_document(R"({"Status": 5})")); });
    expect_error(ErrorCode::engine_failed, [] { decode_changes(R"([{"Path": "/x", "Kind": "0"}])"); });
    expect_error(ErrorCode::engine_failed, [] { decode_event(R"({"Type": "container"})", "l"); });
    expect_error(ErrorCode::engine_failed, [] { decode_event("not JSON", "l"); });
    Json json = parsed(container_document(kRunning));
    json["Config"]["Labels"] = {{"a", 1}};
    expect_error(ErrorCode::engine_failed, [&] { decode_container(json.dump()); });
}

TEST(PodmanDocuments, AnOverlongBodyIsCutInTheCause)
{
    const Error error = expect_error(ErrorCode::engine_failed, [] { decode_id(std::string(100'000, 'x')); });
    EXPECT_LT(error.cause().size(), 2000U);
}

TEST(DecodeError, ReadsPodmansWords)
{
    EXPECT_EQ(decode_error(
                  R"({"cause": "no such container", "message": "no container with ID x: no such container",
            "response": 404})"),
              "no container with ID x: no such container");
    EXPECT_EQ(decode_error(R"({"cause": "CRIU failed", "message": "checkpointing", "response": 500})"),
              "CRIU failed: checkpointing");
    EXPECT_EQ(decode_error(R"({"message": "only this"})"), "only this");
}

TEST(DecodeError, AddsNothingToACauseWithoutAMessage)
{
    EXPECT_EQ(decode_error(R"({"cause": "only this", "response": 500})"), "only this");
}

TEST(DecodeError, TakesWhatIsNoErrorDocumentAsItIs)
{
    EXPECT_EQ(decode_error("Not Found\n"), "Not Found\\x0a");
    EXPECT_EQ(decode_error("[1]"), "[1]");
    EXPECT_EQ(decode_error(R"({"cause": 5})"), R"({"cause": 5})");
    EXPECT_EQ(decode_error(""), "");
}

TEST(DecodeError, LeavesNoControlCharactersIn)
{
    EXPECT_EQ(decode_error(R"({"message": "line\nforged \u001b[31mline"})"), R"(line\x0aforged \x1b[31mline)");
}

TEST(RenameConfigDump, PutsInIdNameAndLabelsAndKeepsTheRest)
{
    const std::string old = R"({"spec": {"version": "1.0.2"}, "id": "old", "name": "old-name",
        "labels": {"warmd.instance": "inst-old", "image.label": "x"}, "rootfsImageID": "a3f0",
            "staticDir": "/x/old"})";
    const RestoreSpec spec{.name = "warmd-inst-2", .labels = {{"warmd.instance", "inst-2"}}};
    const Json json = parsed(rename_config_dump(old, ContainerId{kContainerId}, spec));
    EXPECT_EQ(json.at("id"), kContainerId);
    EXPECT_EQ(json.at("name"), "warmd-inst-2");
    EXPECT_EQ(json.at("labels"), parsed(R"({"warmd.instance": "inst-2"})"));
    EXPECT_EQ(json.at("rootfsImageID"), "a3f0");
    EXPECT_EQ(json.at("spec").at("version"), "1.0.2");
    EXPECT_EQ(json.at("staticDir"), "/x/old");
}

TEST(RenameConfigDump, GivesLabelsToAContainerThatHadNone)
{
    const RestoreSpec spec{.name = "n", .labels = {{"warmd.instance", "inst-2"}}};
    EXPECT_EQ(parsed(rename_config_dump(R"({"id": "old", "name": "o"})", ContainerId{"new"}, spec)).at("labels").size(),
              1U);
}

TEST(RenameConfigDump, KeepsLargeNumbersExact)
{
    const std::string out = rename_config_dump(
        R"({"id": "o", "name": "o", "shmSize": 18446744073709551615, "n": -9223372036854775808})", ContainerId{"new"},
        {.name = "n"});
    EXPECT_TRUE(contains(out, "18446744073709551615")) << out;
    EXPECT_TRUE(contains(out, "-9223372036854775808")) << out;
}

TEST(RenameConfigDump, RefusesADocumentWithoutIdOrName)
{
    expect_error(ErrorCode::engine_failed, [] { rename_config_dump(R"({"name": "x"})", ContainerId{"a"}, {}); });
    expect_error(ErrorCode::engine_failed, [] { rename_config_dump(R"({"id": "x"})", ContainerId{"a"}, {}); });
}

std::string varint(std::uint64_t value)
{
    std::string bytes;
    do {
        bytes += static_cast<char>((value & 0x7FU) | (value > 0x7FU ? 0x80U : 0U));
        value >>= 7U;
    } while (value != 0);
    return bytes;
}

/// CRIU's stats-dump with these fields of dump_stats_entry.
std::string stats_dump(const std::vector<std::pair<unsigned, std::uint64_t>>& fields)
{
    std::string entry;
    for (const auto& [number, value] : fields) entry += varint(number << 3U) + varint(value);
    const std::string message = varint(1U << 3U | 2U) + varint(entry.size()) + entry;
    std::string image("\x54\x56\x43\x55\x57\x49\x05\x57", 8);
    for (const unsigned shift : {0U, 8U, 16U, 24U}) image += static_cast<char>(message.size() >> shift & 255U);
    return image + message;
}

TEST(DumpStatistics, NamesTheFieldsOfCriusMessage)
{
    const auto statistics = decode_dump_statistics(stats_dump(
        {{1, 116}, {2, 74'821}, {3, 29'118}, {4, 1}, {5, 9'000'000'000}, {6, 0}, {7, 4'321}, {8, 17}, {9, 18}}));
    const std::map<std::string, std::int64_t> expected{
        {"criu.freezing_time_us", 116}, {"criu.frozen_time_us", 74'821},       {"criu.memdump_time_us", 29'118},
        {"criu.memwrite_time_us", 1},   {"criu.pages_scanned", 9'000'000'000}, {"criu.pages_skipped_parent", 0},
        {"criu.pages_written", 4'321}};
    EXPECT_EQ(statistics, expected);
}

TEST(DumpStatistics, AreEmptyForWhatCannotBeRead)
{
    EXPECT_TRUE(decode_dump_statistics("").empty());
    EXPECT_TRUE(decode_dump_statistics("short").empty());
    EXPECT_TRUE(decode_dump_statistics(std::string(200, 'x')).empty());
    // restore statistics are another member of the same message
    std::string restore = stats_dump({{1, 1}});
    restore[12] = static_cast<char>(2U << 3U | 2U);
    EXPECT_TRUE(decode_dump_statistics(restore).empty());
}

TEST(DumpStatistics, SurviveTruncationAndDamage)
{
    const std::string whole = stats_dump({{1, 116}, {2, 74'821}, {7, UINT64_MAX}});
    for (std::size_t size = 0; size < whole.size(); ++size) {
        EXPECT_LE(decode_dump_statistics(whole.substr(0, size)).size(), 3U);
    }
    for (std::size_t at = 0; at < whole.size(); ++at) {
        std::string damaged = whole;
        damaged[at] = '\xFF';
        EXPECT_LE(decode_dump_statistics(damaged).size(), 7U);
    }
}

}  // namespace
}  // namespace warmd::podman
