#include "client/commands/commands.h"

namespace warmd::client {

void add_status_command(CLI::App& app, Context& context)
{
    CLI::App* const command = app.add_subcommand("status", "Show what the daemon is doing");
    command->callback([&context] {
        const Json document = context.api().get("/v1/status");
        if (context.output.json) context.output.print_json(document);
        else context.output.print_line(document.dump(2));
    });
}

}  // namespace warmd::client
