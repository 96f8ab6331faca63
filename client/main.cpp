// warmctl: the command-line client. Exit statuses: 0 done, 1 the daemon refused or failed, 2 the command line
// is wrong; `exec`, `run` and `lease exec` pass the command's own through and use 125 for failures of warmd.
#include <csignal>
#include <cstdlib>
#include <exception>

#include "client/commands/commands.h"
#include "client/commands/exec_options.h"
#include "warmd_version.h"

int main(int argc, char** argv)
{
    using namespace warmd::client;
    constexpr int kUsage = 2;
    constexpr int kFailed = 1;
    std::signal(SIGPIPE, SIG_IGN);

    Context context{.host = "unix:///run/warmd/warmd.sock", .output = {}, .exit_status = 0};
    if (const char* const host = std::getenv("WARMD_HOST"); host != nullptr && *host != '\0') context.host = host;

    CLI::App app{"Talks to warmd, which keeps slow-starting applications warm.", "warmctl"};
    app.set_version_flag("--version", "warmctl " WARMD_VERSION);
    app.require_subcommand(1);
    app.fallthrough();
    app.add_option("--host", context.host, "The daemon's socket; also WARMD_HOST")->capture_default_str();
    app.add_flag("--json", context.output.json, "One JSON document a line on standard output");
    app.add_flag("--quiet,-q", context.output.quiet, "No progress on standard error");
    app.footer("Start here: warmctl template list; warmctl checkpoint TEMPLATE; warmctl run TEMPLATE -- COMMAND\n"
               "By hand:    warmctl restore TEMPLATE; warmctl exec INSTANCE -- COMMAND");
    add_template_command(app, context);
    add_warm_command(app, context);
    add_checkpoint_command(app, context);
    add_restore_command(app, context);
    add_exec_command(app, context);
    add_run_command(app, context);
    add_instance_command(app, context);
    add_pool_command(app, context);
    add_lease_command(app, context);
    add_operation_command(app, context);
    add_shim_command(app, context);
    add_bench_command(app, context);
    add_status_command(app, context);

    try {
        app.parse(shielded_arguments(argc, argv));
        return context.exit_status;
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : kUsage;
    } catch (const std::exception& error) {
        print_error(error);
        return context.exit_status != 0 ? context.exit_status : kFailed;
    }
}
