// warm-agent: PID 1 of a warm container, and under other names the clients of it. One static program, so that it
// runs in any image.
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "dockerfiles/agent/agent.h"
#include "dockerfiles/agent/clients.h"
#include "warmd_version.h"

namespace {

using namespace warmd::agent;

constexpr int kUsage = 2;

constexpr const char* kHelp =
    "usage: warm-agent [--socket PATH] [--session] -- APPLICATION [ARGUMENT...]\n"
    "Starts the application and serves requests about it on a Unix socket.\n"
    "  --socket PATH  where to listen (default: /run/warm/agent.sock)\n"
    "  --session      the application reads requests from the FIFO named by WARM_SESSION\n"
    "  --hold         start nothing: write the file `held` and wait for SIGTERM\n"
    "  --version      print the version and end\n"
    "With WARM_START=deferred in the environment the application waits for a `start` request.\n";

/// What warmd tries checkpoints and restores with: little, but with a socket of the kind that kernels and versions of
/// CRIU disagree about (https://github.com/checkpoint-restore/criu/issues/2705), and with a file that the dump must
/// keep.
int hold()
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, nullptr);
    const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int held = ::open("held", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (listener < 0 || ::listen(listener, 1) != 0 || held < 0) throw std::system_error{errno, std::generic_category()};
    ::close(held);
    int signal = 0;
    while (signal != SIGTERM) sigwait(&signals, &signal);
    return 0;
}

int run_agent(const std::vector<std::string>& arguments)
{
    AgentOptions options;
    std::size_t at = 0;
    for (; at < arguments.size() && arguments[at].starts_with("-"); ++at) {
        if (arguments[at] == "--") {
            ++at;
            break;
        }
        if (arguments[at] == "--session") {
            options.session = true;
        } else if (arguments[at] == "--socket" && at + 1 < arguments.size()) {
            options.socket = arguments[++at];
        } else if (arguments[at] == "--hold") {
            return hold();
        } else if (arguments[at] == "--version") {
            std::puts("warm-agent " WARMD_VERSION);
            return 0;
        } else {
            std::fprintf(stderr, "warm-agent: unknown option %s\n%s", arguments[at].c_str(), kHelp);
            return kUsage;
        }
    }
    options.command.assign(arguments.begin() + static_cast<std::ptrdiff_t>(at), arguments.end());
    if (options.command.empty()) {
        std::fprintf(stderr, "warm-agent: no application to start\n%s", kHelp);
        return kUsage;
    }
    const char* const start = std::getenv("WARM_START");
    options.deferred = start != nullptr && std::string_view{start} == "deferred";
    return Agent{std::move(options)}.run();
}

}  // namespace

int main(int argc, char** argv)
{
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    const std::string_view path{argv[0]};
    const std::string_view name = path.substr(path.rfind('/') + 1);
    try {
        if (name == "matlab-bs") return matlab_bs(arguments);
        if (name == "matlab-bs-wait") return matlab_bs_wait(arguments);
        if (name == "warm-exec") return warm_exec(arguments);
        return run_agent(arguments);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
        return 125;
    }
}
