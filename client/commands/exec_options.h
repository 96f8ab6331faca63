#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "daemon/model/exec.h"

namespace warmd::client {

// CLI11 takes a word like "[1,2]" for a list and splits it, which no setting of a list of words prevents. The words of
// a program are therefore shielded from it before it parses, and ExecOptions takes the shield off.

/// The command line for CLI::App::parse, which wants it reversed, with every word after the first "--" shielded.
std::vector<std::string> shielded_arguments(int argc, const char* const* argv);

/// The options of every command that runs something in an instance: what to run, and how.
class ExecOptions {
public:
    /// Adds them to `command`, which this must outlive.
    explicit ExecOptions(CLI::App& command);

    /// What the command line asks for; reads standard input when that was asked for. Throws CLI::ValidationError, and
    /// Error{too_large} for more input than the daemon takes.
    [[nodiscard]] ExecRequest request() const;
    /// The same for --code alone: the program is not part of it.
    [[nodiscard]] ExecRequest code_request() const;

    /// Neither a program nor code was given.
    [[nodiscard]] bool empty() const { return program_.empty() && code_option_->count() == 0; }
    /// The words after "--".
    [[nodiscard]] std::vector<std::string> program() const;

private:
    [[nodiscard]] ExecRequest how_to_run() const;

    std::vector<std::string> program_;  // shielded
    std::string code_;
    CLI::Option* code_option_;
    bool input_ = false;
    std::string timeout_;
    std::vector<std::string> environment_;
    std::string workdir_;
    std::string user_;
};

/// The end of each such command's help.
inline constexpr const char* kExecFooter =
    "The exit status is the command's own; 124 when it took too long, 125 when warmd failed,\n"
    "126 or 127 when it cannot be run.\n"
    "Ctrl-C interrupts the command; a second one gives it up, and it is killed.\n";

}  // namespace warmd::client
