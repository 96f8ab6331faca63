#include <unistd.h>

#include "client/commands/commands.h"
#include "client/status_view.h"

namespace warmd::client {

namespace {

std::optional<Error> why_not_ready(const ApiClient& api)
{
    try {
        (void)api.get("/readyz");
        return std::nullopt;
    } catch (const ConnectionLost&) {
        throw;
    } catch (const Error& error) {
        return error;
    }
}

}  // namespace

void add_status_command(CLI::App& app, Context& context)
{
    CLI::App* const command = app.add_subcommand("status", "Show what the daemon is doing, and whether it is ready");
    command->footer("Examples: warmctl status\n          warmctl status --json");
    command->callback([&context] {
        const ApiClient api = context.api();
        const Json document = api.get("/v1/status");
        if (context.output.json) return context.output.print_json(document);
        for (const std::string& line :
             status_lines(document, why_not_ready(api), context.output.coloured(STDOUT_FILENO))) {
            context.output.print_line(line);
        }
    });
}

}  // namespace warmd::client
