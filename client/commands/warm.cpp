#include "client/commands/commands.h"
#include "daemon/base/text.h"

namespace warmd::client {

void add_warm_command(CLI::App& app, Context& context)
{
    CLI::App* const command = app.add_subcommand("warm", "Start a template's application and wait until it is warm");
    command->footer("Prints the instance's id.\nExample: warmctl warm octave");
    const auto name = std::make_shared<std::string>();
    command->add_option("TEMPLATE", *name, "The template's name")->required();
    const auto no_wait = add_no_wait(*command);
    command->callback([&context, name, no_wait] {
        start_operation(context, "POST", "/v1/templates/" + percent_encode(*name) + "/warm", !*no_wait,
                        [](const Operation& operation) { return operation.instance.value(); });
    });
}

}  // namespace warmd::client
