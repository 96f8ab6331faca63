// What every ContainerEngine promises, run against the fake and against real Podman. The second needs the
// test host: WARMD_TEST_PODMAN names its socket, WARMD_TEST_IMAGE a Debian image in its storage.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <future>
#include <iterator>
#include <memory>
#include <thread>

#include "daemon/podman/podman_engine.h"
#include "tests/support/fake_engine.h"

namespace warmd {
namespace {

using namespace std::chrono_literals;

struct EngineUnderTest {
    std::unique_ptr<ContainerEngine> engine;
    std::string image;
    std::string missing;  // why there is no engine
};

EngineUnderTest make_fake()
{
    auto engine = std::make_unique<test::FakeEngine>();
    engine->add_image("localhost/test:latest", std::string(64, 'a'));
    return {.engine = std::move(engine), .image = "localhost/test:latest", .missing = {}};
}

EngineUnderTest make_podman()
{
    const char* const socket = std::getenv("WARMD_TEST_PODMAN");
    const char* const image = std::getenv("WARMD_TEST_IMAGE");
    if (socket == nullptr || image == nullptr) {
        return {.engine = nullptr,
                .image = {},
                .missing = "needs the test host: WARMD_TEST_PODMAN and WARMD_TEST_IMAGE are not set"};
    }
    return {.engine = std::make_unique<podman::PodmanEngine>(podman::PodmanOptions{.socket_path = socket}),
            .image = image,
            .missing = {}};
}

class ContainerEngineContract : public testing::TestWithParam<EngineUnderTest (*)()> {
protected:
    void SetUp() override
    {
        subject_ = GetParam()();
        if (!subject_.engine) GTEST_SKIP() << subject_.missing;
    }

    void TearDown() override
    {
        if (!subject_.engine) return;
        for (const std::string& name : names_) subject_.engine->remove(name);
        EXPECT_TRUE(subject_.engine->list(label_).empty()) << "a container was left behind";
    }

    ContainerEngine& engine() { return *subject_.engine; }

    std::string new_name()
    {
        names_.push_back("contract-" + new_id(""));
        return names_.back();
    }

    ContainerSpec spec(std::vector<std::string> command = {"sh", "-c", "while :; do sleep 1; done"})
    {
        ContainerSpec result;
        result.name = new_name();
        result.image = subject_.image;
        result.command = std::move(command);
        result.labels = {{label_, "original"}};
        return result;
    }

    ContainerId start(const ContainerSpec& what)
    {
        const ContainerId id = engine().create(what);
        engine().start(id);
        return id;
    }

    struct Captured {
        ExecResult result;
        std::string out;
        std::string err;
    };

    Captured exec(const ContainerId& id, std::vector<std::string> command, Duration timeout = 30s)
    {
        Captured captured;
        ExecRequest request;
        request.command = std::move(command);
        captured.result = engine().exec(id, request, timeout,
                                        [&captured](ExecStream stream, std::string_view bytes) {
                                            (stream == ExecStream::out ? captured.out : captured.err) += bytes;
                                        },
                                        {});
        return captured;
    }

    Captured shell(const ContainerId& id, const std::string& script, Duration timeout = 30s)
    {
        return exec(id, {"sh", "-c", script}, timeout);
    }

    std::string checkpoint(const ContainerId& id)
    {
        std::string tarball;
        engine().checkpoint(id, {}, [&tarball](std::string_view bytes) { tarball += bytes; }, {});
        return tarball;
    }

    static ByteSource source(const std::string& bytes)
    {
        return [&bytes, at = std::size_t{0}](std::span<char> buffer) mutable {
            const std::size_t count = bytes.copy(buffer.data(), buffer.size(), at);
            at += count;
            return count;
        };
    }

    RestoreSpec restored(const std::string& name) { return {.name = name, .labels = {{label_, "copy"}}}; }

    static ErrorCode code_of(const std::function<void()>& fn)
    {
        try {
            fn();
        } catch (const Error& error) {
            return error.code();
        }
        ADD_FAILURE() << "nothing was thrown";
        return ErrorCode::internal;
    }

    const std::string label_ = "warmd.contract." + new_id("");

private:
    EngineUnderTest subject_;
    std::vector<std::string> names_;
};

TEST_P(ContainerEngineContract, TheRunningPidIsThatOfARunningContainerOnly)
{
    const ContainerId id = start(spec());
    const int pid = engine().running_pid(id);
    EXPECT_EQ(pid, engine().inspect(id.value())->pid);
    EXPECT_EQ(engine().running_pid(id), pid);
    engine().remove(id.value());
    EXPECT_EQ(code_of([&] { engine().running_pid(id); }), ErrorCode::not_found);
}

TEST_P(ContainerEngineContract, TheMemoryInUseIsThatOfARunningContainerOnly)
{
    const ContainerId id = start(spec());
    const auto bytes = engine().memory_in_use(id);
    std::ifstream controllers{"/sys/fs/cgroup/cgroup.controllers"};
    const std::string known{std::istreambuf_iterator<char>{controllers}, {}};
    if (!bytes && known.find("memory") == std::string::npos) {
        GTEST_SKIP() << "this host's control groups of version 2 count no memory";
    }
    ASSERT_TRUE(bytes);
    EXPECT_GT(*bytes, 0U);
    EXPECT_LT(*bytes, std::uint64_t{100} << 20U) << "a shell has less";
    engine().remove(id.value());
    EXPECT_EQ(code_of([&] { engine().memory_in_use(id); }), ErrorCode::not_found);
}

TEST_P(ContainerEngineContract, InfoNamesTheEngineAndWhatItStandsOn)
{
    const EngineInfo info = engine().info();
    EXPECT_FALSE(info.version.empty());
    EXPECT_FALSE(info.runtime.empty());
    EXPECT_FALSE(info.kernel.empty());
    EXPECT_FALSE(info.criu_version.empty());
    EXPECT_TRUE(info.runtime_has_criu);
    EXPECT_EQ(info.storage_driver, "overlay");
}

TEST_P(ContainerEngineContract, AnImportedProgramRunsAloneInAContainer)
{
    const std::string image = engine().import_program(WARMD_AGENT_PROGRAM);
    EXPECT_TRUE(engine().find_image(image));
    ContainerSpec held = spec({"/program", "--hold"});
    held.image = image;
    const ContainerId id = start(held);
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    while (!engine().file_exists(id, "/held") && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    EXPECT_TRUE(engine().file_exists(id, "/held"));
    EXPECT_EQ(code_of([&] { engine().remove_image(image); }), ErrorCode::conflict);
    engine().remove(id.value());
    engine().remove_image(image);
    EXPECT_FALSE(engine().find_image(image));
    engine().remove_image(image);  // gone is good
    EXPECT_EQ(code_of([&] { (void)engine().import_program("/no/such/program"); }), ErrorCode::not_found);
}

TEST_P(ContainerEngineContract, FindsAnImageByNameAndById)
{
    const auto by_name = engine().find_image(spec().image);
    ASSERT_TRUE(by_name);
    EXPECT_EQ(by_name->id.size(), 64U);
    EXPECT_TRUE(engine().find_image(by_name->id));
    EXPECT_FALSE(engine().find_image("localhost/no/such:image"));
}

TEST_P(ContainerEngineContract, CreatingFromAMissingImageIsNotFound)
{
    ContainerSpec what = spec();
    what.image = "localhost/no/such:image";
    EXPECT_EQ(code_of([&] { engine().create(what); }), ErrorCode::not_found);
}

TEST_P(ContainerEngineContract, CreatingUnderATakenNameIsAConflict)
{
    const ContainerSpec what = spec();
    engine().create(what);
    EXPECT_EQ(code_of([&] { engine().create(what); }), ErrorCode::conflict);
}

TEST_P(ContainerEngineContract, InspectFollowsAContainerThroughItsLife)
{
    const ContainerSpec what = spec();
    const ContainerId id = engine().create(what);
    auto info = engine().inspect(id.value());
    ASSERT_TRUE(info);
    EXPECT_EQ(info->status, ContainerStatus::created);
    EXPECT_EQ(info->name, what.name);
    EXPECT_EQ(info->labels.at(label_), "original");
    EXPECT_EQ(info->pid, 0);
    EXPECT_EQ(info->image_id, engine().find_image(what.image)->id);

    engine().start(id);
    info = engine().inspect(what.name);
    ASSERT_TRUE(info);
    EXPECT_EQ(info->id, id);
    EXPECT_EQ(info->status, ContainerStatus::running);
    EXPECT_GT(info->pid, 0);

    engine().remove(id.value());
    EXPECT_FALSE(engine().inspect(id.value()));
}

TEST_P(ContainerEngineContract, ListsContainersThatCarryTheLabel)
{
    const ContainerId running = start(spec());
    const ContainerId created = engine().create(spec());
    const auto listed = engine().list(label_);
    ASSERT_EQ(listed.size(), 2U);
    EXPECT_NE(listed[0].id, listed[1].id);
    for (const ContainerInfo& info : listed) EXPECT_TRUE(info.id == running || info.id == created);
    EXPECT_TRUE(engine().list("warmd.contract.nobody").empty());
}

TEST_P(ContainerEngineContract, RemovingWhatIsNotThereSucceeds)
{
    engine().remove("contract-never-was");
    const ContainerSpec what = spec();
    start(what);
    engine().remove(what.name);
    engine().remove(what.name);
}

TEST_P(ContainerEngineContract, WaitReturnsTheExitStatusAndLogsTheOutput)
{
    const ContainerId id = start(spec({"sh", "-c", "echo first; echo second >&2; exit 3"}));
    EXPECT_EQ(engine().wait(id, 30s, {}), 3);
    const auto info = engine().inspect(id.value());
    ASSERT_TRUE(info);
    EXPECT_EQ(info->status, ContainerStatus::exited);
    EXPECT_EQ(info->exit_code, 3);
    const std::string all = engine().logs(id, 100);
    EXPECT_NE(all.find("first\n"), std::string::npos) << all;
    EXPECT_NE(all.find("second\n"), std::string::npos) << all;
    EXPECT_EQ(engine().logs(id, 1).find("first"), std::string::npos);
}

TEST_P(ContainerEngineContract, WaitGivesUpAfterItsTimeAndOnAStop)
{
    const ContainerId id = start(spec());
    EXPECT_EQ(engine().wait(id, 100ms, {}), std::nullopt);
    std::stop_source stop;
    stop.request_stop();
    EXPECT_EQ(code_of([&] { engine().wait(id, 30s, stop.get_token()); }), ErrorCode::cancelled);
}

TEST_P(ContainerEngineContract, ExecKeepsTheStreamsApartAndPassesTheExitStatusOn)
{
    const ContainerId id = start(spec());
    const Captured captured = shell(id, "echo to-out; echo to-err >&2; exit 42");
    EXPECT_EQ(captured.out, "to-out\n");
    EXPECT_EQ(captured.err, "to-err\n");
    EXPECT_EQ(captured.result.exit_status, 42);
    EXPECT_FALSE(captured.result.timed_out);
    EXPECT_GT(captured.result.elapsed, Duration::zero());
}

TEST_P(ContainerEngineContract, ExecPassesEnvironmentAndArgumentsUnchanged)
{
    const ContainerId id = start(spec());
    ExecRequest request;
    request.command = {"printf", "%s|", "a b", "", "$HOME", "'\"", "\xff"};
    std::string out;
    const auto collect = [&out](ExecStream, std::string_view bytes) { out += bytes; };
    EXPECT_EQ(engine().exec(id, request, 30s, collect, {}).exit_status, 0);
    // A byte that is no UTF-8 cannot pass through Podman's JSON: it arrives as U+FFFD.
    EXPECT_TRUE(out == "a b||$HOME|'\"|\xff|" || out == "a b||$HOME|'\"|\xef\xbf\xbd|") << out;

    out.clear();
    request.command = {"sh", "-c", "echo \"$WORD\""};
    request.env = {{"WORD", "x=y z"}};
    engine().exec(id, request, 30s, collect, {});
    EXPECT_EQ(out, "x=y z\n");
}

TEST_P(ContainerEngineContract, ExecDeliversMegabytesWholeAndInOrder)
{
    const ContainerId id = start(spec());
    const Captured captured = shell(id, "seq 1 300000");
    std::string expected;
    for (int i = 1; i <= 300000; ++i) expected += std::to_string(i) + "\n";
    EXPECT_TRUE(captured.out == expected) << captured.out.size() << " instead of " << expected.size();
}

TEST_P(ContainerEngineContract, ExecOfACommandThatIsNotThereIs127)
{
    const ContainerId id = start(spec());
    const Captured captured = exec(id, {"no-such-program"});
    EXPECT_EQ(captured.result.exit_status, kExitNotFound);
    EXPECT_NE(captured.err.find("no-such-program"), std::string::npos) << captured.err;
}

TEST_P(ContainerEngineContract, ExecKillsWhatOutlivesItsTimeoutEvenIfItIgnoresSignals)
{
    const ContainerId id = start(spec());
    const Captured captured = shell(
        id, "trap '' TERM INT HUP; echo $$ > pid; sleep 600 & echo $! > child; while :; do wait; done", 500ms);
    EXPECT_TRUE(captured.result.timed_out);
    EXPECT_EQ(captured.result.exit_status, kExitTimeout);
    EXPECT_LT(captured.result.elapsed, 20s);
    // Gone, or a zombie that nobody has reaped: the container's first process need not.
    const Captured after = shell(
        id, "for p in $(cat pid child); do grep -s '^State' /proc/$p/status | grep -v Z; done; true");
    EXPECT_EQ(after.out, "");
}

TEST_P(ContainerEngineContract, ExecIsKilledWhenItsOutputIsRefused)
{
    const ContainerId id = start(spec());
    ExecRequest request;
    request.command = {"sh", "-c", "echo $$ > pid; while :; do echo more; done"};
    EXPECT_THROW(
        engine().exec(id, request, 60s, [](ExecStream, std::string_view) { throw std::runtime_error{"gone"}; }, {}),
        std::runtime_error);
    EXPECT_EQ(shell(id, "grep -s '^State' /proc/$(cat pid)/status | grep -v Z; true").out, "");
}

TEST_P(ContainerEngineContract, ExecIsKilledWhenItIsCancelled)
{
    const ContainerId id = start(spec());
    std::stop_source stop;
    ExecRequest request;
    request.command = {"sh", "-c", "echo started; sleep 600"};
    EXPECT_EQ(code_of([&] {
                  engine().exec(
                      id, request, 60s, [&stop](ExecStream, std::string_view) { stop.request_stop(); },
                      stop.get_token());
              }),
              ErrorCode::cancelled);
}

TEST_P(ContainerEngineContract, ExecNeedsARunningContainer)
{
    const ContainerId id = engine().create(spec());
    EXPECT_EQ(code_of([&] { exec(id, {"true"}); }), ErrorCode::conflict);
    EXPECT_EQ(code_of([&] { exec(ContainerId{std::string(64, '0')}, {"true"}); }), ErrorCode::not_found);
}

TEST_P(ContainerEngineContract, AFrozenContainerMakesNoProgressUntilItIsThawed)
{
    const ContainerId id = start(spec({"sh", "-c", "n=0; while :; do n=$((n + 1)); echo $n; sleep 0.02; done"}));
    const auto last = [&] { return engine().logs(id, 1); };
    const auto goes_on_from = [&](const std::string& before) {
        const auto deadline = std::chrono::steady_clock::now() + 30s;
        while (last() == before && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
        return last() != before;
    };
    ASSERT_TRUE(goes_on_from({}));
    for (int i = 0; i < 2; ++i) engine().set_frozen(id, true);
    EXPECT_FALSE(engine().wait(id, 500ms, {}));  // the kernel and the log may need a moment
    const std::string frozen = last();
    EXPECT_FALSE(engine().wait(id, 500ms, {})) << "it counts as running";
    EXPECT_EQ(last(), frozen);
    EXPECT_EQ(engine().inspect(id.value())->status, ContainerStatus::running);
    for (int i = 0; i < 2; ++i) engine().set_frozen(id, false);
    EXPECT_TRUE(goes_on_from(frozen));
}

TEST_P(ContainerEngineContract, AFrozenContainerCanBeRemoved)
{
    const ContainerId id = start(spec());
    engine().set_frozen(id, true);
    engine().remove(id.value());
    EXPECT_FALSE(engine().inspect(id.value()));
}

TEST_P(ContainerEngineContract, OnlyARunningContainerCanBeFrozen)
{
    const ContainerId created = engine().create(spec());
    const ContainerId ended = start(spec({"true"}));
    ASSERT_TRUE(engine().wait(ended, 30s, {}));
    for (const bool frozen : {true, false}) {
        EXPECT_EQ(code_of([&] { engine().set_frozen(created, frozen); }), ErrorCode::conflict);
        EXPECT_EQ(code_of([&] { engine().set_frozen(ended, frozen); }), ErrorCode::conflict);
        EXPECT_EQ(code_of([&] { engine().set_frozen(ContainerId{std::string(64, '0')}, frozen); }),
                  ErrorCode::not_found);
    }
}

TEST_P(ContainerEngineContract, FileExistsSeesFilesOfTheContainer)
{
    const ContainerId id = start(spec());
    EXPECT_FALSE(engine().file_exists(id, "/marker"));
    shell(id, "touch marker");
    EXPECT_TRUE(engine().file_exists(id, "/marker"));
    EXPECT_FALSE(engine().file_exists(id, "/marker/below"));
    const ContainerId stopped = engine().create(spec());
    EXPECT_EQ(code_of([&] { engine().file_exists(stopped, "/marker"); }), ErrorCode::conflict);
}

TEST_P(ContainerEngineContract, AQuietContainerHasNoTcpConnections)
{
    EXPECT_EQ(engine().open_tcp_connections(start(spec())), 0);
}

TEST_P(ContainerEngineContract, ACheckpointStopsTheContainerAndRestoresUnderAnotherName)
{
    const ContainerSpec original = spec();
    const ContainerId id = start(original);
    shell(id, "echo kept > state");
    const std::string tarball = checkpoint(id);
    EXPECT_EQ(tarball.size() % 512, 0U);
    EXPECT_EQ(engine().inspect(id.value())->status, ContainerStatus::exited);

    std::vector<ContainerId> copies;
    for (int i = 0; i < 2; ++i) {  // while the original still exists
        const std::string name = new_name();
        copies.push_back(engine().restore(source(tarball), restored(name), {}));
        const auto info = engine().inspect(copies.back().value());
        ASSERT_TRUE(info);
        EXPECT_EQ(info->name, name);
        EXPECT_EQ(info->status, ContainerStatus::running);
        EXPECT_EQ(info->labels, (std::map<std::string, std::string>{{label_, "copy"}}));
        EXPECT_EQ(shell(copies.back(), "cat state").out, "kept\n");
    }
    EXPECT_NE(copies[0], copies[1]);
    shell(copies[0], "echo changed > state");
    EXPECT_EQ(shell(copies[1], "cat state").out, "kept\n");
}

TEST_P(ContainerEngineContract, ARestoredContainerCanBeCheckpointedAgain)
{
    const ContainerId first = start(spec());
    const std::string generation1 = checkpoint(first);
    const ContainerId second = engine().restore(source(generation1), restored(new_name()), {});
    shell(second, "echo second > state");
    const std::string generation2 = checkpoint(second);
    const ContainerId third = engine().restore(source(generation2), restored(new_name()), {});
    EXPECT_EQ(shell(third, "cat state").out, "second\n");
}

TEST_P(ContainerEngineContract, ACheckpointNeedsARunningContainer)
{
    const ContainerId id = engine().create(spec());
    EXPECT_EQ(code_of([&] { checkpoint(id); }), ErrorCode::conflict);
}

TEST_P(ContainerEngineContract, ACheckpointWhoseSinkFailsPassesTheFailureOnAndCanBeResumed)
{
    const ContainerId id = start(spec());
    EXPECT_THROW(engine().checkpoint(id, {}, [](std::string_view) { throw std::runtime_error{"disk full"}; }, {}),
                 std::runtime_error);
    const auto info = engine().inspect(id.value());
    ASSERT_TRUE(info);
    EXPECT_EQ(info->status, ContainerStatus::exited);
    EXPECT_TRUE(info->checkpointed);
    engine().resume(id, 30s);
    EXPECT_EQ(engine().inspect(id.value())->status, ContainerStatus::running);
    EXPECT_EQ(shell(id, "echo alive").out, "alive\n");
}

TEST_P(ContainerEngineContract, RestoringGarbageFailsAndLeavesNothing)
{
    const std::string name = new_name();
    const std::string garbage(4096, 'x');
    EXPECT_THROW(engine().restore(source(garbage), restored(name), {}), Error);
    EXPECT_FALSE(engine().inspect(name));
}

TEST_P(ContainerEngineContract, RestoringUnderATakenNameIsAConflictAndLeavesTheOther)
{
    const ContainerSpec what = spec();
    const ContainerId id = start(what);
    const std::string tarball = checkpoint(id);
    EXPECT_EQ(code_of([&] { engine().restore(source(tarball), restored(what.name), {}); }), ErrorCode::conflict);
    EXPECT_EQ(engine().inspect(what.name)->id, id);
}

TEST_P(ContainerEngineContract, ACancelledRestoreLeavesNothing)
{
    const std::string tarball = checkpoint(start(spec()));
    const std::string name = new_name();
    std::stop_source stop;
    stop.request_stop();
    EXPECT_EQ(code_of([&] { engine().restore(source(tarball), restored(name), stop.get_token()); }),
              ErrorCode::cancelled);
    EXPECT_FALSE(engine().inspect(name));
}

TEST_P(ContainerEngineContract, WatchReportsWhatHappensToLabelledContainersUntilItIsStopped)
{
    std::stop_source stop;
    std::promise<void> removed;
    std::vector<std::string> actions;  // read after the watcher has ended
    const std::string name = new_name();
    std::jthread watcher{[&] {
        engine().watch(
            label_,
            [&](const EngineEvent& event) {
                if (event.name != name) return;
                actions.push_back(event.action);
                if (event.action == "remove") {
                    removed.set_value();
                    stop.request_stop();
                }
            },
            stop.get_token());
    }};
    // Whether the stream has begun cannot be asked: containers come and go until one was seen.
    auto seen = removed.get_future();
    bool was_seen = false;
    for (int attempt = 0; attempt < 50 && !was_seen; ++attempt) {
        ContainerSpec what = spec();
        what.name = name;
        engine().remove(engine().create(what).value());
        was_seen = seen.wait_for(200ms) == std::future_status::ready;
    }
    stop.request_stop();
    watcher.join();
    EXPECT_TRUE(was_seen);
    EXPECT_EQ(actions.back(), "remove");
}

INSTANTIATE_TEST_SUITE_P(Fake, ContainerEngineContract, testing::Values(&make_fake),
                         [](const auto&) { return std::string{"engine"}; });
INSTANTIATE_TEST_SUITE_P(Podman, ContainerEngineContract, testing::Values(&make_podman),
                         [](const auto&) { return std::string{"engine"}; });

}  // namespace
}  // namespace warmd
