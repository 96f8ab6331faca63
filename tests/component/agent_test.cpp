// The agent's program and warmd's client of it, over a socket on this machine.
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "daemon/agent/agent_client.h"
#include "daemon/base/error.h"
#include "daemon/base/text.h"
#include "dockerfiles/agent/protocol.h"
#include "tests/support/temp_dir.h"

namespace warmd::agent {
namespace {

using namespace std::chrono_literals;

/// Connects to a path of this machine instead of one in a container.
class PathConnector final : public AgentConnector {
public:
    UniqueFd connect(const AgentAddress& address) override
    {
        sockaddr_un name{.sun_family = AF_UNIX};
        address.socket.copy(name.sun_path, sizeof name.sun_path - 1);
        UniqueFd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
        if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0) {
            throw Error{ErrorCode::unavailable, "nobody listens"};
        }
        return fd;
    }
};

void wait_until(const std::function<bool()>& condition)
{
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (!condition()) {
        ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "waited too long";
        ::poll(nullptr, 0, 2);
    }
}

/// A session loop as short as it can be: enough for the agent's side of the protocol.
constexpr const char* kLoop = R"sh(
decode() { printf %b "${1//%/\\x}"; }
exec 3< "$WARM_SESSION"
trap 'interrupted=1' INT
while read -r line <&3; do
    [ -n "$line" ] || continue
    set -- $line
    nonce=$1 kind=$2 status=0 interrupted=
    if [ "$kind" = exec ]; then code=$(decode "$4"); else code="seed=$3 TMPDIR=$(decode "$4")"; fi
    eval "$code" || status=$?
    [ -z "$interrupted" ] || status=130
    printf '\x1ewarm %s %d\n' "$nonce" "$status"
    printf '\x1ewarm %s %d\n' "$nonce" "$status" >&2
done
)sh";

class AgentTest : public testing::Test {
protected:
    void start_agent(const std::vector<std::string>& application, const std::vector<std::string>& options = {},
                     const char* start = nullptr)
    {
        std::vector<std::string> words{WARMD_AGENT_PROGRAM, "--socket", address.socket};
        words.insert(words.end(), options.begin(), options.end());
        words.emplace_back("--");
        words.insert(words.end(), application.begin(), application.end());
        std::vector<char*> argv;
        for (std::string& word : words) argv.push_back(word.data());
        argv.push_back(nullptr);
        const std::string log = (directory / "log").string();
        pid_ = ::fork();
        if (pid_ == 0) {
            if (start != nullptr) ::setenv("WARM_START", start, 1);
            if (std::freopen(log.c_str(), "w", stdout) == nullptr) ::_exit(1);
            ::execv(argv[0], argv.data());
            ::_exit(127);
        }
        wait_until([this] {
            try {
                client.ping(address);
                return true;
            } catch (const Error&) {
                return false;
            }
        });
    }

    void start_session()
    {
        start_agent({"bash", "-c", kLoop}, {"--session"});
        client.wait_for(address, AgentStage::initialised, 20s, {});
    }

    void TearDown() override
    {
        if (pid_ > 0) ::kill(pid_, SIGKILL);
        if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
    }

    /// Waits for the agent's end and returns its exit status.
    int agent_status()
    {
        int status = 0;
        ::waitpid(pid_, &status, 0);
        pid_ = 0;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }

    ExecResult run(const ExecRequest& request, Duration timeout = 20s, std::stop_token stop = {})
    {
        out.clear();
        err.clear();
        ExecSignals none;
        return client.exec(
            address, request, timeout,
            [this](ExecStream stream, std::string_view bytes) {
                (stream == ExecStream::out ? out : err) += bytes;
                seen = seen + bytes.size();
            },
            none, std::move(stop));
    }
    ExecResult shell(const std::string& script, Duration timeout = 20s)
    {
        return run({.command = {"sh", "-c", script}}, timeout);
    }

    [[nodiscard]] std::string read(const std::string& name) const
    {
        std::ifstream file{directory / name};
        return {std::istreambuf_iterator<char>{file}, {}};
    }
    [[nodiscard]] bool alive(const std::string& pid_file) const
    {
        const std::string state = "/proc/" + std::to_string(std::stoi(read(pid_file))) + "/stat";
        std::ifstream file{state};
        std::string text;
        std::getline(file, text);
        return file && text.find(") Z ") == std::string::npos;
    }

    ErrorCode code_of(const std::function<void()>& call)
    {
        try {
            call();
        } catch (const Error& error) {
            return error.code();
        }
        ADD_FAILURE() << "nothing was thrown";
        return ErrorCode::internal;
    }

    test::TempDir directory;
    AgentAddress address{.container = {}, .socket = (directory / "agent.sock").string()};
    PathConnector connector;
    AgentClient client{connector};
    std::string out;
    std::string err;
    std::atomic<std::size_t> seen = 0;
    pid_t pid_ = 0;
};

TEST_F(AgentTest, RunsACommandWithItsStreamsApartAndItsStatus)
{
    start_agent({"sleep", "infinity"});
    const ExecResult result = shell("echo out; echo err >&2; exit 42");
    EXPECT_EQ(result.exit_status, 42);
    EXPECT_EQ(result.path, ExecPath::agent);
    EXPECT_EQ(out, "out\n");
    EXPECT_EQ(err, "err\n");
    EXPECT_EQ(shell("kill -TERM $$").exit_status, 128 + SIGTERM);
}

TEST_F(AgentTest, SaysOnStandardErrorWhyACommandCannotRun)
{
    start_agent({"sleep", "infinity"});
    EXPECT_EQ(run({.command = {"no-such-program"}}).exit_status, 127);
    EXPECT_NE(err.find("no-such-program"), std::string::npos);
    EXPECT_EQ(run({.command = {"/etc/passwd"}}).exit_status, 126);
    EXPECT_EQ(run({.command = {"true"}, .workdir = "/no/such/directory"}).exit_status, 126);
    EXPECT_NE(err.find("/no/such/directory"), std::string::npos);
}

TEST_F(AgentTest, GivesACommandItsEnvironmentDirectoryAndInput)
{
    start_agent({"sleep", "infinity"});
    const std::string bytes("a\0\xFF\n", 4);
    EXPECT_EQ(run({.command = {"sh", "-c", "echo $WORD; pwd; cat"},
                   .env = {{"WORD", "a b"}},
                   .input = bytes,
                   .workdir = "/usr"})
                  .exit_status,
              0);
    EXPECT_EQ(out, "a b\n/usr\n" + bytes);
    shell("cat");
    EXPECT_EQ(out, "") << "without input it reads an end of file";
}

TEST_F(AgentTest, LosesNothingOfALargeOutputOrInput)
{
    start_agent({"sleep", "infinity"});
    shell("seq 1 1500000");
    EXPECT_GT(out.size(), 10'000'000U);
    EXPECT_TRUE(out.ends_with("\n1500000\n"));
    const std::string large(700'000, 'x');
    run({.command = {"cat"}, .input = large});
    EXPECT_EQ(out, large);
}

TEST_F(AgentTest, HandsOutputOnWhileTheCommandRuns)
{
    start_agent({"sleep", "infinity"});
    const std::string fifo = (directory / "go").string();
    ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
    std::jthread command{[&] { shell("echo early; read line < " + fifo); }};
    wait_until([this] { return seen > 0; });
    std::ofstream{fifo} << "go\n";
}

TEST_F(AgentTest, KillsWhatTakesTooLongWithItsChildren)
{
    start_agent({"sleep", "infinity"});
    const ExecResult result = shell(
        "trap '' TERM INT; sleep 600 & echo $! > " + (directory / "child").string() + "; while :; do sleep 600; done",
        300ms);
    EXPECT_EQ(result.exit_status, kExitTimeout);
    EXPECT_TRUE(result.timed_out);
    wait_until([this] { return !alive("child"); });
}

TEST_F(AgentTest, KillsTheCommandOfAClientThatGaveUp)
{
    start_agent({"sleep", "infinity"});
    const std::string script = "echo $$ > " + (directory / "pid").string() + "; echo started; sleep 600";
    std::stop_source stop;
    std::jthread canceller{[&] {
        wait_until([this] { return seen > 0; });
        stop.request_stop();
    }};
    EXPECT_EQ(code_of([&] { run({.command = {"sh", "-c", script}}, 20s, stop.get_token()); }), ErrorCode::cancelled);
    wait_until([this] { return !alive("pid"); });
}

TEST_F(AgentTest, SignalsACommand)
{
    start_agent({"sleep", "infinity"});
    ExecSignals signals;
    std::jthread sender{[&] {
        wait_until([this] { return seen > 0; });
        signals.send(SIGINT);
    }};
    const ExecResult result = client.exec(
        address, {.command = {"sh", "-c", "trap 'exit 7' INT; echo x; sleep 600 & wait"}}, 20s,
        [this](ExecStream, std::string_view bytes) { seen = seen + bytes.size(); }, signals, {});
    EXPECT_EQ(result.exit_status, 7);
}

TEST_F(AgentTest, DoesNotWaitForWhatACommandLeavesBehind)
{
    start_agent({"sleep", "infinity"});
    EXPECT_EQ(shell("sleep 600 & echo done").exit_status, 0);
    EXPECT_EQ(out, "done\n");
}

TEST_F(AgentTest, RunsManyCommandsAtOnce)
{
    start_agent({"sleep", "infinity"});
    std::atomic<int> good = 0;
    {
        std::vector<std::jthread> clients;
        for (int i = 0; i < 16; ++i) {
            clients.emplace_back([this, i, &good] {
                ExecSignals none;
                std::string text;
                client.exec(address, {.command = {"echo", std::to_string(i)}}, 20s,
                            [&text](ExecStream, std::string_view bytes) { text += bytes; }, none, {});
                if (text == std::to_string(i) + "\n") ++good;
            });
        }
    }
    EXPECT_EQ(good, 16);
}

TEST_F(AgentTest, EndsWithTheApplicationsStatusAndTellsWhoIsWaiting)
{
    start_agent({"sh", "-c", "until [ -e " + (directory / "end").string() + " ]; do sleep 0.02; done; exit 9"});
    std::jthread ender{[this] {
        wait_until([this] { return seen > 0; });
        std::ofstream{directory / "end"} << "now";
    }};
    EXPECT_EQ(code_of([this] { shell("echo x; sleep 600"); }), ErrorCode::conflict);
    EXPECT_EQ(agent_status(), 9);
}

TEST_F(AgentTest, PassesSignalsToTheApplication)
{
    start_agent({"sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.02; done"});
    client.wait_for(address, AgentStage::started, 20s, {});
    shell("true");
    ::kill(pid_, SIGTERM);
    EXPECT_EQ(agent_status(), 5);
}

TEST_F(AgentTest, StartsADeferredApplicationOnceWithWhatItIsGiven)
{
    start_agent({"sh", "-c", "echo \"token $TOKEN\" > " + (directory / "seen").string() + "; exec sleep infinity"}, {},
                "deferred");
    EXPECT_EQ(code_of([this] { client.wait_for(address, AgentStage::started, 50ms, {}); }), ErrorCode::timeout);
    client.start_application(address, {{"TOKEN", "secret"}});
    client.wait_for(address, AgentStage::initialised, 20s, {});
    wait_until([this] { return read("seen") == "token secret\n"; });
    EXPECT_EQ(code_of([this] { client.start_application(address, {}); }), ErrorCode::conflict);
    shell("echo \"[$TOKEN]\"");
    EXPECT_EQ(out, "[]\n") << "commands do not get what the application was started with";
}

TEST_F(AgentTest, QuiescesOnlyWhenNothingRuns)
{
    start_agent({"sleep", "infinity"});
    const UniqueFd bystander = connector.connect(address);
    client.quiesce(address);
    char byte = 0;
    pollfd polled{.fd = bystander.get(), .events = POLLIN, .revents = 0};
    ASSERT_EQ(::poll(&polled, 1, 20'000), 1);
    EXPECT_EQ(::recv(bystander.get(), &byte, 1, 0), 0) << "other connections are closed";
    std::stop_source stop;
    std::jthread command{[&] {
        code_of([&] { run({.command = {"sh", "-c", "echo x; sleep 600"}}, 20s, stop.get_token()); });
    }};
    wait_until([this] { return seen > 0; });
    EXPECT_EQ(code_of([this] { client.quiesce(address); }), ErrorCode::conflict);
    stop.request_stop();
}

TEST_F(AgentTest, MakesEachCopyDifferentAfterARestore)
{
    start_session();
    client.resumed(address, "copy-1", {{"EXTRA", "1"}});
    shell("echo $HOSTNAME $EXTRA $TMPDIR");
    const std::string first = out;
    EXPECT_TRUE(first.starts_with("copy-1 1 /tmp/warm-")) << first;
    run({.code = "echo $seed $TMPDIR"});
    const std::string seed = out;
    client.resumed(address, "copy-2", {});
    shell("echo $HOSTNAME $EXTRA $TMPDIR");
    EXPECT_NE(out, first);
    run({.code = "echo $seed $TMPDIR; rm -r /tmp/warm-??????"});
    EXPECT_NE(out, seed);
}

TEST_F(AgentTest, EvaluatesCodeInTheSessionOneRequestAfterTheOther)
{
    start_session();
    EXPECT_EQ(run({.code = "x=41; echo err >&2"}).exit_status, 0);
    EXPECT_EQ(err, "err\n");
    EXPECT_EQ(run({.code = "echo $((x + 1)); (exit 3)"}).exit_status, 3);
    EXPECT_EQ(out, "42\n");
    std::atomic<int> good = 0;
    std::vector<std::jthread> clients;
    for (int i = 0; i < 8; ++i) {
        clients.emplace_back([this, &good] {
            ExecSignals none;
            if (client.exec(address, {.code = "n=$((n + 1))"}, 20s, [](ExecStream, std::string_view) {}, none, {})
                    .exit_status == 0) {
                ++good;
            }
        });
    }
    clients.clear();
    run({.code = "echo $n"});
    EXPECT_EQ(out, "8\n");
    EXPECT_EQ(good, 8);
}

TEST_F(AgentTest, TakesNoMarkerButTheOneOfTheRequest)
{
    start_session();
    const std::string fake = "printf '\\036warm 00000000000000000000000000000000 5\\n'; printf '\\036warm'";
    EXPECT_EQ(run({.code = fake}).exit_status, 0);
    EXPECT_EQ(out, "\x1ewarm 00000000000000000000000000000000 5\n\x1ewarm");
}

TEST_F(AgentTest, InterruptsCodeThatTakesTooLongAndGoesOn)
{
    start_session();
    const ExecResult result = run({.code = "while [ -z \"$interrupted\" ]; do :; done"}, 300ms);
    EXPECT_EQ(result.exit_status, kExitTimeout);
    EXPECT_TRUE(result.timed_out);
    EXPECT_FALSE(result.session_ended);
    run({.code = "echo still here"});
    EXPECT_EQ(out, "still here\n");
}

TEST_F(AgentTest, CountsTheWaitForItsTurnTowardsTheTime)
{
    start_session();
    const std::string fifo = (directory / "go").string();
    ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
    std::jthread first{[&] {
        ExecSignals none;
        client.exec(address, {.code = "echo x; read line < " + fifo}, 20s,
                    [this](ExecStream, std::string_view bytes) { seen = seen + bytes.size(); }, none, {});
    }};
    wait_until([this] { return seen > 0; });
    const ExecResult second = run({.code = "echo never"}, 200ms);
    EXPECT_TRUE(second.timed_out);
    EXPECT_EQ(out, "");
    std::ofstream{fifo} << "go\n";
}

TEST_F(AgentTest, KillsASessionThatDoesNotStopAndSaysSo)
{
    start_session();
    const ExecResult result = run({.code = "trap '' INT; while :; do :; done"}, 200ms);
    EXPECT_EQ(result.exit_status, kExitTimeout);
    EXPECT_TRUE(result.session_ended);
    EXPECT_EQ(agent_status(), 128 + SIGKILL);
}

TEST_F(AgentTest, TellsTheStatusOfCodeThatEndsTheProcess)
{
    start_session();
    const ExecResult result = run({.code = "echo last words; exit 6"});
    EXPECT_EQ(result.exit_status, 6);
    EXPECT_TRUE(result.session_ended);
    EXPECT_EQ(out, "last words\n");
    EXPECT_EQ(agent_status(), 6);
}

TEST_F(AgentTest, RefusesCodeWithoutASession)
{
    start_agent({"sleep", "infinity"});
    EXPECT_EQ(code_of([this] { run({.code = "1"}); }), ErrorCode::conflict);
}

TEST_F(AgentTest, KeepsWhatIsPrintedBetweenRequestsForTheLog)
{
    start_session();
    run({.code = "(until [ -e " + (directory / "go").string() + " ]; do sleep 0.02; done; echo late) &"});
    std::ofstream{directory / "go"} << "go";
    wait_until([this] { return read("log") == "late\n"; });
    run({.code = ":"});
    EXPECT_EQ(out, "");
}

TEST_F(AgentTest, SurvivesClientsThatDoNotKeepToTheProtocol)
{
    start_agent({"sleep", "infinity"});
    const std::string ping = encode_frame(FrameType::request, encode_request({.op = Op::ping}));
    for (const std::string& attack :
         {std::string{"GET / HTTP/1.1\r\n\r\n"}, std::string(100'000, '\xFF'), std::string("\0\0\0\0?", 5),
          encode_frame(FrameType::request, "{"), encode_frame(FrameType::request, R"({"version":2,"op":"ping"})"),
          encode_frame(FrameType::request, std::string(100'000, '[')), encode_frame(FrameType::out, "x"),
          encode_frame(FrameType::request, R"({"version":1,"op":"exec","command":["sleep","600"]})") + ping,
          encode_frame(FrameType::signal, "too long")}) {
        const UniqueFd fd = connector.connect(address);
        ::send(fd.get(), attack.data(), attack.size(), MSG_NOSIGNAL);
        std::string answer(4096, '\0');
        ssize_t count = 1;
        while (count > 0) {  // an error or nothing, and the end
            pollfd polled{.fd = fd.get(), .events = POLLIN, .revents = 0};
            ASSERT_EQ(::poll(&polled, 1, 20'000), 1) << printable(attack.substr(0, 40));
            count = ::recv(fd.get(), answer.data(), answer.size(), 0);
        }
    }
    client.ping(address);
    EXPECT_EQ(shell("true").exit_status, 0);
}

/// Something that listens where an agent should and says what the test says.
class Impostor {
public:
    Impostor(const std::string& path, std::string words) : words_{std::move(words)}
    {
        sockaddr_un name{.sun_family = AF_UNIX};
        path.copy(name.sun_path, sizeof name.sun_path - 1);
        listener_ = UniqueFd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        ::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name);
        ::listen(listener_.get(), 5);
        thread_ = std::jthread{[this] {
            const UniqueFd fd{::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)};
            ::send(fd.get(), words_.data(), words_.size(), MSG_NOSIGNAL);
            char byte = 0;
            if (words_.empty()) ::recv(fd.get(), &byte, 1, MSG_PEEK);
            while (words_.empty() && ::recv(fd.get(), &byte, 1, 0) > 0) {
            }
        }};
    }

private:
    std::string words_;
    UniqueFd listener_;
    std::jthread thread_;
};

TEST_F(AgentTest, TrustsNothingThatAnAgentSays)
{
    const auto reply = [](const std::string& document) { return encode_frame(FrameType::reply, document); };
    for (const std::string& words :
         {std::string{"HTTP/1.1 200 OK\r\n\r\n"}, std::string("\xFF\xFF\xFF\xFFR", 5), std::string{"\0", 1}, reply("{"),
          reply("[]"), reply(R"({"error":5})"), reply(R"({"exit_status":"x"})"), reply(std::string(100'000, '[')),
          reply(R"({"error":{"code":"unavailable","message":"try another way"}})"),
          encode_frame(FrameType::out, "x")}) {
        SCOPED_TRACE(printable(words.substr(0, 40)));
        ::unlink(address.socket.c_str());
        const Impostor impostor{address.socket, words};
        const ErrorCode code = code_of([this] { run({.command = {"true"}}); });
        EXPECT_TRUE(code == ErrorCode::engine_failed || code == ErrorCode::invalid_argument) << to_string(code);
    }
}

}  // namespace
}  // namespace warmd::agent
