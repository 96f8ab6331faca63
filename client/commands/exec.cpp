#include <cstdio>

#include "client/commands/commands.h"

namespace warmd::client {

namespace {

void write_all(std::FILE* stream, const std::string& data)
{
    std::fwrite(data.data(), 1, data.size(), stream);
    std::fflush(stream);  // as it appears
}

void run(Context& context, const InstanceId& id, const ExecRequest& request)
{
    context.exit_status = kExitEngineFailed;  // until the daemon says otherwise
    context.api().exec(id, request, [&context](const std::string& line, const contract::ExecFrame& frame) {
        if (context.output.json) context.output.print_line(line);
        switch (frame.type) {
        case contract::FrameType::out:
            if (!context.output.json) write_all(stdout, frame.data);
            break;
        case contract::FrameType::err:
            if (!context.output.json) write_all(stderr, frame.data);
            break;
        case contract::FrameType::exit:
            if (frame.result.timed_out && !context.output.quiet) {
                std::fprintf(stderr, "warmctl: the command was killed after %s\n",
                             describe(frame.result.elapsed).c_str());
            }
            context.exit_status = frame.result.exit_status;
            break;
        case contract::FrameType::error: throw Error{frame.error};
        case contract::FrameType::keepalive: break;
        }
    });
}

}  // namespace

void add_exec_command(CLI::App& app, Context& context)
{
    CLI::App* const command = app.add_subcommand("exec", "Run a command in an instance");
    command->footer("The exit status is the command's own; 124 when it took too long, 125 when warmd failed,\n"
                    "126 or 127 when it cannot be run.\n"
                    "Example: warmctl exec inst-... -- matlab-bs -batch 'disp(sqrt(36))'");
    const auto id = std::make_shared<std::string>();
    const auto request = std::make_shared<ExecRequest>();
    const auto timeout = std::make_shared<std::string>();
    const auto environment = std::make_shared<std::vector<std::string>>();
    command->add_option("INSTANCE", *id, "The instance's id")->required();
    command->add_option("--timeout", *timeout, "Kill the command after this time: 500ms, 30s, 5m");
    command->add_option("--env", *environment, "NAME=VALUE for the command")->expected(1)->take_all();
    command->add_option("--workdir", request->workdir, "Absolute path in the container");
    command->add_option("--user", request->user, "User in the container");
    command->add_option("COMMAND", request->command, "After --: the program and its arguments")->required();
    command->callback([&context, id, request, timeout, environment] {
        if (!timeout->empty()) request->timeout = parse_duration(*timeout);
        for (const std::string& entry : *environment) {
            const std::size_t equals = entry.find('=');
            if (equals == std::string::npos || equals == 0) {
                throw CLI::ValidationError{"--env", "must be NAME=VALUE: " + entry};
            }
            request->env[entry.substr(0, equals)] = entry.substr(equals + 1);
        }
        run(context, InstanceId{*id}, *request);
    });
}

}  // namespace warmd::client
