#include <sstream>

#include "client/command_tree.h"
#include "client/exit_statuses.h"

namespace warmd::client {

namespace {

/// Text as roff prints it: nothing in it is a request or an escape.
std::string plain(const std::string& text)
{
    std::string out;
    bool line_begins = true;
    for (const char c : text) {
        if (line_begins && (c == '.' || c == '\'')) out += "\\&";
        line_begins = c == '\n';
        if (c == '\\') out += "\\e";
        else if (c == '-') out += "\\-";
        else if (c == '\'') out += "\\(aq";
        else if (c == '`') out += "\\(ga";
        else if (c == '^') out += "\\(ha";
        else if (c == '~') out += "\\(ti";
        else out += c;
    }
    return out;
}

std::string bold(const std::string& text) { return "\\fB" + plain(text) + "\\fR"; }
std::string italic(const std::string& text) { return "\\fI" + plain(text) + "\\fR"; }

std::string value_of(const CLI::Option& option)
{
    std::string words;
    for (const std::string& word : choices(option)) words += (words.empty() ? "" : "|") + word;
    return words.empty() ? "VALUE" : words;
}

std::string positional_words(const CLI::Option& option)
{
    const std::string many = option.get_items_expected_max() > 1 ? "..." : "";
    const std::string name = italic(option.get_name(true)) + many;
    return option.get_required() ? name : "[" + name + "]";
}

void write_synopsis(std::ostream& out, const CLI::App& command)
{
    out << bold(full_name(command));
    bool has_options = false;
    std::string positionals;
    for (const CLI::Option* const option : command.get_options()) {
        if (option->get_positional()) positionals += " " + positional_words(*option);
        else if (option != command.get_help_ptr()) has_options = true;
    }
    if (has_options) out << " [" << italic("OPTION") << "]...";
    out << positionals << "\n";
}

void write_option(std::ostream& out, const CLI::Option& option)
{
    out << ".TP\n";
    std::string names;
    for (const std::string& name : option.get_snames()) names += (names.empty() ? "" : ", ") + bold("-" + name);
    for (const std::string& name : option.get_lnames()) names += (names.empty() ? "" : ", ") + bold("--" + name);
    if (names.empty()) names = italic(option.get_name(true));
    else if (takes_value(option)) names += " " + italic(value_of(option));
    out << names << "\n" << plain(option.get_description());
    if (!option.get_default_str().empty()) out << " [" << plain(option.get_default_str()) << "]";
    out << "\n";
}

void write_options(std::ostream& out, const CLI::App& command)
{
    for (const CLI::Option* const option : command.get_options()) {
        if (option != command.get_help_ptr() && option->get_group() != "") write_option(out, *option);
    }
}

void write_command(std::ostream& out, const CLI::App& command)
{
    out << ".SS " << plain("\"" + full_name(command).substr(std::string{"warmctl "}.size()) + "\"") << "\n";
    if (command.get_require_subcommand_min() == 0) {
        write_synopsis(out, command);
        out << ".PP\n";
    }
    out << plain(command.get_description()) << ".\n";
    write_options(out, command);
    if (const std::string footer = command.get_footer(); !footer.empty()) {
        out << ".PP\n.nf\n" << plain(footer) << "\n.fi\n";
    }
    for (const CLI::App* const child : visible_commands(command)) write_command(out, *child);
}

}  // namespace

std::string man_page(const CLI::App& root, const std::string& version)
{
    std::ostringstream out;
    out << ".\\\" Made from the program's own tree of commands.\n"
        << ".TH WARMCTL 1 \"\" \"" << plain("warmd " + version) << "\" \"warmd\"\n"
        << ".SH NAME\nwarmctl \\- talk to warmd, which keeps slow\\-starting applications warm\n"
        << ".SH SYNOPSIS\n"
        << bold("warmctl") << " [" << italic("OPTION") << "]... " << italic("COMMAND") << " [" << italic("ARGUMENT")
        << "]...\n"
        << ".SH DESCRIPTION\nData goes to standard output, talk to standard error. On a terminal an operation shows "
           "its "
           "phase in\none line; elsewhere each change is a line of its own.\n"
        << ".PP\n.nf\n"
        << plain(root.get_footer()) << "\n.fi\n"
        << ".SH OPTIONS\nThese go with every command, before or after it.\n";
    write_options(out, root);
    out << ".SH COMMANDS\n";
    for (const CLI::App* const command : visible_commands(root)) write_command(out, *command);
    out << ".SH EXIT STATUS\n";
    for (const ExitStatus& status : kExitStatuses)
        out << ".TP\n" << bold(status.number) << "\n" << plain(status.meaning) << "\n";
    out << ".SH ENVIRONMENT\n";
    for (const Variable& variable : kVariables)
        out << ".TP\n" << bold(variable.name) << "\n" << plain(variable.meaning) << "\n";
    out << ".SH SEE ALSO\n.BR warmd (8),\n.BR warmd.toml (5),\n.BR podman (1)\n";
    return out.str();
}

}  // namespace warmd::client
