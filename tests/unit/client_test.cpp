#include <gtest/gtest.h>

#include <CLI/CLI.hpp>

#include "client/command_tree.h"
#include "client/commands/commands.h"
#include "client/diagnosis.h"
#include "client/endpoint.h"
#include "client/status_view.h"
#include "client/terminal.h"
#include "tests/unit/expect_error.h"

namespace warmd::client {
namespace {

using std::chrono_literals::operator""s;

TEST(Endpoint, IsASocketOrAnAddress)
{
    EXPECT_EQ(parse_endpoint("unix:///run/s").socket, "/run/s");
    EXPECT_EQ(parse_endpoint("/run/s").socket, "/run/s");
    EXPECT_EQ(parse_endpoint("tcp://127.0.0.1").authority(), "127.0.0.1:8642");
    EXPECT_EQ(parse_endpoint("tcp://127.0.0.1:1").authority(), "127.0.0.1:1");
    EXPECT_EQ(parse_endpoint("http://build7.example/").authority(), "build7.example:80");
    EXPECT_EQ(parse_endpoint("tcp://[::1]:99").authority(), "[::1]:99");
    EXPECT_EQ(parse_endpoint("tcp://[::1]:99").host, "::1");
}

TEST(Endpoint, RefusesEverythingElse)
{
    for (const char* const text : {"", "run/s", "unix://s", "tcp://", "tcp://h:0", "tcp://h:65536", "tcp://h:x",
                                   "tcp://h:", "tcp://u@h", "tcp://h/path", "tcp://[::1", "https://h", "ftp://h"}) {
        EXPECT_THROW(parse_endpoint(text), Error) << text;
    }
}

TEST(Terminal, TheCommandLineDecidesBeforeTheEnvironment)
{
    const TerminalEnvironment usual{};
    const TerminalEnvironment no_color{.no_color = true};
    const TerminalEnvironment dumb{.dumb = true};
    EXPECT_TRUE(use_colour(ColourMode::automatic, true, usual));
    EXPECT_FALSE(use_colour(ColourMode::automatic, false, usual));
    EXPECT_FALSE(use_colour(ColourMode::automatic, true, no_color));
    EXPECT_FALSE(use_colour(ColourMode::automatic, true, dumb));
    EXPECT_TRUE(use_colour(ColourMode::always, false, no_color));
    EXPECT_FALSE(use_colour(ColourMode::never, true, usual));
    EXPECT_TRUE(can_redraw(true, no_color));
    EXPECT_FALSE(can_redraw(true, dumb));
    EXPECT_FALSE(can_redraw(false, usual));
}

class Tree : public ::testing::Test {
protected:
    Tree() { add_commands(app, context); }

    std::string meant(const std::vector<std::string>& words) { return suggestion(app, words).value_or(""); }
    std::vector<std::string> completed(const std::vector<std::string>& words)
    {
        std::vector<std::string> found;
        for (const Candidate& candidate : complete(app, words, [](const std::string& placeholder) {
                 return std::vector<Candidate>{{"<" + placeholder + ">", ""}};
             })) {
            found.push_back(candidate.word);
        }
        return found;
    }

    CLI::App app{"", "warmctl"};
    Context context{.host = "", .output = {}, .exit_status = 0};
};

void expect_examples(const CLI::App& command)
{
    EXPECT_NE(command.get_footer().find("Example"), std::string::npos) << full_name(command);
    EXPECT_FALSE(command.get_description().empty()) << full_name(command);
    for (const CLI::App* const child : visible_commands(command)) expect_examples(*child);
}

TEST_F(Tree, EveryCommandHasExamples)
{
    EXPECT_GT(visible_commands(app).size(), 15U);
    for (const CLI::App* const command : visible_commands(app)) expect_examples(*command);
}

TEST_F(Tree, SuggestsWhatWasMeant)
{
    EXPECT_EQ(meant({"statsu"}), "warmctl status");
    EXPECT_EQ(meant({"pool", "lst"}), "warmctl pool list");
    EXPECT_EQ(meant({"--jsno", "status"}), "--json");
    EXPECT_EQ(meant({"--host", "/x", "chekpoint", "list"}), "warmctl checkpoint");
    EXPECT_EQ(meant({"warm", "t", "--no-wiat"}), "--no-wait");
    EXPECT_EQ(meant({"completely"}), "");
    EXPECT_EQ(meant({"warm", "statsu"}), "") << "a template may be called so";
    EXPECT_EQ(meant({"run", "t", "--", "--jsno"}), "");
}

TEST_F(Tree, CompletesCommandsOptionsAndNames)
{
    EXPECT_EQ(completed({"checkp"}), std::vector<std::string>{"checkpoint"});
    EXPECT_EQ(completed({"pool", ""}), (std::vector<std::string>{"list", "show", "why"}));
    EXPECT_EQ(completed({"warm", ""}), std::vector<std::string>{"<TEMPLATE>"});
    EXPECT_EQ(completed({"warm", "t", ""}), std::vector<std::string>{});
    EXPECT_EQ(completed({"checkpoint", "rm", "a", ""}), std::vector<std::string>{"<CHECKPOINT>"});
    EXPECT_EQ(completed({"checkpoint", "list", "--template", ""}), std::vector<std::string>{"<TEMPLATE>"});
    EXPECT_EQ(completed({"restore", "--path", "l"}), std::vector<std::string>{"linked"});
    EXPECT_EQ(completed({"--color", "al"}), std::vector<std::string>{"always"});
    EXPECT_EQ(completed({"warm", "--no-"}), std::vector<std::string>{"--no-wait"});
    EXPECT_EQ(completed({"run", "t", "--", "l"}), std::vector<std::string>{});
    EXPECT_EQ(completed({"__"}), std::vector<std::string>{});
}

TEST_F(Tree, TheManPageHasEveryCommand)
{
    const std::string page = man_page(app, "1.2.3");
    for (const CLI::App* const command : visible_commands(app)) {
        EXPECT_NE(page.find(".SS \"" + command->get_name()), std::string::npos) << command->get_name();
    }
    EXPECT_EQ(page.find("__man"), std::string::npos);
    EXPECT_NE(page.find("WARMD_TOKEN_FILE"), std::string::npos);
}

TEST(Closest, IsNearOrNothing)
{
    EXPECT_EQ(closest("lsit", {"list", "show"}), "list");
    EXPECT_EQ(closest("inst", {"instance", "list"}), "instance");
    EXPECT_FALSE(closest("x", {"rm", "list"}));
    EXPECT_FALSE(closest("", {"rm"}));
}

Checkpoint checkpoint(const std::string& id, std::chrono::seconds at, const std::string& digest = "new",
                      CheckpointState state = CheckpointState::available, const std::string& template_name = "t")
{
    Checkpoint made;
    made.id = CheckpointId{id};
    made.template_name = TemplateName{template_name};
    made.template_digest = digest;
    made.state = state;
    made.size_bytes = 100;
    made.created_at = Time{at};
    return made;
}

PoolFacts facts()
{
    PoolFacts made;
    made.pool.template_name = TemplateName{"t"};
    made.pool.policy.min_idle = 2;
    made.digest = "new";
    made.checkpoints = {{checkpoint("a", 1s), {}}};
    return made;
}

Operation operation(OperationKind kind, OperationState state)
{
    Operation made;
    made.id = OperationId{"op-1"};
    made.kind = kind;
    made.state = state;
    if (state == OperationState::failed) {
        made.error = Error{ErrorCode::engine_failed, "criu said no"}.with_hint("mend it");
    }
    return made;
}

TEST(Why, AnIdleInstanceServes)
{
    PoolFacts now = facts();
    now.pool.idle = 1;
    EXPECT_TRUE(diagnose(now).served);
    now.pool.waiting = 1;
    EXPECT_FALSE(diagnose(now).served) << "it is somebody else's";
}

TEST(Why, TellsWhatKeepsItsCheckpointsFromThisHost)
{
    const Difference blocking{.field = "criu", .recorded = "4.2", .here = "4.1", .blocks = true, .why = {}};
    const Difference note{.field = "kernel", .recorded = "6.1", .here = "6.12", .blocks = false, .why = {}};
    PoolFacts now = facts();
    now.checkpoints = {{checkpoint("b", 2s), {note, blocking}}, {checkpoint("a", 1s), {blocking}}};
    EXPECT_EQ(diagnose(now).cause, "no checkpoint fits this host any more");
    EXPECT_EQ(diagnose(now).detail, "b: criu 4.2 (here 4.1)");
    EXPECT_EQ(diagnose(now).next, "warmctl checkpoint t");
    now.operations = {operation(OperationKind::checkpoint, OperationState::failed)};
    EXPECT_EQ(diagnose(now).cause, "no checkpoint fits this host any more, and making a new one failed");
    EXPECT_EQ(diagnose(now).detail, "b: criu 4.2 (here 4.1); criu said no");
    now.operations.insert(now.operations.begin(), operation(OperationKind::checkpoint, OperationState::running));
    EXPECT_EQ(diagnose(now).next, "warmctl operation wait op-1");
    now.operations.clear();
    now.checkpoints.push_back({checkpoint("c", 1s), {note}});
    now.pool.filling = 1;
    EXPECT_EQ(diagnose(now).cause, "1 instance is being restored for it") << "an older one fits";
}

TEST(Why, NamesTheCauseAndTheNextStep)
{
    PoolFacts now = facts();
    now.pool.policy.min_idle = 0;
    EXPECT_EQ(diagnose(now).cause, "the template has no pool: pool.min_idle is 0");

    now = facts();
    now.checkpoints.clear();
    EXPECT_EQ(diagnose(now).cause, "it has no available checkpoint");
    EXPECT_EQ(diagnose(now).next, "warmctl checkpoint t");
    now.operations = {operation(OperationKind::checkpoint, OperationState::failed)};
    EXPECT_EQ(diagnose(now).detail, "criu said no");
    EXPECT_EQ(diagnose(now).next, "mend it; then warmctl checkpoint t");
    now.operations.insert(now.operations.begin(), operation(OperationKind::checkpoint, OperationState::running));
    EXPECT_EQ(diagnose(now).next, "warmctl operation wait op-1");

    now = facts();
    now.checkpoints = {{checkpoint("a", 1s, "old"), {}}};
    EXPECT_EQ(diagnose(now).cause, "the template was changed since its 1 available checkpoint was made");

    now = facts();
    now.pool.leased = now.pool.policy.max_size = 3;
    EXPECT_EQ(diagnose(now).cause, "3 of at most 3 instances are leased");

    now = facts();
    now.pool.filling = 1;
    EXPECT_EQ(diagnose(now).cause, "1 instance is being restored for it");

    now = facts();
    now.operations = {operation(OperationKind::restore, OperationState::failed)};
    EXPECT_EQ(diagnose(now).next, "mend it");
    now.operations.insert(now.operations.begin(), operation(OperationKind::restore, OperationState::succeeded));
    EXPECT_NE(diagnose(now).next, "mend it") << "that is history";

    now = facts();
    now.pool.held_back = "memory: 5 MB are available";
    EXPECT_EQ(diagnose(now).cause, now.pool.held_back);
}

TEST(StatusView, AnOldDaemonsDocumentIsEnough)
{
    const Json status{{"version", "1"}, {"recovered", true}};
    const auto lines = status_lines(status, Error{ErrorCode::unavailable, "no Podman"}.with_hint("start it"), false);
    EXPECT_EQ(lines.at(0), "warmd        1");
    EXPECT_EQ(lines.at(1), "ready        no: no Podman (next: start it)");
}

TEST(StatusView, AnEventIsOneHarmlessLine)
{
    EXPECT_EQ(event_line({{"id", 1},
                          {"at", "2026-01-31T12:00:00.123Z"},
                          {"kind", "instance"},
                          {"subject", "inst-1"},
                          {"template", "t"},
                          {"state", "idle"},
                          {"reason", "a\nb"}}),
              "12:00:00.123  inst-1  t  idle  a\\x0ab");
}

}  // namespace
}  // namespace warmd::client
