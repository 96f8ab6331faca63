#include "client/commands/commands.h"
#include "client/progress.h"
#include "daemon/base/text.h"

namespace warmd::client {

namespace {

void print_operation(const Context& context, const Operation& operation)
{
    if (context.output.json) {
        context.output.print_json(contract::encode(operation));
        return;
    }
    context.output.print_table({{"operation", operation.id.value()},
                                {"kind", std::string{to_string(operation.kind)}},
                                {"state", std::string{to_string(operation.state)}},
                                {"phase", operation.phase},
                                {"template", operation.template_name.value()},
                                {"instance", operation.instance.value()},
                                {"checkpoint", operation.checkpoint.value()},
                                {"created", format_time(operation.created_at)},
                                {"error", operation.error ? operation.error->what() : ""}});
    if (operation.phases.empty()) return;
    context.output.print_line("");
    context.output.print_table(phase_rows(operation.phases));
}

void show_operation(const Context& context, const std::string& id)
{
    print_operation(context, contract::decode_operation(context.api().get("/v1/operations/" + percent_encode(id))));
}

void list_operations(const Context& context)
{
    std::vector<std::vector<std::string>> rows{{"OPERATION", "KIND", "STATE", "TEMPLATE", "AGE", "ERROR"}};
    for (const Json& item : context.api().get_all("/v1/operations")) {
        if (context.output.json) context.output.print_json(item);
        const Operation entry = contract::decode_operation(item);
        rows.push_back({entry.id.value(), std::string{to_string(entry.kind)}, std::string{to_string(entry.state)},
                        entry.template_name.value(), describe_age(entry.created_at),
                        entry.error ? entry.error->what() : ""});
    }
    if (!context.output.json) context.output.print_table(rows);
}

}  // namespace

void add_operation_command(CLI::App& app, Context& context)
{
    CLI::App* const command = app.add_subcommand("operation", "Long actions: list, show, wait for and cancel them");
    command->footer("Examples: warmctl operation list\n          warmctl operation op-...\n"
                    "          warmctl operation wait op-...");
    const auto shown = std::make_shared<std::string>();
    command->add_option("OPERATION", *shown, "Show this one");

    CLI::App* const list = command->add_subcommand("list", "List the operations, newest first");
    list->footer("Example: warmctl operation list");
    list->callback([&context] { list_operations(context); });

    CLI::App* const wait = command->add_subcommand("wait", "Follow an operation to its end");
    wait->footer("Example: warmctl operation wait op-...");
    const auto waited = std::make_shared<std::string>();
    wait->add_option("OPERATION", *waited, "Its id")->required();
    wait->callback([&context, waited] {
        const ApiClient api = context.api();
        const Operation now = contract::decode_operation(api.get("/v1/operations/" + percent_encode(*waited)));
        print_operation(context, follow(api, context.output, now));
    });

    CLI::App* const cancel = command->add_subcommand("cancel", "Ask an operation to stop");
    cancel->footer("Example: warmctl operation cancel op-...");
    const auto cancelled = std::make_shared<std::string>();
    cancel->add_option("OPERATION", *cancelled, "Its id")->required();
    cancel->callback([&context, cancelled] {
        print_operation(context, contract::decode_operation(
                                     context.api().del("/v1/operations/" + percent_encode(*cancelled) + "?wait=10s")));
    });

    CLI::App* const show = command->add_subcommand("show", "Show one operation: the same as `operation OPERATION`");
    show->footer("Example: warmctl operation show op-...");
    const auto named = std::make_shared<std::string>();
    show->add_option("OPERATION", *named, "Its id")->required();
    show->callback([&context, named] { show_operation(context, *named); });

    command->callback([&context, command, shown] {
        if (!command->get_subcommands().empty()) return;
        if (shown->empty()) throw CLI::RequiredError{"OPERATION or a subcommand"};
        show_operation(context, *shown);
    });
}

}  // namespace warmd::client
