#include "client/commands/commands.h"
#include "client/commands/exec_options.h"
#include "client/exec_session.h"
#include "daemon/base/text.h"

namespace warmd::client {

namespace {

std::string path_of(const std::string& id) { return "/v1/leases/" + percent_encode(id); }

void acquire(const Context& context, const std::string& name, const contract::LeaseRequest& request)
{
    // The request says how long to wait: a daemon that is busy after that is not asked again.
    const Json document = context.api().start("/v1/pools/" + percent_encode(name) + "/leases",
                                              contract::encode(request), ApiClient::WhenBusy::report);
    if (context.output.json) {
        context.output.print_json(document);
        return;
    }
    const Lease lease = contract::decode_lease(document);
    context.output.print_line(lease.id.value() + " " + lease.instance.value());
}

void list_leases(const Context& context, bool all)
{
    std::vector<std::vector<std::string>> rows{
        {"LEASE", "TEMPLATE", "INSTANCE", "STATE", "PATH", "TTL", "AGE", "EXPIRES"}};
    for (const Json& item : context.api().get_all(all ? "/v1/leases?all=true" : "/v1/leases")) {
        if (context.output.json) context.output.print_json(item);
        const Lease lease = contract::decode_lease(item);
        rows.push_back({lease.id.value(), lease.template_name.value(), lease.instance.value(),
                        std::string{to_string(lease.state)}, std::string{to_string(lease.path)},
                        format_duration(lease.ttl), describe_age(lease.created_at), format_time(lease.expires_at)});
    }
    if (!context.output.json) context.output.print_table(rows);
}

void run_in_lease(Context& context, const std::string& id, const ExecOptions& options)
{
    const Json body = contract::encode(options.request());
    context.exit_status = kExitEngineFailed;  // until the daemon says otherwise
    const ApiClient api = context.api();
    // Signals go to the instance.
    const Lease lease = contract::decode_lease(api.get(path_of(id)));
    ExecSession session{api, context.output, lease.instance};
    context.exit_status = session.run(path_of(id) + "/exec", body);
}

/// A subcommand with one lease's id.
std::shared_ptr<std::string> add_id(CLI::App& command)
{
    auto id = std::make_shared<std::string>();
    command.add_option("LEASE", *id, "Its id")->required();
    return id;
}

void add_acquire(CLI::App& command, Context& context)
{
    CLI::App* const acquires = command.add_subcommand("acquire", "Take an instance out of a pool");
    acquires->footer("Prints the lease's and the instance's id.\n"
                     "Example: read -r lease instance < <(warmctl lease acquire octave --ttl 5m)");
    const auto name = std::make_shared<std::string>();
    const auto wait = std::make_shared<std::string>();
    const auto ttl = std::make_shared<std::string>();
    const auto cold = std::make_shared<bool>(false);
    acquires->add_option("TEMPLATE", *name, "The template's name")->required();
    acquires->add_option("--wait", *wait, "How long to wait for an instance (default 30s)");
    acquires->add_option("--ttl", *ttl, "The lease ends this long after its last heartbeat (default 1m)");
    acquires->add_flag("--cold", *cold, "Start the application where nothing can be restored");
    acquires->callback([&context, name, wait, ttl, cold] {
        contract::LeaseRequest request{.cold = *cold};
        if (!wait->empty()) request.wait = parse_duration(*wait);
        if (!ttl->empty()) request.ttl = parse_duration(*ttl);
        acquire(context, *name, request);
    });
}

void add_exec(CLI::App& command, Context& context)
{
    CLI::App* const exec = command.add_subcommand("exec", "Run a command in a leased instance");
    exec->footer(std::string{kExecFooter} + "Example: warmctl lease exec lease-... --code 'x = 1'");
    const auto id = add_id(*exec);
    const auto options = std::make_shared<ExecOptions>(*exec);
    exec->callback([&context, id, options] { run_in_lease(context, *id, *options); });
}

}  // namespace

void add_lease_command(CLI::App& app, Context& context)
{
    CLI::App* const command = app.add_subcommand("lease", "Instances of pools for one client alone");
    command->require_subcommand(1);
    command->footer("A lease ends with its release, or by itself when its time has passed without a heartbeat; its\n"
                    "instance is destroyed then.\n"
                    "Examples: warmctl lease acquire octave\n"
                    "          warmctl lease exec lease-... --code 'x = 1'\n"
                    "          warmctl lease release lease-...");
    add_acquire(*command, context);
    add_exec(*command, context);

    CLI::App* const heartbeat = command->add_subcommand("heartbeat", "Let a lease's time begin anew");
    heartbeat->footer("Prints when it expires now.\nExample: warmctl lease heartbeat lease-...");
    const auto kept = add_id(*heartbeat);
    heartbeat->callback([&context, kept] {
        const Json document = context.api().post(path_of(*kept) + "/heartbeat");
        if (context.output.json) context.output.print_json(document);
        else context.output.print_line(format_time(contract::decode_lease(document).expires_at));
    });

    CLI::App* const release = command->add_subcommand("release", "End a lease; its instance is destroyed");
    release->footer("Example: warmctl lease release lease-...");
    const auto released = add_id(*release);
    release->callback([&context, released] {
        const Json document = context.api().del(path_of(*released));
        if (context.output.json) context.output.print_json(document);
    });

    CLI::App* const list = command->add_subcommand("list", "List the active leases, newest first");
    list->footer("Example: warmctl lease list --all");
    const auto all = std::make_shared<bool>(false);
    list->add_flag("--all", *all, "Ended ones as well");
    list->callback([&context, all] { list_leases(context, *all); });

    CLI::App* const show = command->add_subcommand("show", "Show one lease as JSON");
    show->footer("Example: warmctl lease show lease-...");
    const auto shown = add_id(*show);
    show->callback([&context, shown] { context.output.print_line(context.api().get(path_of(*shown)).dump(2)); });
}

}  // namespace warmd::client
