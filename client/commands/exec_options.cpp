#include "client/commands/exec_options.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "daemon/base/clock.h"
#include "daemon/base/error.h"

namespace warmd::client {

namespace {

constexpr char kShield = '\x01';

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

}  // namespace

std::vector<std::string> shielded_arguments(int argc, const char* const* argv)
{
    std::vector<std::string> arguments;
    bool of_program = false;
    for (int i = 1; i < argc; ++i) {
        arguments.push_back(of_program ? kShield + std::string{argv[i]} : argv[i]);
        of_program = of_program || arguments.back() == "--";
    }
    std::reverse(arguments.begin(), arguments.end());
    return arguments;
}

ExecOptions::ExecOptions(CLI::App& command)
{
    command.add_option("--timeout", timeout_, "Kill the command after this time: 500ms, 30s, 5m");
    command.add_option("--env", environment_, "NAME=VALUE for the command")->expected(1)->take_all();
    command.add_option("--workdir", workdir_, "Absolute path in the container");
    command.add_option("--user", user_, "User in the container");
    command.add_option("COMMAND", program_, "After --: the program and its arguments");
    code_option_ = command.add_option("--code", code_, "Code for the instance's warm session, instead of a program");
    command.add_flag("-i,--stdin", input_, "Give the program this standard input (up to 512 KiB)");
}

ExecRequest ExecOptions::request() const
{
    if (code_option_->count() > 0) {
        if (!program_.empty()) throw CLI::ValidationError{"COMMAND", "goes without --code"};
        return code_request();
    }
    if (program_.empty()) throw CLI::ValidationError{"COMMAND", "a command after --, or --code, is needed"};
    ExecRequest request = how_to_run();
    request.command = program();
    if (input_) request.input = read_input();
    return request;
}

ExecRequest ExecOptions::code_request() const
{
    if (code_option_->count() == 0) throw CLI::ValidationError{"--code", "is needed"};
    if (input_) throw CLI::ValidationError{"--stdin", "goes with a command: a session has no standard input"};
    ExecRequest request = how_to_run();
    request.code = code_;
    return request;
}

std::vector<std::string> ExecOptions::program() const
{
    std::vector<std::string> words = program_;
    for (std::string& word : words) {
        if (word.starts_with(kShield)) word.erase(0, 1);
    }
    return words;
}

ExecRequest ExecOptions::how_to_run() const
{
    ExecRequest request{.workdir = workdir_, .user = user_};
    if (!timeout_.empty()) request.timeout = parse_duration(timeout_);
    for (const std::string& entry : environment_) {
        const std::size_t equals = entry.find('=');
        if (equals == std::string::npos || equals == 0) {
            throw CLI::ValidationError{"--env", "must be NAME=VALUE: " + entry};
        }
        request.env[entry.substr(0, equals)] = entry.substr(equals + 1);
    }
    return request;
}

}  // namespace warmd::client
