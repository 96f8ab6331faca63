#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// What help, suggestions, completion and the man page need of the tree of commands: all read the same CLI11 tree that
// parses the command line.

namespace warmd::client {

/// Left out of help, completion and the man page: a command for our own build.
[[nodiscard]] bool is_hidden(const CLI::App& command);
/// In the order in which they were added.
[[nodiscard]] std::vector<const CLI::App*> visible_commands(const CLI::App& command);
/// The command's whole name: "warmctl pool list".
[[nodiscard]] std::string full_name(const CLI::App& command);
/// The words that `option` allows; empty when it allows others.
[[nodiscard]] std::vector<std::string> choices(const CLI::Option& option);
[[nodiscard]] bool takes_value(const CLI::Option& option);

/// The one of `known` that `word` was most likely meant to be; nothing when none is near.
[[nodiscard]] std::optional<std::string> closest(std::string_view word, const std::vector<std::string>& known);

/// A command line up to some word.
struct Position {
    const CLI::App* command;               // the innermost that was named
    const CLI::Option* expects = nullptr;  // the option whose value comes next
    std::vector<std::string> arguments;    // the command's own words, without options
    bool program = false;                  // after "--"
    std::optional<std::string> unknown;    // the first word that no command and no option has
    std::optional<std::string> host;       // of --host
};
[[nodiscard]] Position follow_words(const CLI::App& root, const std::vector<std::string>& words);

/// "did you mean ...": for the first word of `words` that is nothing in the tree.
[[nodiscard]] std::optional<std::string> suggestion(const CLI::App& root, const std::vector<std::string>& words);

/// One word that may come next, and what it is.
struct Candidate {
    std::string word;
    std::string description;
};
/// What may stand in the last place of `words`, which is its beginning. `names` is asked for what only the daemon
/// knows, by the placeholder in the help: "TEMPLATE". Placeholders for files and unknown ones give nothing.
[[nodiscard]] std::vector<Candidate> complete(const CLI::App& root, const std::vector<std::string>& words,
                                              const std::function<std::vector<Candidate>(const std::string&)>& names);

/// warmctl(1) in roff.
[[nodiscard]] std::string man_page(const CLI::App& root, const std::string& version);

}  // namespace warmd::client
