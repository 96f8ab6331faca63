#include "client/commands/commands.h"
#include "client/commands/exec_options.h"
#include "client/exec_session.h"
#include "daemon/base/text.h"

namespace warmd::client {

void add_exec_command(CLI::App& app, Context& context)
{
    CLI::App* const command = app.add_subcommand("exec", "Run a command in an instance");
    command->footer(std::string{kExecFooter} + "Examples: warmctl exec inst-... -- matlab-bs -batch 'disp(sqrt(36))'\n"
                                               "          warmctl exec inst-... --code 'disp(sqrt(36))'");
    const auto id = std::make_shared<std::string>();
    command->add_option("INSTANCE", *id, "The instance's id")->required();
    const auto options = std::make_shared<ExecOptions>(*command);
    command->callback([&context, id, options] {
        const Json body = contract::encode(options->request());
        context.exit_status = kExitEngineFailed;  // until the daemon says otherwise
        const ApiClient api = context.api();
        ExecSession session{api, context.output, InstanceId{*id}};
        context.exit_status = session.run("/v1/instances/" + percent_encode(*id) + "/exec", body);
    });
}

}  // namespace warmd::client
