// warmctl: the command-line client. Its exit statuses are in client/exit_statuses.h.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string_view>

#include "client/command_tree.h"
#include "client/commands/commands.h"
#include "client/commands/exec_options.h"
#include "client/exit_statuses.h"
#include "warmd_version.h"

namespace {

using namespace warmd::client;

/// What is wrong with the command line, what was probably meant, and where to read on.
int explain(const CLI::App& app, const CLI::ParseError& error, const std::vector<std::string>& words)
{
    const auto meant = suggestion(app, words);
    const Position position = follow_words(app, words);
    if (meant) std::fprintf(stderr, "warmctl: %s: did you mean %s?\n", position.unknown->c_str(), meant->c_str());
    else std::fprintf(stderr, "warmctl: %s\n", error.what());
    std::fprintf(stderr, "  next:  %s --help\n", full_name(*position.command).c_str());
    return kExitUsage;
}

}  // namespace

int main(int argc, char** argv)
{
    std::signal(SIGPIPE, SIG_IGN);

    Context context{.host = "unix:///run/warmd/warmd.sock", .output = {}, .exit_status = 0};
    if (const char* const host = std::getenv("WARMD_HOST"); host != nullptr && *host != '\0') context.host = host;

    CLI::App app{"Talks to warmd, which keeps slow-starting applications warm.", "warmctl"};
    app.set_version_flag("--version", "warmctl " WARMD_VERSION);
    add_commands(app, context);
    const std::vector<std::string> words{argv + 1, argv + argc};
    // Not a command of the tree: its words are unfinished, and no parser can make sense of them.
    if (!words.empty() && words.front() == "__complete") {
        return print_completions(app, context, {words.begin() + 1, words.end()});
    }

    try {
        app.parse(shielded_arguments(argc, argv));
        return context.exit_status;
    } catch (const CLI::ParseError& error) {
        if (error.get_exit_code() == 0) return app.exit(error);  // help, version
        return explain(app, error, words);
    } catch (const std::exception& error) {
        print_error(error, context.output);
        return context.exit_status != 0 ? context.exit_status : kExitFailed;
    }
}
