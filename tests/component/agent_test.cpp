// The real agent, as a child process, and warmd's client of it: first what they do together, then each against
// somebody who does not keep to the protocol.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "daemon/agent/agent_client.h"
#include "daemon/base/clock.h"
#include "daemon/base/error.h"
#include "daemon/base/json.h"
#include "dockerfiles/agent/protocol.h"
#include "tests/support/child_process.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/expect_error.h"

namespace warmd::agent {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using test::contains;
using test::expect_error;

// Above what the sanitizers make of the slowest case; nothing waits for it to pass.
constexpr std::chrono::seconds kBound{20};

/// Waits for a condition that nothing announces, and says whether it came.
bool eventually(const std::function<bool()>& condition)
{
    const SteadyTime limit = std::chrono::steady_clock::now() + kBound;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > limit) return false;
        ::poll(nullptr, 0, 5);
    }
    return true;
}

UniqueFd connect_to(const std::string& path)
{
    sockaddr_un name{.sun_family = AF_UNIX};
    path.copy(name.sun_path, sizeof name.sun_path - 1);
    UniqueFd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0) {
        throw system_error("connect to " + path, errno, ErrorCode::unavailable);
    }
    return fd;
}

class PathConnector final : public AgentConnector {
public:
    UniqueFd connect(const AgentAddress& address) override { return connect_to(address.socket); }
};

/// A connection that says what it likes.
class Raw {
public:
    explicit Raw(const std::string& path) : fd_{connect_to(path)} {}

    void send(std::string_view bytes)
    {
        while (!bytes.empty()) {
            const ssize_t count = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (count <= 0) return;  // it has been closed already
            bytes.remove_prefix(static_cast<std::size_t>(count));
        }
    }
    void request(const Request& request) { send(encode_frame(FrameType::request, encode_request(request))); }

    /// The next frame; nothing at the end of the stream. Throws when neither comes.
    std::optional<Frame> next()
    {
        while (true) {
            if (auto frame = reader_.next()) return frame;
            pollfd polled{.fd = fd_.get(), .events = POLLIN, .revents = 0};
            const auto bound = std::chrono::duration_cast<std::chrono::milliseconds>(kBound).count();
            if (::poll(&polled, 1, static_cast<int>(bound)) <= 0) throw std::runtime_error{"nothing comes"};
            std::vector<char> buffer(kMaxData);
            const ssize_t count = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
            if (count <= 0) return std::nullopt;
            reader_.write({buffer.data(), static_cast<std::size_t>(count)});
        }
    }
    /// The rest of the stream: what was output, and the reply, empty if there was none.
    std::string reply(std::string* output = nullptr)
    {
        std::string reply;
        while (const auto frame = next()) {
            if (frame->type == FrameType::reply) reply = frame->payload;
            else if (output != nullptr) *output += frame->payload;
        }
        return reply;
    }
    void close() { fd_.reset(); }

private:
    UniqueFd fd_;
    FrameReader reader_;
};

struct Outcome {
    ExecResult result;
    std::string out;
    std::string err;
};

struct Options {
    std::vector<std::string> command{"sh", "-c", "exec tail -f /dev/null"};
    bool session = false;
    bool deferred = false;
    bool wait = true;
};

struct ProcessEntry {
    int pid;
    int parent;
    char state;
};

std::vector<ProcessEntry> processes()
{
    std::vector<ProcessEntry> all;
    for (const auto& entry : std::filesystem::directory_iterator{"/proc"}) {
        const std::string name = entry.path().filename().string();
        if (name.find_first_not_of("0123456789") != std::string::npos) continue;
        const std::string stat = test::read_file(entry.path() / "stat");
        const std::size_t end = stat.rfind(')');
        if (end == std::string::npos) continue;
        std::istringstream fields{stat.substr(end + 1)};
        ProcessEntry process{.pid = std::stoi(name), .parent = 0, .state = '?'};
        fields >> process.state >> process.parent;
        all.push_back(process);
    }
    return all;
}

bool is_gone(int pid) { return ::kill(pid, 0) != 0 && errno == ESRCH; }

/// Of a process that the agent may not have lived to collect.
bool is_dead(int pid)
{
    for (const ProcessEntry& process : processes()) {
        if (process.pid == pid) return process.state == 'Z';
    }
    return true;
}

class AgentTest : public testing::Test {
protected:
    ~AgentTest() override
    {
        if (pid_ == 0) return;
        ::kill(pid_, SIGTERM);
        if (!try_collect()) {
            ADD_FAILURE() << "the agent does not end";
            ::kill(pid_, SIGKILL);
            ::waitpid(pid_, nullptr, 0);
        }
        const std::string words = test::read_file(directory_ / "log");
        EXPECT_FALSE(contains(words, "Sanitizer")) << words;
    }

    void start(const Options& options = {})
    {
        std::vector<std::string> command{WARMD_AGENT_PROGRAM, "--socket", socket()};
        if (options.session) command.emplace_back("--session");
        command.emplace_back("--");
        command.insert(command.end(), options.command.begin(), options.command.end());
        std::map<std::string, std::string> env{{"DIR", directory_.path().string()}};
        for (const char* const name : {"ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"}) {
            if (const char* const value = std::getenv(name)) env[name] = value;
        }
        if (options.deferred) env["WARM_START"] = "deferred";
        pid_ = test::start_process(command, env, directory_.path().string(), (directory_ / "log").string());
        ASSERT_NE(pid_, 0);
        ASSERT_TRUE(eventually([this] { return answers(); })) << test::read_file(directory_ / "log");
        if (options.wait && !options.deferred) client.wait_for(address(), AgentStage::initialised, kBound, {});
    }

    bool answers()
    {
        try {
            client.ping(address());
            return true;
        } catch (const Error&) {
            return false;
        }
    }

    /// The agent's own exit status. Throws when it does not end.
    int end_of_agent()
    {
        if (!try_collect()) throw std::runtime_error{"the agent does not end"};
        return WIFEXITED(status_) ? WEXITSTATUS(status_) : -WTERMSIG(status_);
    }

    Outcome run(const ExecRequest& request, Duration timeout = kBound, std::stop_token stop = {})
    {
        Outcome outcome;
        ExecSignals signals;
        outcome.result = client.exec(
            address(), request, timeout,
            [&outcome](ExecStream stream, std::string_view bytes) {
                (stream == ExecStream::out ? outcome.out : outcome.err) += bytes;
            },
            signals, std::move(stop));
        return outcome;
    }
    Outcome sh(const std::string& script, Duration timeout = kBound)
    {
        return run({.command = {"sh", "-c", script}}, timeout);
    }
    Outcome code(const std::string& text, Duration timeout = kBound) { return run({.code = text}, timeout); }

    std::future<Outcome> in_background(const ExecRequest& request, Duration timeout = kBound)
    {
        return std::async(std::launch::async, [this, request, timeout] { return run(request, timeout); });
    }

    Pong pong()
    {
        Raw raw{socket()};
        raw.request({.op = Op::ping});
        return decode_pong(raw.reply());
    }

    /// Waits until a file is there and not empty, and returns it.
    std::string await_file(const std::string& name)
    {
        std::string content;
        if (!eventually([&] {
                content = test::read_file(directory_ / name);
                return content.ends_with('\n');
            })) {
            throw std::runtime_error{"there is no " + name};
        }
        return content;
    }
    int await_pid(const std::string& name) { return std::stoi(await_file(name)); }

    std::string make_fifo(const std::string& name)
    {
        const std::string path = (directory_ / name).string();
        if (::mkfifo(path.c_str(), 0600) != 0) throw system_error("make a FIFO", errno);
        return path;
    }
    /// For both ends, so that opening never waits.
    static void write_to(const UniqueFd& fifo, std::string_view text)
    {
        ASSERT_EQ(::write(fifo.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
    }

    [[nodiscard]] std::string socket() const { return (directory_ / "agent.sock").string(); }
    [[nodiscard]] AgentAddress address() const { return {.container = ContainerId{"c0ffee"}, .socket = socket()}; }
    [[nodiscard]] std::string log() const { return test::read_file(directory_ / "log"); }
    [[nodiscard]] int agent_pid() const { return pid_; }

    test::TempDir directory_;
    PathConnector connector_;
    AgentClient client{connector_};

private:
    bool try_collect()
    {
        const bool ended = eventually([this] { return ::waitpid(pid_, &status_, WNOHANG) == pid_; });
        if (ended) pid_ = 0;
        return ended;
    }

    int pid_ = 0;
    int status_ = 0;
};

using AgentCommands = AgentTest;

TEST_F(AgentCommands, GiveTheirStreamsSeparatelyAndTheirExitStatus)
{
    start();
    const Outcome outcome = sh("echo to out; echo to err >&2; exit 7");
    EXPECT_EQ(outcome.out, "to out\n");
    EXPECT_EQ(outcome.err, "to err\n");
    EXPECT_EQ(outcome.result.exit_status, 7);
    EXPECT_FALSE(outcome.result.timed_out);
    EXPECT_FALSE(outcome.result.session_ended);
    EXPECT_EQ(outcome.result.path, ExecPath::agent);
    EXPECT_GT(outcome.result.elapsed, 0us);
}

TEST_F(AgentCommands, GetTheirArgumentsAsTheyAre)
{
    start();
    EXPECT_EQ(run({.command = {"printf", "[%s]", "a b", "", "\xc3\xa4\n", "$HOME"}}).out, "[a b][][\xc3\xa4\n][$HOME]");
}

TEST_F(AgentCommands, ThatCannotRunEndWith126Or127AndALineOnStandardError)
{
    start();
    test::write_file(directory_ / "plain", "no program");
    const Outcome refused = run({.command = {(directory_ / "plain").string()}});
    EXPECT_EQ(refused.result.exit_status, 126);
    EXPECT_TRUE(contains(refused.err, "plain")) << refused.err;
    EXPECT_TRUE(refused.err.ends_with('\n'));
    const Outcome missing = run({.command = {"no-such-program"}});
    EXPECT_EQ(missing.result.exit_status, 127);
    EXPECT_TRUE(contains(missing.err, "no-such-program")) << missing.err;
    EXPECT_EQ(run({.command = {""}}).result.exit_status, 127);
}

TEST_F(AgentCommands, ThatASignalEndsHave128AndItsNumber)
{
    start();
    EXPECT_EQ(sh("kill -KILL $$").result.exit_status, 137);
    EXPECT_EQ(sh("kill -TERM $$").result.exit_status, 143);
}

TEST_F(AgentCommands, HaveTheAgentsEnvironmentAndTheirOwn)
{
    start();
    const Outcome outcome = run(
        {.command = {"sh", "-c", "echo $DIR; echo $A; echo $WARM_AGENT_SOCKET; echo $WARM_START"},
         .env = {{"A", "x=y z"}}});
    EXPECT_EQ(outcome.out, directory_.path().string() + "\nx=y z\n" + socket() + "\n\n");
    EXPECT_EQ(run({.command = {"sh", "-c", "echo $DIR"}, .env = {{"DIR", "mine"}}}).out, "mine\n");
    EXPECT_EQ(sh("echo $A").out, "\n");
}

TEST_F(AgentCommands, RunInTheDirectoryThatTheyAskFor)
{
    start();
    EXPECT_EQ(run({.command = {"pwd"}}).out, directory_.path().string() + "\n");
    EXPECT_EQ(run({.command = {"pwd"}, .workdir = "/usr"}).out, "/usr\n");
    const Outcome nowhere = run({.command = {"pwd"}, .workdir = "/no/such"});
    EXPECT_EQ(nowhere.result.exit_status, 126);
    EXPECT_TRUE(contains(nowhere.err, "/no/such")) << nowhere.err;
}

TEST_F(AgentCommands, ReadWhatTheyAreGivenWhateverItsBytes)
{
    start();
    std::string input;
    for (int i = 0; i < 300'000; ++i) input += static_cast<char>(i * 7);
    EXPECT_EQ(run({.command = {"cat"}, .input = input}).out, input);
}

TEST_F(AgentCommands, WithoutInputReadItsEnd)
{
    start();
    EXPECT_EQ(run({.command = {"cat"}}).result.exit_status, 0);
    Raw raw{socket()};
    raw.request({.op = Op::exec, .exec = {.command = {"cat"}, .input = true}});
    raw.send(encode_frame(FrameType::input, ""));
    EXPECT_EQ(decode_exec_outcome(raw.reply()).exit_status, 0);
}

TEST_F(AgentCommands, ThatDoNotReadTheirInputEndAllTheSame)
{
    start();
    EXPECT_EQ(run({.command = {"true"}, .input = std::string(1'000'000, 'x')}).result.exit_status, 0);
}

TEST_F(AgentCommands, LoseNothingOfLongOutput)
{
    start();
    const Outcome outcome = sh("seq 1 1400000");
    std::string expected;
    for (int i = 1; i <= 1'400'000; ++i) expected += std::to_string(i) + '\n';
    ASSERT_GT(expected.size(), 10'000'000U);
    EXPECT_TRUE(outcome.out == expected) << outcome.out.size();
}

TEST_F(AgentCommands, ShowTheirOutputWhileTheyRun)
{
    start();
    const UniqueFd fifo{::open(make_fifo("go").c_str(), O_RDWR | O_CLOEXEC)};
    ExecSignals signals;
    std::string seen;
    const auto result = client.exec(address(), {.command = {"sh", "-c", "echo first; read line < $DIR/go; echo $line"}},
                                    kBound,
                                    [&](ExecStream, std::string_view bytes) {
                                        seen += bytes;
                                        if (seen == "first\n") write_to(fifo, "second\n");
                                    },
                                    signals, {});
    EXPECT_EQ(result.exit_status, 0);
    EXPECT_EQ(seen, "first\nsecond\n");
}

TEST_F(AgentCommands, ThatTakeTooLongAreKilledWithTheirChildren)
{
    start();
    const Outcome outcome = sh("trap '' TERM INT HUP; setsid sh -c 'echo $$ > $DIR/child; exec tail -f /dev/null' & "
                               "sh -c 'trap \"\" TERM; echo $$ > $DIR/other; while :; do read x; done < $DIR/hang' & "
                               "mkfifo $DIR/hang; echo partial; echo $$ > $DIR/self; while :; do wait; done",
                               500ms);
    EXPECT_EQ(outcome.result.exit_status, 124);
    EXPECT_TRUE(outcome.result.timed_out);
    EXPECT_EQ(outcome.out, "partial\n");
    const int self = await_pid("self");
    EXPECT_TRUE(eventually([self] { return is_gone(self); }));
    for (const char* const name : {"child", "other"}) {
        const std::string text = test::read_file(directory_ / name);
        if (text.empty()) continue;  // killed before it could say so
        const int pid = std::stoi(text);
        EXPECT_TRUE(eventually([pid] { return is_gone(pid); })) << name;
    }
    EXPECT_TRUE(answers());
}

TEST_F(AgentCommands, WhoseClientHangsUpAreKilled)
{
    start();
    Raw raw{socket()};
    raw.request({.op = Op::exec, .exec = {.command = {"sh", "-c", "echo $$ > $DIR/self; exec tail -f /dev/null"}}});
    const int self = await_pid("self");
    raw.close();
    EXPECT_TRUE(eventually([self] { return is_gone(self); }));
    EXPECT_TRUE(answers());
}

TEST_F(AgentCommands, WhoseOutputNobodyTakesAreKilled)
{
    start();
    ExecSignals signals;
    EXPECT_THROW(
        client.exec(address(), {.command = {"sh", "-c", "echo $$ > $DIR/self; echo x; exec tail -f /dev/null"}}, kBound,
                    [](ExecStream, std::string_view) { throw std::runtime_error{"no more"}; }, signals, {}),
        std::runtime_error);
    const int self = await_pid("self");
    EXPECT_TRUE(eventually([self] { return is_gone(self); }));
}

TEST_F(AgentCommands, ThatAreCancelledAreKilled)
{
    start();
    std::stop_source stop;
    auto running = std::async(std::launch::async, [&] {
        expect_error(ErrorCode::cancelled, [&] {
            run({.command = {"sh", "-c", "echo $$ > $DIR/self; exec tail -f /dev/null"}}, kBound, stop.get_token());
        });
    });
    const int self = await_pid("self");
    stop.request_stop();
    running.get();
    EXPECT_TRUE(eventually([self] { return is_gone(self); }));
}

TEST_F(AgentCommands, GetTheSignalsThatAreSentToThem)
{
    start();
    for (const auto& [number, word] : {std::pair{SIGINT, "INT"}, {SIGTERM, "TERM"}, {SIGUSR1, "USR1"}}) {
        ExecSignals signals;
        std::string seen;
        // The child speaks: by then it is a program of its own, without its parent's traps.
        const std::string script =
            "trap 'echo got; exit 9' "s + word +
            "; while :; do sh -c 'trap \"\" INT TERM USR1; echo ready; exec tail -f /dev/null' & wait $!; done";
        const auto result = client.exec(address(), {.command = {"sh", "-c", script}}, kBound,
                                        [&, signal = number](ExecStream, std::string_view bytes) {
                                            seen += bytes;
                                            if (seen == "ready\n") signals.send(signal);
                                        },
                                        signals, {});
        EXPECT_EQ(result.exit_status, 9) << word;
        EXPECT_EQ(seen, "ready\ngot\n") << word;
    }
}

TEST_F(AgentCommands, RunManyAtOnce)
{
    start();
    std::vector<std::future<Outcome>> running;
    for (int i = 0; i < 16; ++i) {
        running.push_back(in_background(
            {.command = {"sh", "-c", "seq 1 20000; echo " + std::to_string(i) + " >&2; exit " + std::to_string(i)}}));
    }
    std::string expected;
    for (int i = 1; i <= 20000; ++i) expected += std::to_string(i) + '\n';
    for (int i = 0; i < 16; ++i) {
        const Outcome outcome = running[static_cast<std::size_t>(i)].get();
        EXPECT_EQ(outcome.result.exit_status, i);
        EXPECT_TRUE(outcome.out == expected) << i;
        EXPECT_EQ(outcome.err, std::to_string(i) + '\n');
    }
}

TEST_F(AgentCommands, DoNotWaitForWhatTheyLeaveBehind)
{
    start();
    make_fifo("hang");  // not tail: that ends when nobody reads its output any more
    const Outcome outcome = sh("setsid sh -c 'echo $$ > $DIR/left; exec cat $DIR/hang' & echo done");
    EXPECT_EQ(outcome.result.exit_status, 0);
    EXPECT_EQ(outcome.out, "done\n");
    const int left = await_pid("left");
    EXPECT_FALSE(is_gone(left));
    ::kill(left, SIGKILL);
    EXPECT_TRUE(eventually([left] { return is_gone(left); }));  // collected, too: a zombie would still be there
}

TEST_F(AgentCommands, LeaveNoZombies)
{
    start();
    for (int i = 0; i < 5; ++i) sh("for i in 1 2 3; do (true &) ; done; (exec true) & exit 0");
    const int self = agent_pid();
    EXPECT_TRUE(eventually([self] {
        for (const ProcessEntry& process : processes()) {
            if (process.parent == self && process.state == 'Z') return false;
        }
        return true;
    }));
}

TEST_F(AgentCommands, WaitForAClientThatDoesNotReadAndLoseNothing)
{
    start();
    Raw raw{socket()};
    raw.request({.op = Op::exec,
                 .exec = {.command = {"sh", "-c", "echo $$ > $DIR/self; seq 1 400000; echo end > $DIR/ended"}}});
    const int self = await_pid("self");
    // It stands still in a write to its pipe.
    EXPECT_TRUE(eventually([self] {
        for (const ProcessEntry& process : processes()) {
            if (process.parent != self) continue;
            return contains(test::read_file("/proc/" + std::to_string(process.pid) + "/wchan"), "pipe") ||
                   process.state == 'S';
        }
        return false;
    }));
    EXPECT_TRUE(sh("exit 0").result.exit_status == 0);  // others are served
    EXPECT_FALSE(std::filesystem::exists(directory_ / "ended"));
    std::string output;
    EXPECT_EQ(decode_exec_outcome(raw.reply(&output)).exit_status, 0);
    std::string expected;
    for (int i = 1; i <= 400'000; ++i) expected += std::to_string(i) + '\n';
    EXPECT_TRUE(output == expected) << output.size();
}

TEST_F(AgentCommands, ThatEndedAreNotTimedOutWhileTheirClientReads)
{
    start();
    Raw raw{socket()};
    // More than the socket takes, so that the agent keeps the rest until it is read; not more than it keeps.
    raw.request({.op = Op::exec,
                 .exec = {.command = {"sh", "-c", "head -c 400000 /dev/zero; echo $$ > $DIR/self"}, .timeout = 5s}});
    const int self = await_pid("self");
    ASSERT_TRUE(eventually([self] { return is_gone(self); }));
    // A command whose time ends after the other's would have: when it has, so has the other's.
    EXPECT_TRUE(sh("exec tail -f /dev/null", 5500ms).result.timed_out);
    EXPECT_NE(pong().application, 0);
    std::string output;
    const ExecOutcome outcome = decode_exec_outcome(raw.reply(&output));
    EXPECT_EQ(outcome.exit_status, 0);
    EXPECT_FALSE(outcome.timed_out);
    EXPECT_EQ(output.size(), 400'000U);
}

using AgentApplication = AgentTest;

TEST_F(AgentApplication, WithoutASessionIsInitialisedWhenItRuns)
{
    start();
    const Pong now = pong();
    EXPECT_EQ(now.state, State::initialised);
    EXPECT_FALSE(now.session);
    EXPECT_FALSE(is_gone(now.application));
    client.wait_for(address(), AgentStage::started, kBound, {});
    EXPECT_TRUE(contains(expect_error(ErrorCode::conflict, [this] { code("1"); }).what(), "session"));
}

TEST_F(AgentApplication, GivesTheAgentItsExitStatus)
{
    const UniqueFd fifo{::open(make_fifo("end").c_str(), O_RDWR | O_CLOEXEC)};
    start({.command = {"sh", "-c", "read x < $DIR/end; exit 42"}});
    write_to(fifo, "\n");
    EXPECT_EQ(end_of_agent(), 42);
}

TEST_F(AgentApplication, ThatASignalEndsGivesTheAgent128AndItsNumber)
{
    start();
    ::kill(pong().application, SIGKILL);
    EXPECT_EQ(end_of_agent(), 137);
}

TEST_F(AgentApplication, ThatEndsWhileCommandsRunMakesThemConflictsAndKillsThem)
{
    start();
    auto running = std::async(std::launch::async, [this] {
        return expect_error(ErrorCode::conflict, [this] { sh("echo $$ > $DIR/self; exec tail -f /dev/null"); });
    });
    const int self = await_pid("self");
    ::kill(pong().application, SIGTERM);
    EXPECT_TRUE(contains(running.get().what(), "ended"));
    EXPECT_EQ(end_of_agent(), 143);
    EXPECT_TRUE(eventually([self] { return is_dead(self); }));
}

TEST_F(AgentApplication, ThatEndsDoesNotWaitLongForAClientThatDoesNotRead)
{
    start();
    Raw raw{socket()};
    raw.request({.op = Op::exec, .exec = {.command = {"sh", "-c", "echo $$ > $DIR/self; exec cat /dev/zero"}}});
    const int self = await_pid("self");
    ::kill(pong().application, SIGTERM);
    EXPECT_EQ(end_of_agent(), 143);
    EXPECT_TRUE(eventually([self] { return is_dead(self); }));
}

TEST_F(AgentApplication, GetsTheSignalsThatTheAgentGets)
{
    const std::string script = "for s in HUP INT QUIT USR1 USR2; do trap \"echo $s >> $DIR/got\" $s; done; "
                               "trap 'exit 5' TERM; "
                               "sh -c \"trap '' HUP INT QUIT USR1 USR2 TERM; echo > $DIR/ready; "
                               "exec tail -f /dev/null\" & while :; do wait $!; done";
    start({.command = {"sh", "-c", script}});
    await_file("ready");
    std::string expected;
    for (const auto& [number, word] :
         {std::pair{SIGHUP, "HUP"}, {SIGINT, "INT"}, {SIGQUIT, "QUIT"}, {SIGUSR1, "USR1"}, {SIGUSR2, "USR2"}}) {
        ::kill(agent_pid(), number);
        expected += word + "\n"s;
        ASSERT_TRUE(eventually([&] { return test::read_file(directory_ / "got") == expected; })) << word;
    }
    ::kill(agent_pid(), SIGTERM);
    EXPECT_EQ(end_of_agent(), 5);
}

TEST_F(AgentApplication, ThatCannotBeStartedEndsTheAgentWithItsReason)
{
    const int pid = test::start_process({WARMD_AGENT_PROGRAM, "--socket", socket(), "--", "no-such-application"}, {},
                                        directory_.path().string(), (directory_ / "log").string());
    int status = 0;
    ASSERT_TRUE(eventually([&] { return ::waitpid(pid, &status, WNOHANG) == pid; }));
    EXPECT_EQ(WEXITSTATUS(status), 125);
    EXPECT_TRUE(contains(log(), "no-such-application")) << log();
}

TEST_F(AgentApplication, PrintsToTheAgentsOwnOutput)
{
    start({.command = {"sh", "-c", "echo to the log; echo errors too >&2; exec tail -f /dev/null"}});
    EXPECT_TRUE(eventually([this] { return contains(log(), "to the log\n") && contains(log(), "errors too\n"); }));
}

TEST_F(AgentApplication, ThatIsDeferredStartsOnceWithTheVariablesItIsGiven)
{
    start({.command = {"sh", "-c", "echo \"$SECRET,$WARM_START,$DIR\" > $DIR/seen; exec tail -f /dev/null"},
           .deferred = true});
    EXPECT_EQ(pong().state, State::waiting);
    EXPECT_EQ(pong().application, 0);
    EXPECT_EQ(sh("echo runs").out, "runs\n");
    expect_error(ErrorCode::conflict, [this] { code("1"); });
    expect_error(ErrorCode::timeout, [this] { client.wait_for(address(), AgentStage::started, 50ms, {}); });

    auto ready = std::async(std::launch::async,
                            [this] { client.wait_for(address(), AgentStage::initialised, kBound, {}); });
    client.start_application(address(), {{"SECRET", "s3cret"}});
    ready.get();
    EXPECT_EQ(pong().state, State::initialised);
    EXPECT_EQ(await_file("seen"), "s3cret,," + directory_.path().string() + "\n");
    EXPECT_EQ(sh("echo ${SECRET-none}").out, "none\n");
    expect_error(ErrorCode::conflict, [this] { client.start_application(address(), {}); });
}

TEST_F(AgentApplication, ThatIsDeferredAndCannotBeStartedCanBeTriedAgain)
{
    start({.command = {"./application"}, .deferred = true});
    const Error error = expect_error(ErrorCode::not_ready, [this] { client.start_application(address(), {}); });
    EXPECT_TRUE(contains(error.what(), "./application")) << error.what();
    test::write_file(directory_ / "application", "#!/bin/sh\nexec tail -f /dev/null\n");
    std::filesystem::permissions(directory_ / "application", std::filesystem::perms::owner_all);
    client.start_application(address(), {});
    EXPECT_EQ(pong().state, State::initialised);
}

TEST_F(AgentApplication, ThatIsStillDeferredLetsASignalEndTheAgent)
{
    start({.deferred = true});
    ::kill(agent_pid(), SIGTERM);
    EXPECT_EQ(end_of_agent(), 0);
}

TEST_F(AgentApplication, AWaitForItEndsWhenItDoesOrWhenItIsCancelled)
{
    const UniqueFd fifo{::open(make_fifo("end").c_str(), O_RDWR | O_CLOEXEC)};
    start({.command = {"sh", "-c", "read x < $DIR/end; exit 3"}, .session = true, .wait = false});
    client.wait_for(address(), AgentStage::started, kBound, {});
    EXPECT_EQ(pong().state, State::starting);
    expect_error(ErrorCode::timeout, [this] { client.wait_for(address(), AgentStage::initialised, 50ms, {}); });
    std::stop_source stop;
    stop.request_stop();
    expect_error(ErrorCode::cancelled,
                 [&] { client.wait_for(address(), AgentStage::initialised, kBound, stop.get_token()); });
    Raw waiting{socket()};
    waiting.request({.op = Op::ready, .until = Stage::init, .timeout = kBound});
    ASSERT_TRUE(answers());  // by now the agent has taken it
    write_to(fifo, "\n");
    expect_error(ErrorCode::not_ready, [&] { decode_done(waiting.reply()); });
    EXPECT_EQ(end_of_agent(), 3);
}

using AgentCheckpoint = AgentTest;

TEST_F(AgentCheckpoint, IsRefusedWhileACommandRuns)
{
    start();
    const UniqueFd fifo{::open(make_fifo("go").c_str(), O_RDWR | O_CLOEXEC)};
    auto running = in_background({.command = {"sh", "-c", "echo $$ > $DIR/self; read x < $DIR/go"}});
    await_pid("self");
    expect_error(ErrorCode::conflict, [this] { client.quiesce(address()); });
    write_to(fifo, "\n");
    EXPECT_EQ(running.get().result.exit_status, 0);
    client.quiesce(address());
    EXPECT_EQ(sh("echo on").out, "on\n");
}

TEST_F(AgentCheckpoint, LeavesNoConnection)
{
    start();
    Raw idle{socket()};
    Raw half{socket()};
    half.send("\0\0"s);
    ASSERT_TRUE(answers());  // by now both have been accepted
    client.quiesce(address());
    EXPECT_FALSE(idle.next());
    EXPECT_FALSE(half.next());
    int sockets = 0;
    for (const auto& entry : std::filesystem::directory_iterator{"/proc/" + std::to_string(agent_pid()) + "/fd"}) {
        std::error_code gone;
        if (contains(std::filesystem::read_symlink(entry.path(), gone).string(), "socket:")) ++sockets;
    }
    EXPECT_EQ(sockets, 1);  // the one that listens
    EXPECT_TRUE(answers());
}

TEST_F(AgentCheckpoint, AfterwardsEachCopyHasItsOwnNameAndTemporaryDirectory)
{
    start();
    client.quiesce(address());
    std::set<std::string> directories;
    for (const std::string name : {"inst-a", "inst-b"}) {
        client.resumed(address(), name, {{"EXTRA", "of " + name}});
        const std::string out = sh("echo $HOSTNAME; echo $EXTRA; echo $TMPDIR; stat -c %a $TMPDIR").out;
        std::istringstream lines{out};
        std::string hostname;
        std::string extra;
        std::string tmpdir;
        std::string mode;
        std::getline(lines, hostname);
        std::getline(lines, extra);
        std::getline(lines, tmpdir);
        std::getline(lines, mode);
        EXPECT_EQ(hostname, name);
        EXPECT_EQ(extra, "of " + name);
        EXPECT_TRUE(tmpdir.starts_with("/tmp/warm-")) << tmpdir;
        EXPECT_EQ(mode, "700");
        directories.insert(tmpdir);
        if (tmpdir.starts_with("/tmp/warm-")) std::filesystem::remove(tmpdir);
    }
    EXPECT_EQ(directories.size(), 2U);
}

/// A session whose language is bash, as docs/agent-protocol.md describes one; only as good as these tests need.
constexpr const char* kLoop = R"bash(
decode() { printf -v "$2" '%b' "${1//%/\\x}"; }
interrupted=0
trap 'interrupted=1; kill $child 2>/dev/null' INT
exec 3< "$WARM_SESSION"
echo starting
while :; do
    IFS= read -r line <&3 || continue
    [ -n "$line" ] || continue
    read -r -a fields <<< "$line"
    interrupted=0
    child=
    status=0
    if [ "${fields[1]}" = exec ]; then
        decode "${fields[2]}" directory
        decode "${fields[3]}" code
        cd "$directory" || status=1
        settings=()
        for field in "${fields[@]:4}"; do decode "$field" setting; settings+=("$setting"); done
        [ ${#settings[@]} = 0 ] || export "${settings[@]}"
        eval "$code"
        status=$?
        for setting in "${settings[@]}"; do unset "${setting%%=*}"; done
    else
        decode "${fields[3]}" TMPDIR
        seed=${fields[2]}
        export TMPDIR
        for field in "${fields[@]:4}"; do decode "$field" setting; export "$setting"; done
    fi
    [ $interrupted = 0 ] || status=130
    printf '\x1ewarm %s %s\n' "${fields[0]}" "$status"
    printf '\x1ewarm %s %s\n' "${fields[0]}" "$status" >&2
done
)bash";

// Code that runs until it is interrupted, and never looks at a clock.
constexpr const char* kForever =
    "tail -f /dev/null & child=$!; echo $$ > $DIR/running; [ $interrupted = 1 ] || wait $child";

class AgentSession : public AgentTest {
protected:
    void start_session(const std::string& before = {})
    {
        test::write_file(directory_ / "loop", before + kLoop);
        start({.command = {"bash", (directory_ / "loop").string()}, .session = true});
    }
};

TEST_F(AgentSession, EvaluatesCodeWithItsStreamsAndStatus)
{
    start_session();
    EXPECT_EQ(pong().state, State::initialised);
    EXPECT_TRUE(pong().session);
    const Outcome outcome = code("echo 'to  out'; echo to err >&2; (exit 9)");
    EXPECT_EQ(outcome.out, "to  out\n");
    EXPECT_EQ(outcome.err, "to err\n");
    EXPECT_EQ(outcome.result.exit_status, 9);
    EXPECT_FALSE(outcome.result.timed_out);
    EXPECT_FALSE(outcome.result.session_ended);
    EXPECT_EQ(code("x=1; printf '\xc3\xa4%s' \"a\nb\"").out, "\xc3\xa4"
                                                             "a\nb");
    EXPECT_EQ(code("echo $x").out, "1\n");
    EXPECT_EQ(code("").result.exit_status, 0);
}

TEST_F(AgentSession, GoesToTheDirectoryAndSetsTheVariablesOfARequest)
{
    start_session();
    EXPECT_EQ(run({.code = "pwd; echo $A", .env = {{"A", "b c"}}, .workdir = "/usr"}).out, "/usr\nb c\n");
    EXPECT_EQ(code("pwd; echo ${A-unset}").out, directory_.path().string() + "\nunset\n");
}

TEST_F(AgentSession, LosesNothingOfLongOutput)
{
    start_session();
    std::string expected;
    for (int i = 1; i <= 400'000; ++i) expected += std::to_string(i) + '\n';
    EXPECT_TRUE(code("seq 1 400000").out == expected);
    const std::string text(200'000, 'y');
    EXPECT_EQ(code("printf %s '" + text + "'").out, text);
}

TEST_F(AgentSession, AnswersOneRequestAfterTheOtherInTheirOrder)
{
    start_session();
    const UniqueFd fifo{::open(make_fifo("go").c_str(), O_RDWR | O_CLOEXEC)};
    Raw first{socket()};
    first.request({.op = Op::exec, .exec = {.code = "echo > $DIR/running; read x < $DIR/go; order=first"}});
    await_file("running");
    std::vector<Raw> others;
    for (int i = 0; i < 4; ++i) {
        others.emplace_back(socket());
        others.back().request({.op = Op::exec, .exec = {.code = "order=$order-" + std::to_string(i)}});
        ASSERT_TRUE(answers());  // by now the agent has taken it
    }
    EXPECT_EQ(sh("echo beside").out, "beside\n");
    write_to(fifo, "\n");
    EXPECT_EQ(decode_exec_outcome(first.reply()).exit_status, 0);
    for (Raw& other : others) EXPECT_EQ(decode_exec_outcome(other.reply()).exit_status, 0);
    EXPECT_EQ(code("echo $order").out, "first-0-1-2-3\n");
}

TEST_F(AgentSession, ARequestThatWaitsForTooLongNeverRuns)
{
    start_session();
    const UniqueFd fifo{::open(make_fifo("go").c_str(), O_RDWR | O_CLOEXEC)};
    auto first = in_background({.code = "echo > $DIR/running; read x < $DIR/go; echo first"});
    await_file("running");
    const Outcome late = code("touch $DIR/late", 100ms);
    EXPECT_EQ(late.result.exit_status, 124);
    EXPECT_TRUE(late.result.timed_out);
    EXPECT_FALSE(late.result.session_ended);
    EXPECT_TRUE(contains(late.err, "busy")) << late.err;
    write_to(fifo, "\n");
    EXPECT_EQ(first.get().out, "first\n");
    EXPECT_EQ(code("ls $DIR/late 2>/dev/null").out, "");
}

TEST_F(AgentSession, IsInterruptedByARequestThatTakesTooLongAndGoesOn)
{
    start_session();
    const Outcome outcome = code("echo begun; "s + kForever, 500ms);
    EXPECT_EQ(outcome.result.exit_status, 124);
    EXPECT_TRUE(outcome.result.timed_out);
    EXPECT_FALSE(outcome.result.session_ended);
    EXPECT_EQ(outcome.out, "begun\n");
    EXPECT_EQ(code("echo on").out, "on\n");
}

TEST_F(AgentSession, ThatDoesNotAnswerAnInterruptIsKilledAndTheAgentEnds)
{
    start_session();
    const Outcome outcome = code("trap '' INT; tail -f /dev/null", 200ms);
    EXPECT_EQ(outcome.result.exit_status, 124);
    EXPECT_TRUE(outcome.result.timed_out);
    EXPECT_TRUE(outcome.result.session_ended);
    EXPECT_GE(outcome.result.elapsed, 2s);
    EXPECT_EQ(end_of_agent(), 137);
}

TEST_F(AgentSession, ThatEndsInARequestPassesItsStatusOnAndRefusesWhatWaits)
{
    start_session();
    const UniqueFd fifo{::open(make_fifo("go").c_str(), O_RDWR | O_CLOEXEC)};
    auto ending = in_background({.code = "echo > $DIR/running; read x < $DIR/go; echo last words; exit 5"});
    await_file("running");
    Raw waiting{socket()};
    waiting.request({.op = Op::exec, .exec = {.code = "echo never"}});
    ASSERT_TRUE(answers());
    write_to(fifo, "\n");
    const Outcome outcome = ending.get();
    EXPECT_EQ(outcome.result.exit_status, 5);
    EXPECT_TRUE(outcome.result.session_ended);
    EXPECT_FALSE(outcome.result.timed_out);
    EXPECT_EQ(outcome.out, "last words\n");
    expect_error(ErrorCode::conflict, [&] { decode_exec_outcome(waiting.reply()); });
    EXPECT_EQ(end_of_agent(), 5);
}

TEST_F(AgentSession, IsInterruptedWhenTheClientOfARequestGoesAndGoesOn)
{
    start_session();
    Raw raw{socket()};
    raw.request({.op = Op::exec, .exec = {.code = "echo words of the dead; "s + kForever}});
    await_file("running");
    raw.close();
    EXPECT_EQ(code("echo on").out, "on\n");
    EXPECT_FALSE(contains(log(), "words of the dead"));
}

TEST_F(AgentSession, ForgetsAWaitingRequestWhoseClientGoes)
{
    start_session();
    const UniqueFd fifo{::open(make_fifo("go").c_str(), O_RDWR | O_CLOEXEC)};
    auto first = in_background({.code = "echo > $DIR/running; read x < $DIR/go"});
    await_file("running");
    Raw raw{socket()};
    raw.request({.op = Op::exec, .exec = {.code = "echo > $DIR/forgotten"}});
    ASSERT_TRUE(answers());
    raw.close();
    ASSERT_TRUE(answers());
    write_to(fifo, "\n");
    first.get();
    EXPECT_EQ(code("ls $DIR").result.exit_status, 0);
    EXPECT_FALSE(std::filesystem::exists(directory_ / "forgotten"));
}

TEST_F(AgentSession, GetsTheSignalsOfTheRequestThatItAnswers)
{
    start_session();
    ExecSignals signals;
    bool sent = false;
    const auto result = client.exec(address(), {.code = "echo begun; "s + kForever}, kBound,
                                    [&](ExecStream, std::string_view) {
                                        if (sent) return;
                                        sent = true;
                                        await_file("running");
                                        signals.send(SIGINT);
                                    },
                                    signals, {});
    EXPECT_EQ(result.exit_status, 130);
    EXPECT_EQ(code("echo on").out, "on\n");
}

TEST_F(AgentSession, PrintsBetweenRequestsToTheAgentsOwnOutput)
{
    start_session();
    EXPECT_TRUE(contains(log(), "starting\n"));
    make_fifo("go");
    const Outcome outcome = code("(read x < $DIR/go; echo later; echo later too >&2) & echo now");
    EXPECT_EQ(outcome.out, "now\n");
    sh("echo > $DIR/go");
    EXPECT_TRUE(eventually([this] { return contains(log(), "later\n") && contains(log(), "later too\n"); }));
    EXPECT_FALSE(contains(log(), "now\n"));
    EXPECT_FALSE(contains(log(), "\x1e"));
}

TEST_F(AgentSession, OutputCannotForgeTheEndOfARequest)
{
    start_session();
    const std::string fake = "\x1ewarm 00000000000000000000000000000000 0\n";
    const Outcome outcome = code(
        "printf '\\x1ewarm 00000000000000000000000000000000 0\\n' | tee /dev/stderr; printf '\\x1ewarm '; (exit 3)");
    EXPECT_EQ(outcome.out, fake + "\x1ewarm ");
    EXPECT_EQ(outcome.err, fake);
    EXPECT_EQ(outcome.result.exit_status, 3);
}

TEST_F(AgentSession, IsNotQuiescedWhileItAnswers)
{
    start_session();
    const UniqueFd fifo{::open(make_fifo("go").c_str(), O_RDWR | O_CLOEXEC)};
    auto first = in_background({.code = "echo > $DIR/running; read x < $DIR/go"});
    await_file("running");
    expect_error(ErrorCode::conflict, [this] { client.quiesce(address()); });
    write_to(fifo, "\n");
    first.get();
    client.quiesce(address());
}

TEST_F(AgentSession, TakesSeedDirectoryAndVariablesWhenItResumes)
{
    start_session();
    client.quiesce(address());
    std::set<std::string> seen;
    for (const std::string name : {"inst-a", "inst-b"}) {
        client.resumed(address(), name, {{"EXTRA", "e e"}});
        const std::string out = code("echo $HOSTNAME,$EXTRA,$TMPDIR; test $seed -lt 2147483648 && rmdir $TMPDIR").out;
        EXPECT_TRUE(out.starts_with(name + ",e e,/tmp/warm-")) << out;
        seen.insert(out.substr(out.rfind(',')));
        seen.insert(code("echo $seed").out);
    }
    EXPECT_EQ(seen.size(), 4U);
}

TEST_F(AgentSession, ThatEndsWithAClientThatDoesNotReadEndsTheAgentInOrder)
{
    start_session();
    Raw raw{socket()};
    raw.request({.op = Op::exec, .exec = {.code = "echo $$ > $DIR/running; cat /dev/zero"}});
    const int session = await_pid("running");
    ::kill(session, SIGKILL);
    ::kill(-session, SIGKILL);
    EXPECT_EQ(end_of_agent(), 137);
    EXPECT_EQ(log().find("Sanitizer"), std::string::npos) << log();
}

using AgentAttacks = AgentTest;

TEST_F(AgentAttacks, EndWithAnErrorAndTheAgentLives)
{
    start();
    const std::string ping = encode_frame(FrameType::request, R"({"version": 1, "op": "ping"})");
    const std::map<std::string, std::string> attacks{
        {"garbage", "GET / HTTP/1.1\r\n\r\n"},
        {"huge length", "\xff\xff\xff\xffQ"s},
        {"unknown type", "\0\0\0\1Zx"s},
        {"no JSON", encode_frame(FrameType::request, "\xff\xfe")},
        {"deep JSON", encode_frame(FrameType::request, std::string(100'000, '['))},
        {"another version", encode_frame(FrameType::request, R"({"version": 9, "op": "ping"})")},
        {"frame of an agent", encode_frame(FrameType::reply, "{}")},
        {"output of an agent", encode_frame(FrameType::out, "x")},
        {"signal of two bytes", encode_frame(FrameType::signal, "ab")},
        {"signal of no byte", encode_frame(FrameType::signal, "")},
    };
    for (const auto& [what, bytes] : attacks) {
        SCOPED_TRACE(what);
        Raw raw{socket()};
        raw.send(bytes);
        expect_error(ErrorCode::invalid_argument, [&] { decode_done(raw.reply()); });
        ASSERT_TRUE(answers());
    }
}

TEST_F(AgentAttacks, ASecondRequestCancelsTheFirst)
{
    start();
    Raw raw{socket()};
    raw.request({.op = Op::exec, .exec = {.command = {"sh", "-c", "echo $$ > $DIR/self; exec tail -f /dev/null"}}});
    const int self = await_pid("self");
    raw.request({.op = Op::ping});
    expect_error(ErrorCode::invalid_argument, [&] { decode_done(raw.reply()); });
    EXPECT_TRUE(eventually([self] { return is_gone(self); }));
    EXPECT_TRUE(answers());
}

TEST_F(AgentAttacks, SignalsAndInputBeforeARequestDoNothing)
{
    start();
    Raw raw{socket()};
    raw.send(encode_frame(FrameType::signal, "\x09") + encode_frame(FrameType::input, "x") +
             encode_frame(FrameType::input, ""));
    raw.request({.op = Op::exec, .exec = {.command = {"cat"}, .input = true}});
    raw.send(encode_frame(FrameType::input, "y") + encode_frame(FrameType::input, ""));
    std::string output;
    EXPECT_EQ(decode_exec_outcome(raw.reply(&output)).exit_status, 0);
    EXPECT_EQ(output, "y");
}

TEST_F(AgentAttacks, SignalNumbersThatThereAreNotDoNothing)
{
    start();
    Raw raw{socket()};
    raw.request({.op = Op::exec, .exec = {.command = {"cat"}, .input = true}});
    raw.send(encode_frame(FrameType::signal, "\0"s) + encode_frame(FrameType::signal, "\xff"));
    raw.send(encode_frame(FrameType::input, ""));
    EXPECT_EQ(decode_exec_outcome(raw.reply()).exit_status, 0);
}

TEST_F(AgentAttacks, HalfARequestHoldsNobodyUp)
{
    start();
    std::vector<Raw> halves;
    for (int i = 0; i < 20; ++i) {
        halves.emplace_back(socket());
        halves.back().send("\0\0\1"s);
    }
    EXPECT_EQ(sh("echo served").out, "served\n");
}

/// Somebody who listens where an agent should and follows a script.
class FalseAgent : public AgentTest {
protected:
    void serve(std::function<void(int fd)> script)
    {
        listener_ = UniqueFd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        sockaddr_un name{.sun_family = AF_UNIX};
        socket().copy(name.sun_path, sizeof name.sun_path - 1);
        ASSERT_EQ(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
        ASSERT_EQ(::listen(listener_.get(), 16), 0);
        server_ = std::jthread{[this, script = std::move(script)] {
            while (true) {
                const UniqueFd fd{::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)};
                if (!fd.valid()) return;
                script(fd.get());
            }
        }};
    }

    ~FalseAgent() override
    {
        ::shutdown(listener_.get(), SHUT_RDWR);  // wakes accept()
    }

    static bool send(int fd, std::string_view bytes)
    {
        return ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
    }
    /// Takes the request first: closing before it was read would be a reset.
    static void read_request(int fd)
    {
        FrameReader reader;
        std::vector<char> buffer(4096);
        while (!reader.next()) {
            const ssize_t count = ::recv(fd, buffer.data(), buffer.size(), 0);
            if (count <= 0) return;
            reader.write({buffer.data(), static_cast<std::size_t>(count)});
        }
    }
    static void wait_for_hang_up(int fd)
    {
        char byte = 0;
        while (::recv(fd, &byte, 1, 0) > 0) {
        }
    }

    void expect_failure_of_everything(ErrorCode code = ErrorCode::engine_failed)
    {
        expect_error(code, [this] { client.ping(address()); });
        expect_error(code, [this] { client.start_application(address(), {}); });
        expect_error(code, [this] { client.wait_for(address(), AgentStage::started, 100ms, {}); });
        expect_error(code, [this] { run({.command = {"true"}}, 100ms); });
        expect_error(code, [this] { client.quiesce(address()); });
        expect_error(code, [this] { client.resumed(address(), "inst-1", {}); });
    }

private:
    UniqueFd listener_;
    std::jthread server_;
};

TEST_F(FalseAgent, ThatIsNotThereIsUnavailable) { expect_failure_of_everything(ErrorCode::unavailable); }

TEST_F(FalseAgent, ThatTalksGarbageHasFailed)
{
    serve([](int fd) {
        read_request(fd);
        send(fd, "HTTP/1.1 200 OK\r\n\r\n");
    });
    expect_failure_of_everything();
}

TEST_F(FalseAgent, ThatAnnouncesAnOversizedFrameHasFailed)
{
    serve([](int fd) {
        read_request(fd);
        send(fd, "\xff\xff\xff\xffO"s);
        wait_for_hang_up(fd);
    });
    expect_failure_of_everything();
}

TEST_F(FalseAgent, ThatHangsUpHasFailed)
{
    serve([](int fd) { read_request(fd); });
    expect_failure_of_everything();
}

TEST_F(FalseAgent, ThatHangsUpBeforeItHasReadHasFailed)
{
    serve([](int) {});
    expect_failure_of_everything();
}

TEST_F(FalseAgent, ThatRepliesNonsenseHasFailed)
{
    serve([](int fd) {
        read_request(fd);
        send(fd, encode_frame(FrameType::reply, "[1, 2"));
    });
    expect_failure_of_everything();
}

TEST_F(FalseAgent, CannotSayThatItIsUnavailable)
{
    serve([](int fd) {
        read_request(fd);
        send(fd, encode_frame(FrameType::reply, R"({"error": {"code": "unavailable", "message": "m"}})"));
    });
    expect_failure_of_everything();
}

TEST_F(FalseAgent, ThatEndsInTheMiddleOfOutputHasFailed)
{
    serve([](int fd) {
        read_request(fd);
        const std::string frame = encode_frame(FrameType::out, std::string(kMaxData, 'x'));
        for (int i = 0; i < 100 && send(fd, frame); ++i) {
        }
        send(fd, frame.substr(0, 100));
    });
    std::size_t size = 0;
    ExecSignals signals;
    expect_error(ErrorCode::engine_failed, [&] {
        client.exec(address(), {.command = {"true"}}, kBound,
                    [&size](ExecStream, std::string_view bytes) { size += bytes.size(); }, signals, {});
    });
    EXPECT_EQ(size, 100 * kMaxData);
}

TEST_F(FalseAgent, ThatNeverComesToItsReplyIsATimeoutOrCanBeCancelled)
{
    // Shared: the false agent may still count when the test is over.
    const auto served = std::make_shared<std::atomic<int>>(0);
    serve([served](int fd) {
        read_request(fd);
        // The first talks for ever, the second says nothing.
        while (*served == 0 && send(fd, encode_frame(FrameType::out, "x"))) {
        }
        if ((*served)++ > 0) wait_for_hang_up(fd);
    });
    const SteadyTime began = std::chrono::steady_clock::now();
    expect_error(ErrorCode::timeout, [this] { client.wait_for(address(), AgentStage::started, 1ms, {}); });
    std::stop_source stop;
    auto running = std::async(std::launch::async, [&] {
        expect_error(ErrorCode::cancelled, [&] { run({.command = {"true"}}, kBound, stop.get_token()); });
    });
    EXPECT_TRUE(eventually([&served] { return *served > 0; }));
    stop.request_stop();
    running.get();
    EXPECT_LT(std::chrono::steady_clock::now() - began, 2 * kBound);
}

TEST_F(FalseAgent, ThatSaysNothingIsATimeout)
{
    serve([](int fd) { wait_for_hang_up(fd); });
    expect_error(ErrorCode::timeout, [this] { client.wait_for(address(), AgentStage::started, 1ms, {}); });
}

TEST_F(FalseAgent, ThatGoesOnAfterItsReplyIsNotQuiesced)
{
    serve([](int fd) {
        read_request(fd);
        send(fd, encode_frame(FrameType::reply, "{}"));
        while (send(fd, encode_frame(FrameType::out, "x"))) {
        }
    });
    expect_error(ErrorCode::engine_failed, [this] { client.quiesce(address()); });
}

}  // namespace
}  // namespace warmd::agent
