#include <unistd.h>
#include <csignal>
#include <cstdlib>

#include "client/command_tree.h"
#include "client/commands/commands.h"
#include "warmd_version.h"

namespace warmd::client {

namespace {

// What may come next is asked of warmctl itself, so that a script never knows other commands than the program.
constexpr const char* kBash = R"(# shellcheck shell=bash
_warmctl() {
    local IFS=$'\n' line
    COMPREPLY=()
    while read -r line; do
        COMPREPLY+=("${line%%$'\t'*}")
    done < <(warmctl __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2> /dev/null)
}
complete -o default -F _warmctl warmctl
)";

constexpr const char* kZsh = R"(#compdef warmctl
_warmctl() {
    local -a found
    local line word about
    while IFS= read -r line; do
        word=${line%%$'\t'*}
        about=${line#*$'\t'}
        found+=("${word//:/\\:}${about:+:$about}")
    done < <(warmctl __complete "${(@)words[2,CURRENT]}" 2> /dev/null)
    if (( $#found )); then _describe warmctl found; else _default; fi
}
if [ "$funcstack[1]" = _warmctl ]; then _warmctl "$@"; else compdef _warmctl warmctl; fi
)";

constexpr const char* kFish = R"(function __warmctl_complete
    set -l words (commandline -opc) (commandline -ct)
    warmctl __complete $words[2..-1] 2>/dev/null
end
complete -c warmctl -f -a '(__warmctl_complete)'
)";

void give_up(int) { ::_exit(0); }

std::string path_of(const std::string& placeholder)
{
    if (placeholder == "TEMPLATE" || placeholder == "TARGET") return "/v1/templates";
    if (placeholder == "CHECKPOINT") return "/v1/checkpoints";
    if (placeholder == "INSTANCE") return "/v1/instances";
    if (placeholder == "LEASE") return "/v1/leases";
    if (placeholder == "OPERATION") return "/v1/operations";
    return {};
}

std::vector<Candidate> names_of(const ApiClient& api, const std::string& path)
{
    std::vector<Candidate> names;
    const Json page = api.get(path);
    JsonObject object{page};
    const Json* const items = object.child("items");
    if (items == nullptr) return names;
    for (const Json& item : *items) {
        JsonObject entry{item};
        const auto id = entry.optional_text("id");
        const std::string about = entry.optional_text("state").value_or(
            entry.optional_text("description").value_or(""));
        names.push_back({id ? *id : entry.text("name"), about});
    }
    return names;
}

}  // namespace

int print_completions(const CLI::App& root, const Context& context, const std::vector<std::string>& words)
{
    constexpr std::chrono::seconds kLimit{1};
    std::signal(SIGALRM, give_up);
    ::alarm(static_cast<unsigned>(kLimit.count()));
    try {
        const std::vector<std::string> before{words.begin(), words.empty() ? words.end() : words.end() - 1};
        const Position position = follow_words(root, before);
        const auto names = [&](const std::string& placeholder) -> std::vector<Candidate> {
            try {
                const std::string path = path_of(placeholder);
                if (path.empty()) return {};
                const ApiClient api{{.endpoint = parse_endpoint(position.host.value_or(context.host)),
                                     .token = token_from_environment(),
                                     .silence = kLimit,
                                     .notice = {}}};
                std::vector<Candidate> found = names_of(api, path);
                // A restore takes both, and so does a checkpoint.
                const bool both = placeholder == "CHECKPOINT" && position.command->get_name() == "restore";
                if (both || placeholder == "TARGET") {
                    for (Candidate& more : names_of(api, both ? "/v1/templates" : "/v1/instances")) {
                        found.push_back(std::move(more));
                    }
                }
                return found;
            } catch (const std::exception&) {
                return {};  // no daemon, no names
            }
        };
        for (const Candidate& candidate : complete(root, words, names)) {
            const std::string about = candidate.description.substr(0, candidate.description.find('\n'));
            context.output.print_line(candidate.word + "\t" + about);
        }
    } catch (const std::exception&) {
        return 0;
    }
    return 0;
}

void add_completion_command(CLI::App& app)
{
    CLI::App* const command = app.add_subcommand("completion", "Print the completion script for a shell");
    command->footer(
        "Packages install them. Names of templates, checkpoints, instances and leases are asked of the daemon.\n"
        "Examples: source <(warmctl completion bash)\n"
        "          warmctl completion zsh > ~/.zfunc/_warmctl\n"
        "          warmctl completion fish > ~/.config/fish/completions/warmctl.fish");
    const auto shell = std::make_shared<std::string>();
    command->add_option("SHELL", *shell, "Which shell")->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));
    command->callback([shell] { std::fputs(*shell == "bash" ? kBash : *shell == "zsh" ? kZsh : kFish, stdout); });

    CLI::App* const man = app.add_subcommand("__man", "Print warmctl(1)")->group("");
    man->callback([&app] { std::fputs(man_page(app, WARMD_VERSION).c_str(), stdout); });
}

}  // namespace warmd::client
