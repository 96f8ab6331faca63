#include "client/command_tree.h"

#include <algorithm>

namespace warmd::client {

namespace {

std::vector<const CLI::Option*> options_of(const CLI::App& command)
{
    std::vector<const CLI::Option*> options;
    for (const CLI::App* app = &command; app != nullptr; app = app->get_parent()) {
        for (const CLI::Option* const option : app->get_options()) {
            if (option->nonpositional()) options.push_back(option);
        }
    }
    return options;
}

std::vector<const CLI::Option*> positionals_of(const CLI::App& command)
{
    return command.get_options([](const CLI::Option* option) { return option->get_positional(); });
}

std::vector<std::string> spellings(const CLI::Option& option)
{
    std::vector<std::string> words;
    for (const std::string& name : option.get_lnames()) words.push_back("--" + name);
    for (const std::string& name : option.get_snames()) words.push_back("-" + name);
    return words;
}

const CLI::Option* find_option(const CLI::App& command, const std::string& word)
{
    for (const CLI::Option* const option : options_of(command)) {
        const auto words = spellings(*option);
        if (std::find(words.begin(), words.end(), word) != words.end()) return option;
    }
    return nullptr;
}

const CLI::App* find_command(const CLI::App& command, const std::string& word)
{
    for (const CLI::App* const child : command.get_subcommands({})) {
        if (child->get_name() == word) return child;
    }
    return nullptr;
}

/// How many letters to add, leave out, change or swap with their neighbour.
std::size_t distance(std::string_view a, std::string_view b)
{
    std::vector<std::vector<std::size_t>> cost(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
    for (std::size_t i = 0; i <= a.size(); ++i) {
        for (std::size_t j = 0; j <= b.size(); ++j) {
            if (i == 0 || j == 0) {
                cost[i][j] = i + j;
                continue;
            }
            const std::size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
            cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, cost[i - 1][j - 1] + change});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
            }
        }
    }
    return cost[a.size()][b.size()];
}

std::string placeholder(const CLI::Option& option)
{
    if (option.get_positional()) return option.get_name(true);
    // --checkpoint FILE wants no id of a checkpoint.
    if (option.get_type_name() == "FILE") return "FILE";
    std::string name = option.get_lnames().empty() ? "" : option.get_lnames().front();
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
    return name;
}

void add_values(std::vector<Candidate>& found, const CLI::Option& option,
                const std::function<std::vector<Candidate>(const std::string&)>& names)
{
    for (const std::string& word : choices(option)) found.push_back({word, ""});
    if (!found.empty()) return;
    for (Candidate& candidate : names(placeholder(option))) found.push_back(std::move(candidate));
}

}  // namespace

bool is_hidden(const CLI::App& command) { return command.get_group().empty(); }

std::vector<const CLI::App*> visible_commands(const CLI::App& command)
{
    return command.get_subcommands([](const CLI::App* child) { return !is_hidden(*child); });
}

std::string full_name(const CLI::App& command)
{
    return command.get_parent() == nullptr ? command.get_name()
                                           : full_name(*command.get_parent()) + " " + command.get_name();
}

std::vector<std::string> choices(const CLI::Option& option)
{
    // CLI11 keeps an IsMember's words nowhere but in its description: "TEXT:{linked,archive}".
    const std::string type = option.get_type_name();
    const std::size_t begin = type.find('{');
    const std::size_t end = type.find('}');
    if (begin == std::string::npos || end == std::string::npos || end < begin) return {};
    std::vector<std::string> words;
    std::string word;
    for (const char c : type.substr(begin + 1, end - begin - 1) + ",") {
        if (c != ',') word += c;
        else if (!word.empty()) words.push_back(std::exchange(word, {}));
    }
    return words;
}

bool takes_value(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

std::optional<std::string> closest(std::string_view word, const std::vector<std::string>& known)
{
    constexpr std::size_t kLongest = 40;  // the work grows with the square
    if (word.empty() || word.size() > kLongest) return std::nullopt;
    std::optional<std::string> best;
    std::size_t best_distance = word.size() <= 3 ? 2 : 3;  // nothing that is as far away as this
    for (const std::string& candidate : known) {
        const bool begins = word.size() >= 3 && std::string_view{candidate}.starts_with(word);
        const std::size_t away = begins ? 1 : distance(word, candidate);
        if (away >= best_distance || away >= candidate.size()) continue;
        best_distance = away;
        best = candidate;
    }
    return best;
}

Position follow_words(const CLI::App& root, const std::vector<std::string>& words)
{
    Position position{.command = &root};
    for (const std::string& word : words) {
        if (position.program) {
            position.arguments.push_back(word);
        } else if (position.expects != nullptr) {
            if (position.expects->check_lname("host")) position.host = word;
            position.expects = nullptr;
        } else if (word == "--") {
            position.program = true;
            position.arguments.clear();
        } else if (word.size() > 1 && word.front() == '-') {
            const std::size_t equals = word.find('=');
            const CLI::Option* const option = find_option(*position.command, word.substr(0, equals));
            if (option == nullptr && !position.unknown) position.unknown = word.substr(0, equals);
            if (option == nullptr) continue;
            if (equals == std::string::npos && takes_value(*option)) position.expects = option;
            else if (option->check_lname("host") && equals != std::string::npos)
                position.host = word.substr(equals + 1);
        } else if (const CLI::App* const child = position.arguments.empty() ? find_command(*position.command, word)
                                                                            : nullptr) {
            position.command = child;
        } else {
            const bool allowed = !positionals_of(*position.command).empty();
            if (!allowed && !position.unknown) position.unknown = word;
            position.arguments.push_back(word);
        }
    }
    return position;
}

std::optional<std::string> suggestion(const CLI::App& root, const std::vector<std::string>& words)
{
    std::vector<std::string> so_far;
    for (const std::string& word : words) {
        const Position before = follow_words(root, so_far);
        so_far.push_back(word);
        if (before.program) return std::nullopt;
        const Position after = follow_words(root, so_far);
        if (!after.unknown) continue;
        std::vector<std::string> known;
        if (after.unknown->starts_with('-')) {
            for (const CLI::Option* const option : options_of(*before.command)) {
                for (std::string& spelling : spellings(*option)) known.push_back(std::move(spelling));
            }
        } else {
            for (const CLI::App* const child : visible_commands(*before.command)) known.push_back(child->get_name());
        }
        const auto meant = closest(*after.unknown, known);
        if (!meant || meant->starts_with('-')) return meant;
        return full_name(*before.command) + " " + *meant;
    }
    return std::nullopt;
}

std::vector<Candidate> complete(const CLI::App& root, const std::vector<std::string>& words,
                                const std::function<std::vector<Candidate>(const std::string&)>& names)
{
    const std::string begin = words.empty() ? "" : words.back();
    const Position position = follow_words(root, {words.begin(), words.empty() ? words.end() : words.end() - 1});
    std::vector<Candidate> found;
    if (position.program) return {};
    if (position.expects != nullptr) {
        add_values(found, *position.expects, names);
    } else if (begin.starts_with('-')) {
        for (const CLI::Option* const option : options_of(*position.command)) {
            const auto spelled = spellings(*option);
            if (!spelled.empty()) found.push_back({spelled.front(), option->get_description()});
        }
    } else {
        if (position.arguments.empty()) {
            for (const CLI::App* const child : visible_commands(*position.command)) {
                found.push_back({child->get_name(), child->get_description()});
            }
        }
        const auto positionals = positionals_of(*position.command);
        if (!positionals.empty()) {
            const std::size_t next = std::min(position.arguments.size(), positionals.size() - 1);
            const bool more = position.arguments.size() < positionals.size() ||
                              positionals[next]->get_items_expected_max() > 1;
            std::vector<Candidate> values;
            if (more) add_values(values, *positionals[next], names);
            for (Candidate& value : values) found.push_back(std::move(value));
        }
    }
    std::erase_if(found, [&begin](const Candidate& candidate) { return !candidate.word.starts_with(begin); });
    return found;
}

}  // namespace warmd::client
