#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>

#include "client/commands/commands.h"
#include "client/commands/exec_options.h"
#include "client/exec_session.h"
#include "client/run_log.h"
#include "daemon/base/scope_exit.h"
#include "daemon/base/text.h"

namespace warmd::client {

namespace {

struct RunOptions {
    std::string template_name;
    std::string wait;
    bool or_here = false;
    ExecOptions exec;

    explicit RunOptions(CLI::App& command) : exec{command} {}
};

/// Becomes `program`. Throws Error when that fails.
[[noreturn]] void become(const std::vector<std::string>& program)
{
    std::vector<char*> arguments;
    arguments.reserve(program.size() + 1);
    for (const std::string& argument : program) arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    std::signal(SIGPIPE, SIG_DFL);  // main ignores it, and that would be inherited
    ::execvp(arguments.front(), arguments.data());
    throw system_error("cannot run " + program.front(), errno, ErrorCode::not_found);
}

/// Notes when the command was started and in what; without a start, how long there has been none.
void note_start(const std::optional<ExecSession::Started>& started, SteadyTime asked_at, RunRecord& record)
{
    const SteadyTime until = started ? started->at : SystemClock{}.steady_now();
    record.wait = std::chrono::duration_cast<Duration>(until - asked_at);
    if (started && started->path) record.path = to_string(*started->path);
}

/// Throws Error when the command could not be run to its end. `refused`: and that nothing of it was run is certain.
/// `record`: what became known of it, in both cases.
int run(const Context& context, const RunOptions& options, const ExecRequest& request, bool& refused, RunRecord& record)
{
    const SteadyTime asked_at = SystemClock{}.steady_now();
    contract::RunRequest document{.command = request};
    if (!options.wait.empty()) document.wait = parse_duration(options.wait);
    const ApiClient api = context.api();
    ExecSession session{api, context.output};
    const ScopeExit note{[&session, asked_at, &record] { note_start(session.started(), asked_at, record); }};
    try {
        return session.run("/v1/templates/" + percent_encode(options.template_name) + "/run",
                           contract::encode(document));
    } catch (const ConnectionLost&) {
        throw;
    } catch (const Error&) {
        refused = !session.started();
        throw;
    }
}

void run_or_become(Context& context, const RunOptions& options)
{
    const std::vector<std::string> program = options.exec.program();
    if (options.or_here && program.empty()) throw CLI::ValidationError{"--or-here", "needs a program after --"};
    const ExecRequest request = options.or_here ? options.exec.code_request() : options.exec.request();
    context.exit_status = kExitEngineFailed;  // until the daemon says otherwise
    bool refused = false;
    RunRecord record{.template_name = options.template_name, .path = {}, .wait = {}, .exit_status = {}};
    try {
        context.exit_status = run(context, options, request, refused, record);
        record.exit_status = context.exit_status;
        log_run(record);
    } catch (const Error& error) {
        if (!options.or_here || !refused) {
            record.exit_status = context.exit_status;
            log_run(record);
            throw;
        }
        record.path = "here";
        log_run(record);
        std::fprintf(stderr, "warmctl: %s; running %s here instead\n", printable(error.what()).c_str(),
                     printable(program.front()).c_str());
        context.exit_status = kExitNotFound;  // unless it can be run
        become(program);
    }
}

}  // namespace

void add_run_command(CLI::App& app, Context& context)
{
    CLI::App* const command = app.add_subcommand("run", "Run one command in a fresh instance of a template");
    command->footer("The instance is taken from the template's pool; where none is idle one is restored, and\n"
                    "without a checkpoint started: one line on standard error says so. It is destroyed afterwards.\n" +
                    std::string{kExecFooter} +
                    "Examples: warmctl run octave --code 'disp(sqrt(36))'\n"
                    "          warmctl run octave -- matlab-bs -batch 'disp(sqrt(36))'\n"
                    "          echo 'x = 6' | warmctl run octave -i -- cat\n"
                    "          warmctl run octave --code 'disp(6)' --or-here -- octave --eval 'disp(6)'");
    const auto name = std::make_shared<std::string>();
    command->add_option("TEMPLATE", *name, "The template's name")->required();
    const auto options = std::make_shared<RunOptions>(*command);
    command->add_option("--wait", options->wait, "How long to wait until an instance stands ready (default 5m)");
    command->add_flag("--or-here", options->or_here,
                      "With --code: when warmd cannot run it, and nothing of it was run, run COMMAND on this machine");
    command->callback([&context, name, options] {
        options->template_name = *name;
        run_or_become(context, *options);
    });
}

}  // namespace warmd::client
