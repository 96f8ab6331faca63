// warm-agent: PID 1 of a warm container, and under other names the clients of it. One static program, so that it
// runs in any image.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <string_view>
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
    "  --version      print the version and end\n"
    "With WARM_START=deferred in the environment the application waits for a `start` request.\n";

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
