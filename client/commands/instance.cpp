#include "client/commands/commands.h"
#include "daemon/base/text.h"

namespace warmd::client {

namespace {

void list_instances(const Context& context, bool all)
{
    std::vector<std::vector<std::string>> rows{{"INSTANCE", "TEMPLATE", "STATE", "ORIGIN", "PATH", "AGE", "REASON"}};
    for (const Json& item : context.api().get_all(all ? "/v1/instances?all=true" : "/v1/instances")) {
        if (context.output.json) context.output.print_json(item);
        const Instance entry = contract::decode_instance(item);
        rows.push_back({entry.id.value(), entry.template_name.value(), std::string{to_string(entry.state)},
                        entry.checkpoint.empty() ? std::string{to_string(entry.origin)} : entry.checkpoint.value(),
                        std::string{to_string(entry.path)}, describe_age(entry.created_at), entry.reason});
    }
    if (!context.output.json) context.output.print_table(rows);
}

}  // namespace

void add_instance_command(CLI::App& app, Context& context)
{
    CLI::App* const command = app.add_subcommand("instance", "The containers that warm and restore made");
    command->require_subcommand(1);
    command->footer("Examples: warmctl instance list\n          warmctl instance exec inst-... -- ls");

    CLI::App* const list = command->add_subcommand("list", "List the live instances, newest first");
    list->footer("Example: warmctl instance list --all");
    const auto all = std::make_shared<bool>(false);
    list->add_flag("--all", *all, "Terminated ones as well");
    list->callback([&context, all] { list_instances(context, *all); });

    CLI::App* const show = command->add_subcommand("show", "Show one instance as JSON");
    show->footer("Example: warmctl instance show inst-...");
    const auto shown = std::make_shared<std::string>();
    show->add_option("INSTANCE", *shown, "Its id")->required();
    show->callback([&context, shown] {
        context.output.print_line(context.api().get("/v1/instances/" + percent_encode(*shown)).dump(2));
    });

    CLI::App* const logs = command->add_subcommand("logs", "Print what the application has written");
    logs->footer("Example: warmctl instance logs inst-... --lines 20");
    const auto logged = std::make_shared<std::string>();
    const auto lines = std::make_shared<int>(100);
    logs->add_option("INSTANCE", *logged, "Its id")->required();
    logs->add_option("--lines", *lines, "How many of the last lines")->capture_default_str();
    logs->callback([&context, logged, lines] {
        const std::string text = context.api().get_text("/v1/instances/" + percent_encode(*logged) +
                                                        "/logs?lines=" + std::to_string(*lines));
        std::fwrite(text.data(), 1, text.size(), stdout);
    });

    add_exec_command(*command, context);

    CLI::App* const remove = command->add_subcommand("rm", "Terminate instances");
    remove->footer("Example: warmctl instance rm inst-...");
    const auto removed = std::make_shared<std::vector<std::string>>();
    remove->add_option("INSTANCE", *removed, "Their ids")->required();
    remove->callback([&context, removed] {
        for (const std::string& id : *removed) {
            start_operation(context, "DELETE", "/v1/instances/" + percent_encode(id), true,
                            [](const Operation&) { return std::string{}; });
        }
    });
}

}  // namespace warmd::client
