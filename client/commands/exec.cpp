#include <array>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "client/commands/commands.h"
#include "client/interrupts.h"
#include "daemon/base/guarded.h"

namespace warmd::client {

namespace {

void write_all(std::FILE* stream, const std::string& data)
{
    std::fwrite(data.data(), 1, data.size(), stream);
    std::fflush(stream);  // as it appears
}

/// Everything on standard input. Throws Error for more than the daemon takes in one request.
std::string read_input()
{
    constexpr std::size_t kLongest = 512 * 1024;
    std::string input;
    std::array<char, 64 * 1024> buffer{};
    while (const std::size_t count = std::fread(buffer.data(), 1, buffer.size(), stdin)) {
        input.append(buffer.data(), count);
        if (input.size() <= kLongest) continue;
        throw Error{ErrorCode::too_large, "standard input is longer than 512 KiB"}.with_hint(
            "put it into a file that the template mounts");
    }
    return input;
}

/// Passes signals on to the running command. A second one, or one that cannot be passed on, ends this process; the
/// daemon then kills the command.
class SignalRelay {
public:
    SignalRelay(const ApiClient& api, InstanceId id)
        : api_{api}, id_{std::move(id)}, interrupts_{[this](const char* name) { pass_on(name); }}
    {
    }

    void command_started(const ExecId& exec)
    {
        exec_.with([&exec](ExecId& known) { known = exec; });
    }

private:
    void pass_on(const char* name)
    {
        const ExecId exec = exec_.with([](ExecId& known) { return std::exchange(known, {}); });
        try {
            if (exec.empty()) std::_Exit(kExitInterrupted);
            api_.signal(id_, exec, name);
        } catch (const Error&) {
            std::_Exit(kExitInterrupted);
        }
    }

    static constexpr int kExitInterrupted = 130;

    const ApiClient& api_;
    InstanceId id_;
    Guarded<ExecId> exec_;
    Interrupts interrupts_;  // last: its thread uses all of the above
};

void run(Context& context, const InstanceId& id, const ExecRequest& request)
{
    context.exit_status = kExitEngineFailed;  // until the daemon says otherwise
    const ApiClient api = context.api();
    SignalRelay relay{api, id};
    api.exec(id, request, [&context, &relay](const std::string& line, const contract::ExecFrame& frame) {
        if (context.output.json) context.output.print_line(line);
        switch (frame.type) {
        case contract::FrameType::start: relay.command_started(frame.exec); break;
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
        case contract::FrameType::progress:
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
                    "Ctrl-C interrupts the command; a second one gives it up, and it is killed.\n"
                    "Examples: warmctl exec inst-... -- matlab-bs -batch 'disp(sqrt(36))'\n"
                    "          warmctl exec inst-... --code 'disp(sqrt(36))'");
    const auto id = std::make_shared<std::string>();
    const auto request = std::make_shared<ExecRequest>();
    const auto timeout = std::make_shared<std::string>();
    const auto environment = std::make_shared<std::vector<std::string>>();
    command->add_option("INSTANCE", *id, "The instance's id")->required();
    command->add_option("--timeout", *timeout, "Kill the command after this time: 500ms, 30s, 5m");
    command->add_option("--env", *environment, "NAME=VALUE for the command")->expected(1)->take_all();
    command->add_option("--workdir", request->workdir, "Absolute path in the container");
    command->add_option("--user", request->user, "User in the container");
    const auto code = std::make_shared<std::string>();
    const auto input = std::make_shared<bool>(false);
    auto* const program = command->add_option("COMMAND", request->command, "After --: the program and its arguments");
    command->add_option("--code", *code, "Code for the instance's warm session, instead of a program")
        ->excludes(program);
    command->add_flag("-i,--stdin", *input, "Give the program this standard input (up to 512 KiB)");
    command->callback([&context, command, id, request, timeout, environment, code, input] {
        if (command->count("--code") > 0) request->code = *code;
        else if (request->command.empty())
            throw CLI::ValidationError{"COMMAND", "a command after --, or --code, is needed"};
        if (*input) request->input = read_input();
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
