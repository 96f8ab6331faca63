#include "dockerfiles/agent/clients.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <utility>

#include "daemon/base/error.h"
#include "daemon/base/process.h"
#include "daemon/base/unique_fd.h"
#include "dockerfiles/agent/protocol.h"
#include "dockerfiles/agent/spawn.h"

namespace warmd::agent {

namespace {

constexpr int kUsage = 2;
constexpr int kFailed = 125;

std::string socket_path()
{
    const char* const set = std::getenv("WARM_AGENT_SOCKET");
    return set != nullptr ? set : kDefaultSocket;
}

void write_all(int fd, std::string_view bytes)
{
    while (!bytes.empty()) {
        const ssize_t count = ::write(fd, bytes.data(), bytes.size());
        if (count < 0 && errno != EINTR) throw system_error("write the output", errno);
        if (count > 0) bytes.remove_prefix(static_cast<std::size_t>(count));
    }
}

/// One request to the agent, and what comes of it.
class Call {
public:
    explicit Call(const Request& request) : fd_{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)}
    {
        const std::string path = socket_path();
        sockaddr_un address{.sun_family = AF_UNIX};
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
            throw system_error("reach the agent on " + path, errno, ErrorCode::unavailable);
        }
        write_all(fd_.get(), encode_frame(FrameType::request, encode_request(request)));
    }

    /// Prints the output as it comes, passes SIGINT and SIGTERM on, and returns the reply.
    std::string finish()
    {
        sigset_t set;
        sigemptyset(&set);
        for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, number);
        ::sigprocmask(SIG_BLOCK, &set, nullptr);
        const UniqueFd signals{::signalfd(-1, &set, SFD_CLOEXEC)};
        std::array<pollfd, 2> polled{pollfd{.fd = fd_.get(), .events = POLLIN, .revents = 0},
                                     pollfd{.fd = signals.get(), .events = POLLIN, .revents = 0}};
        while (true) {
            if (::poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR) throw system_error("poll", errno);
            if (polled[1].revents != 0) pass_signal(signals.get());
            if (polled[0].revents == 0) continue;
            if (auto reply = read()) return *std::move(reply);
        }
    }

private:
    void pass_signal(int signals) const
    {
        signalfd_siginfo info{};
        if (::read(signals, &info, sizeof info) != static_cast<ssize_t>(sizeof info)) return;
        const char number = static_cast<char>(info.ssi_signo);
        write_all(fd_.get(), encode_frame(FrameType::signal, {&number, 1}));
    }

    std::optional<std::string> read()
    {
        std::array<char, kMaxData> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by read
        const ssize_t count = ::read(fd_.get(), buffer.data(), buffer.size());
        if (count < 0) throw system_error("read from the agent", errno);
        if (count == 0) throw Error{ErrorCode::unavailable, "the agent ended before the command did"};
        reader_.write({buffer.data(), static_cast<std::size_t>(count)});
        while (auto frame = reader_.next()) {
            if (frame->type == FrameType::out) write_all(STDOUT_FILENO, frame->payload);
            if (frame->type == FrameType::err) write_all(STDERR_FILENO, frame->payload);
            if (frame->type == FrameType::reply) return std::move(frame->payload);
        }
        return std::nullopt;
    }

    UniqueFd fd_;
    FrameReader reader_;
};

int evaluate(const std::string& code)
{
    Request request{.op = Op::exec};
    request.exec.code = code;
    request.exec.env = own_environment();
    request.exec.workdir = std::filesystem::current_path().string();
    return decode_exec_outcome(Call{request}.finish()).exit_status;
}

void wait_for(Stage stage) { decode_done(Call{{.op = Op::ready, .until = stage}}.finish()); }

/// No TCP connection in any state but LISTEN, for a little while. The kernel announces no such thing: a look
/// every 20 ms.
void wait_for_quiet()
{
    constexpr std::chrono::milliseconds kQuiet{200};
    constexpr int kPause = 20;
    auto since = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() - since < kQuiet) {
        if (open_tcp_connections_of(::getpid()) > 0) since = std::chrono::steady_clock::now();
        ::poll(nullptr, 0, kPause);
    }
}

template <typename Work>
int report_failures(const char* name, Work&& work)
{
    try {
        return work();
    } catch (const Error& error) {
        std::fprintf(stderr, "%s: %s\n", name, error.what());
        return kFailed;
    }
}

}  // namespace

int matlab_bs(const std::vector<std::string>& arguments)
{
    if (arguments.size() != 2 || arguments[0] != "-batch") {
        std::fputs("usage: matlab-bs -batch CODE\n"
                   "Runs MATLAB or Octave code in this container's warm session. The exit status is 0, 1 after an\n"
                   "error, n after exit(n), 130 after an interrupt, 125 when there is no session.\n",
                   stderr);
        return kUsage;
    }
    return report_failures("matlab-bs", [&] { return evaluate(arguments[1]); });
}

int warm_exec(const std::vector<std::string>& arguments)
{
    if (arguments.size() != 1) {
        std::fputs("usage: warm-exec CODE\n"
                   "Evaluates code in this container's warm session; exit statuses as of matlab-bs.\n",
                   stderr);
        return kUsage;
    }
    return report_failures("warm-exec", [&] { return evaluate(arguments[0]); });
}

int matlab_bs_wait(const std::vector<std::string>& arguments)
{
    const std::string until = arguments.empty() ? "-wait-ready" : arguments[0];
    if (arguments.size() > 1 || (until != "-wait-start" && until != "-wait-init" && until != "-wait-ready")) {
        std::fputs("usage: matlab-bs-wait [-wait-start | -wait-init | -wait-ready]\n"
                   "Returns when the application has started, when its session answers, or (the default) when it\n"
                   "answers and no TCP connection is open in this container. Sets no limit: use timeout(1).\n",
                   stderr);
        return kUsage;
    }
    return report_failures("matlab-bs-wait", [&] {
        wait_for(until == "-wait-start" ? Stage::start : Stage::init);
        if (until == "-wait-ready") wait_for_quiet();
        return 0;
    });
}

}  // namespace warmd::agent
