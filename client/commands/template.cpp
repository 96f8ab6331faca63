#include "client/commands/commands.h"
#include "daemon/base/text.h"

namespace warmd::client {

void add_template_command(CLI::App& app, Context& context)
{
    CLI::App* const command = app.add_subcommand("template", "What can be warmed");
    command->require_subcommand(1);
    command->footer("Examples: warmctl template list\n          warmctl template run octave --code 'disp(6)'");

    CLI::App* const list = command->add_subcommand("list", "List the templates");
    list->footer("Examples: warmctl template list\n          warmctl template list --json");
    list->callback([&context] {
        std::vector<std::vector<std::string>> rows{{"TEMPLATE", "IMAGE", "NETWORK", "DESCRIPTION"}};
        for (const Json& item : context.api().get_all("/v1/templates")) {
            if (context.output.json) context.output.print_json(item);
            JsonObject entry{item};
            rows.push_back({entry.text("name"), entry.text("image"), entry.text("network"), entry.text("description")});
        }
        if (!context.output.json) context.output.print_table(rows);
    });

    CLI::App* const show = command->add_subcommand("show", "Show one template as JSON");
    const auto name = std::make_shared<std::string>();
    show->add_option("TEMPLATE", *name, "Its name")->required();
    show->footer("Example: warmctl template show octave");
    show->callback([&context, name] {
        context.output.print_line(context.api().get("/v1/templates/" + percent_encode(*name)).dump(2));
    });

    add_warm_command(*command, context);
    add_run_command(*command, context);
    add_bench_command(*command, context);
}

}  // namespace warmd::client
