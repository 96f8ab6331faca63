#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "daemon/service/secrets.h"
#include "tests/support/service_fixture.h"
#include "tests/unit/expect_error.h"

namespace warmd {
namespace {

using namespace std::chrono_literals;
using test::expect_error;

constexpr const char* kAgentImage = "localhost/with-agent:latest";
constexpr const char* kSocket = "/run/warm/agent.sock";

/// A template whose image has an agent: the engine is the fake one, and so is the agent.
class ServiceAgentTest : public test::ServiceFixture {
protected:
    ServiceAgentTest()
    {
        engine.add_image(kAgentImage, std::string(64, 'b'), {{std::string{kAgentLabel}, kSocket}});
        add(agent_template());
    }

    static Template agent_template()
    {
        Template entry = test::quick_template("agent");
        entry.image = kAgentImage;
        return entry;
    }

    ExecResult run(const InstanceId& id, const ExecRequest& request)
    {
        return service().exec().run(id, ExecId{"exec-test"}, request,
                                    [this](ExecStream, std::string_view bytes) { output += bytes; }, {});
    }

    /// How the operation ended, as "failed: words".
    std::string outcome(const Operation& started)
    {
        const Operation done = finish(started);
        return std::string{to_string(done.state)} + (done.error ? std::string{": "} + done.error->what() : "");
    }

    std::string output;
};

TEST_F(ServiceAgentTest, AnInstanceKnowsWhereItsAgentListensAndSoDoItsCopies)
{
    EXPECT_EQ(warm("agent").agent_socket, kSocket);
    EXPECT_EQ(warm("quick").agent_socket, "");
    const Checkpoint made = checkpoint("agent");
    EXPECT_EQ(made.agent_socket, kSocket);
    const Operation restored = finish(service().restore(made.id));
    EXPECT_EQ(catalog().get(restored.instance).agent_socket, kSocket);
}

TEST_F(ServiceAgentTest, WarmingWaitsForTheAgentAndThenForTheSession)
{
    agent.fail_next("ping", Error{ErrorCode::unavailable, "not listening yet"});
    warm("agent");
    EXPECT_EQ(agent.calls(), (std::vector<std::string>{"ping", "ping", "wait_for"}));
}

TEST_F(ServiceAgentTest, AnApplicationThatEndsWhileItInitialisesIsNotReady)
{
    agent.fail_next("wait_for", Error{ErrorCode::not_ready, "the application has ended"});
    EXPECT_EQ(outcome(service().warm(TemplateName{"agent"})), "failed: the application ended during init");
    agent.fail_next("wait_for", Error{ErrorCode::timeout, "it takes too long"});
    EXPECT_EQ(outcome(service().warm(TemplateName{"agent"})), "failed: init did not end in time");
    EXPECT_TRUE(engine.container_names().empty());
}

TEST_F(ServiceAgentTest, CommandsGoThroughTheAgentAndTheResultSaysSo)
{
    const Instance instance = warm("agent");
    agent.answer_next({.exit_status = 3}, "from the agent");
    const ExecResult result = run(instance.id, {.command = {"echo", "from the engine"}});
    EXPECT_EQ(result.path, ExecPath::agent);
    EXPECT_EQ(result.exit_status, 3);
    EXPECT_EQ(output, "from the agent");
    EXPECT_EQ(engine.calls("exec"), 0);
}

TEST_F(ServiceAgentTest, AProgramForAnotherUserOrWithoutAReachableAgentGoesThroughPodman)
{
    const Instance instance = warm("agent");
    agent.fail_next("exec", Error{ErrorCode::unavailable, "no socket"});
    EXPECT_EQ(run(instance.id, {.command = {"echo", "x"}}).path, ExecPath::podman);
    EXPECT_EQ(output, "x\n");
    ExecRequest as_user{.command = {"true"}};
    as_user.user = "root";
    EXPECT_EQ(run(instance.id, as_user).path, ExecPath::podman);
    EXPECT_EQ(agent.execs().size(), 0U);
}

TEST_F(ServiceAgentTest, AnAgentThatFailsHalfWayIsNotTriedAnotherWay)
{
    const Instance instance = warm("agent");
    agent.fail_next("exec", Error{ErrorCode::engine_failed, "the connection broke"});
    expect_error(ErrorCode::engine_failed, [&] { run(instance.id, {.command = {"true"}}); });
    EXPECT_EQ(engine.calls("exec"), 0);
}

TEST_F(ServiceAgentTest, CodeAndInputNeedTheAgent)
{
    const Instance without = warm("quick");
    expect_error(ErrorCode::conflict, [&] { run(without.id, {.code = "1"}); });
    expect_error(ErrorCode::conflict, [&] { run(without.id, {.command = {"cat"}, .input = "text"}); });
    const Instance with = warm("agent");
    agent.fail_next("exec", Error{ErrorCode::unavailable, "no socket"});
    expect_error(ErrorCode::unavailable, [&] { run(with.id, {.code = "1"}); });
    EXPECT_EQ(engine.calls("exec"), 0);
}

TEST_F(ServiceAgentTest, AnInstanceWhoseSessionEndedIsTerminatedAndSaysWhy)
{
    Instance instance = warm("agent");
    agent.answer_next({.exit_status = 5, .session_ended = true});
    EXPECT_EQ(run(instance.id, {.code = "exit"}).exit_status, 5);
    instance = catalog().get(instance.id);
    EXPECT_EQ(instance.state, InstanceState::terminated);
    EXPECT_EQ(instance.reason, "a command ended its session with status 5");
    EXPECT_TRUE(engine.container_names().empty());

    instance = warm("agent");
    agent.answer_next({.exit_status = 124, .timed_out = true, .session_ended = true});
    ExecRequest request{.code = "for ever"};
    request.timeout = 1500ms;
    run(instance.id, request);
    EXPECT_EQ(catalog().get(instance.id).reason,
              "a command took longer than 1500ms and its session did not stop: it was killed");
}

TEST_F(ServiceAgentTest, ASignalReachesTheRunningCommandAndNoOther)
{
    const Instance instance = warm("agent");
    agent.wait_for_signal();
    ExecResult result;
    std::jthread client{[&] { result = run(instance.id, {.code = "for ever"}); }};
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    while (agent.execs().empty() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    expect_error(ErrorCode::not_found, [&] { service().exec().signal(instance.id, ExecId{"exec-other"}, SIGINT); });
    expect_error(ErrorCode::not_found,
                 [&] { service().exec().signal(InstanceId{"inst-other"}, ExecId{"exec-test"}, SIGINT); });
    service().exec().signal(instance.id, ExecId{"exec-test"}, SIGINT);
    client.join();
    EXPECT_EQ(result.exit_status, 130);
    expect_error(ErrorCode::not_found, [&] { service().exec().signal(instance.id, ExecId{"exec-test"}, SIGINT); });
}

TEST_F(ServiceAgentTest, TheAgentIsQuietedBeforeADumpAndToldOfARestore)
{
    const Checkpoint made = checkpoint("agent");
    EXPECT_EQ(agent.calls().back(), "quiesce");
    const Operation restored = finish(service().restore(made.id));
    EXPECT_EQ(agent.calls().back(), "resumed");
    EXPECT_EQ(agent.hostname(), restored.instance.value());
    const Instance copy = catalog().get(restored.instance);
    EXPECT_EQ(copy.phases.back().name, "resume");
}

TEST_F(ServiceAgentTest, AHostNameOfTheTemplateIsKept)
{
    Template entry = agent_template();
    entry.hostname = "licensed-host";
    add(entry);
    finish(service().restore(checkpoint("agent").id));
    EXPECT_EQ(agent.hostname(), "licensed-host");
}

TEST_F(ServiceAgentTest, ARestoreThatTheAgentDoesNotAnswerLeavesNothing)
{
    const Checkpoint made = checkpoint("agent");
    agent.fail_next("resumed", Error{ErrorCode::timeout, "no answer"});
    EXPECT_EQ(outcome(service().restore(made.id)), "failed: no answer");
    EXPECT_TRUE(engine.container_names().empty());
}

TEST_F(ServiceAgentTest, HooksRunInTheirOrderAtTheirMoment)
{
    Template entry = agent_template();
    entry.before_checkpoint = {{.code = "one"}, {.command = {"two"}}};
    entry.after_restore = {{.code = "three"}};
    add(entry);
    finish(service().restore(checkpoint("agent").id));
    const auto execs = agent.execs();
    ASSERT_EQ(execs.size(), 3U);
    EXPECT_EQ(execs[0].code, "one");
    EXPECT_EQ(execs[1].command, std::vector<std::string>{"two"});
    EXPECT_EQ(execs[2].code, "three");
    EXPECT_EQ(agent.calls(),
              (std::vector<std::string>{"ping", "wait_for", "exec", "exec", "quiesce", "resumed", "exec"}));
}

TEST_F(ServiceAgentTest, AHookThatFailsStopsTheRestAndTheSourceLivesOn)
{
    Template entry = agent_template();
    entry.before_checkpoint = {{.code = "one"}, {.code = "two"}};
    add(entry);
    const Instance source = warm("agent");
    agent.answer_next({.exit_status = 1}, "no licence");
    EXPECT_EQ(outcome(service().checkpoint(source.id)),
              "failed: the hook before_checkpoint failed: code \"one\" exited with 1");
    EXPECT_EQ(agent.execs().size(), 1U);
    EXPECT_EQ(catalog().get(source.id).state, InstanceState::idle);
    EXPECT_EQ(files_in("checkpoints"), 0U);
}

class SecretsTest : public ServiceAgentTest {
protected:
    SecretsTest()
    {
        test::write_file(directory.path() / "token", "from a file\n");
        ::setenv("WARMD_TEST_SECRET", "from the environment", 1);
        Template entry = agent_template();
        entry.secrets["TOKEN"] = {.source = Secret::Source::file, .name = (directory.path() / "token").string()};
        entry.secrets["PER_EXEC"] = {
            .source = Secret::Source::environment, .name = "WARMD_TEST_SECRET", .to_warm = false, .to_exec = true};
        add(entry);
    }
};

TEST_F(SecretsTest, ReachTheApplicationThroughTheAgentAndNotThroughTheEngine)
{
    warm("agent");
    EXPECT_EQ(agent.env(), (std::map<std::string, std::string>{{"TOKEN", "from a file"}}));
    EXPECT_EQ(agent.calls(), (std::vector<std::string>{"ping", "start_application", "wait_for"}));
    EXPECT_EQ(engine.last_env().at("WARM_START"), "deferred");
    EXPECT_FALSE(engine.last_env().contains("TOKEN"));
}

TEST_F(SecretsTest, ForCommandsAreAddedToEachAndNotToWhatWarms)
{
    Template entry = agent_template();
    entry.secrets["PER_EXEC"] = {
        .source = Secret::Source::environment, .name = "WARMD_TEST_SECRET", .to_warm = false, .to_exec = true};
    entry.warm_up.ready.exec = {"probe"};
    entry.before_checkpoint = {{.code = "before"}};
    entry.after_restore = {{.code = "after"}};
    add(entry);
    const Operation restored = finish(service().restore(checkpoint("agent").id));
    run(restored.instance, {.command = {"true"}, .env = {{"OWN", "1"}}});
    const auto execs = agent.execs();
    ASSERT_EQ(execs.size(), 4U);
    EXPECT_TRUE(execs[0].env.empty());  // the probe
    EXPECT_TRUE(execs[1].env.empty());  // before the checkpoint
    EXPECT_EQ(execs[2].env.at("PER_EXEC"), "from the environment");
    EXPECT_EQ(execs[3].env, (std::map<std::string, std::string>{{"OWN", "1"}, {"PER_EXEC", "from the environment"}}));
}

TEST_F(SecretsTest, NeverGoThroughPodman)
{
    const Instance instance = warm("agent");
    agent.fail_next("exec", Error{ErrorCode::unavailable, "no socket"});
    expect_error(ErrorCode::unavailable, [&] { run(instance.id, {.command = {"true"}}); });
    ExecRequest as_user{.command = {"true"}};
    as_user.user = "root";
    expect_error(ErrorCode::conflict, [&] { run(instance.id, as_user); });
    EXPECT_EQ(engine.calls("exec"), 0);
}

TEST_F(SecretsTest, OfATemplateWhoseImageHasNoAgentAreRefusedBeforeAnythingIsMade)
{
    Template entry = test::quick_template("agentless");
    entry.secrets["TOKEN"] = {.source = Secret::Source::environment, .name = "WARMD_TEST_SECRET"};
    add(entry);
    EXPECT_EQ(outcome(service().warm(TemplateName{"agentless"})),
              "failed: the template \"agentless\" has secrets, and its image \"localhost/test:latest\" has no agent to "
              "deliver them");
    EXPECT_EQ(engine.calls("create"), 0);
}

TEST_F(SecretsTest, ThatCannotBeReadNameThemselvesAndTheirSource)
{
    std::filesystem::remove(directory.path() / "token");
    const Operation done = finish(service().warm(TemplateName{"agent"}));
    ASSERT_TRUE(done.error);
    EXPECT_EQ(done.error->code(), ErrorCode::not_ready);
    EXPECT_EQ(done.error->field(), "secrets.TOKEN");
    EXPECT_NE(std::string{done.error->what()}.find((directory.path() / "token").string()), std::string::npos);
    EXPECT_TRUE(engine.container_names().empty());
}

TEST_F(SecretsTest, AreReadFromSystemdsCredentials)
{
    ::setenv("CREDENTIALS_DIRECTORY", directory.path().c_str(), 1);
    Template entry = agent_template();
    entry.secrets["TOKEN"] = {.source = Secret::Source::credential, .name = "token"};
    EXPECT_EQ(read_secrets(entry, SecretUse::warm).at("TOKEN"), "from a file");
    ::unsetenv("CREDENTIALS_DIRECTORY");
    expect_error(ErrorCode::not_ready, [&] { read_secrets(entry, SecretUse::warm); });
}

}  // namespace
}  // namespace warmd
