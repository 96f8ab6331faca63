#include "client/commands/commands.h"

namespace warmd::client {

ApiClient Context::api() const
{
    ApiOptions options{.endpoint = parse_endpoint(host)};
    if (options.endpoint.tcp()) options.token = token_from_environment();
    options.notice = [talk = output](const std::string& words) { talk.say(words); };
    return ApiClient{std::move(options)};
}

void add_commands(CLI::App& app, Context& context)
{
    app.require_subcommand(1);
    app.fallthrough();
    app.add_option("--host", context.host, "Where the daemon listens; also WARMD_HOST")->capture_default_str();
    app.add_flag("--json", context.output.json, "One JSON document a line on standard output");
    app.add_flag("--quiet,-q", context.output.quiet, "No progress on standard error");
    app.add_option_function<std::string>(
           "--color",
           [&context](const std::string& word) {
               context.output.colour = word == "always"  ? ColourMode::always
                                       : word == "never" ? ColourMode::never
                                                         : ColourMode::automatic;
           },
           "When to use colours (default auto: on terminals)")
        ->check(CLI::IsMember({"auto", "always", "never"}));
    app.footer("Start here: warmctl template list; warmctl checkpoint TEMPLATE; warmctl run TEMPLATE -- COMMAND\n"
               "By hand:    warmctl restore TEMPLATE; warmctl exec INSTANCE -- COMMAND\n"
               "Look:       warmctl status; warmctl watch; warmctl why TEMPLATE\n"
               "Examples of each command: warmctl COMMAND --help. Manual: man warmctl");
    add_template_command(app, context);
    add_checkpoint_command(app, context);
    add_instance_command(app, context);
    add_pool_command(app, context);
    add_lease_command(app, context);
    add_operation_command(app, context);
    add_store_command(app, context);
    add_shim_command(app, context);
    // Short forms of what the nouns have, and what has no noun.
    add_warm_command(app, context);
    add_restore_command(app, context);
    add_exec_command(app, context);
    add_run_command(app, context);
    add_bench_command(app, context);
    add_why_command(app, context);
    add_doctor_command(app, context);
    add_fleet_command(app, context);
    add_df_command(app, context);
    add_prune_command(app, context);
    add_status_command(app, context);
    add_watch_command(app, context);
    add_events_command(app, context);
    add_whoami_command(app, context);
    add_completion_command(app);
}

}  // namespace warmd::client
