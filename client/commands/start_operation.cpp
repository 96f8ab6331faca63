#include <functional>

#include "client/commands/commands.h"
#include "client/progress.h"

namespace warmd::client {

void start_operation(const Context& context, const std::string& method, const std::string& path, bool wait,
                     const std::function<std::string(const Operation&)>& result, const std::optional<Json>& body)
{
    const ApiClient api = context.api();
    const Json started = method == "DELETE" ? api.del(path) : api.start(path, body);
    Operation operation = contract::decode_operation(started);
    if (wait) operation = follow(api, context.output, operation);
    if (context.output.json) {
        context.output.print_json(contract::encode(operation));
    } else if (const std::string line = wait ? result(operation) : operation.id.value(); !line.empty()) {
        context.output.print_line(line);
    }
}

std::shared_ptr<bool> add_no_wait(CLI::App& command)
{
    auto flag = std::make_shared<bool>(false);
    command.add_flag("--no-wait", *flag, "Print the operation's id and return at once");
    return flag;
}

}  // namespace warmd::client
