#include "client/commands/commands.h"

namespace warmd::client {

void add_whoami_command(CLI::App& app, Context& context)
{
    CLI::App* const command = app.add_subcommand("whoami", "Show who you are to the daemon, and your role");
    command->footer("Roles: none, read, exec, admin; each may what the one before may.\n"
                    "Example: WARMD_HOST=tcp://127.0.0.1:8642 WARMD_TOKEN_FILE=~/.warmd-token warmctl whoami");
    command->callback([&context] {
        const Json document = context.api().get("/v1/whoami");
        if (context.output.json) return context.output.print_json(document);
        JsonObject object{document};
        const std::string name = object.optional_text("name").value_or("");
        context.output.print_table({{"role", object.text("role")},
                                    {"name", name.empty() ? "-" : name},
                                    {"via", object.optional_text("via").value_or("-")}});
    });
}

}  // namespace warmd::client
