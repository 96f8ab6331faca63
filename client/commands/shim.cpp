#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "client/commands/commands.h"
#include "client/shim_script.h"
#include "daemon/base/error.h"
#include "daemon/base/scope_exit.h"
#include "daemon/base/unique_fd.h"

namespace warmd::client {

namespace {

namespace fs = std::filesystem;

constexpr const char* kFolder = "/usr/local/lib/warmd/shims";

fs::path absolute(const std::string& folder)
{
    const fs::path path = fs::absolute(folder).lexically_normal();
    return path.has_filename() ? path : path.parent_path();  // without a slash at its end
}

/// The template of the shim at `path`; nothing when there is no shim.
std::optional<TemplateName> read_shim(const fs::path& path)
{
    std::error_code error;
    if (!fs::is_regular_file(path, error)) return std::nullopt;
    std::ifstream file{path, std::ios::binary};
    std::string script(1024, '\0');  // as far as its template
    file.read(script.data(), static_cast<std::streamsize>(script.size()));
    script.resize(static_cast<std::size_t>(file.gcount()));
    return template_of_shim(script);
}

void write_all(int fd, const std::string& content, const fs::path& path)
{
    for (std::size_t done = 0; done < content.size();) {
        const ssize_t count = ::write(fd, content.data() + done, content.size() - done);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) throw system_error("cannot write " + path.string(), errno);
        done += static_cast<std::size_t>(count);
    }
}

/// Puts an executable file at `path`, whole or not at all.
void write_program(const fs::path& path, const std::string& content)
{
    constexpr mode_t kMode = 0755;
    std::string temporary = path.parent_path() / ("." + path.filename().string() + ".XXXXXX");
    const UniqueFd fd{::mkstemp(temporary.data())};
    if (!fd.valid()) throw system_error("cannot write into " + path.parent_path().string(), errno);
    ScopeExit undo{[&temporary]() noexcept { ::unlink(temporary.c_str()); }};
    write_all(fd.get(), content, path);
    // A crash must not leave an empty program where the real one would be found otherwise.
    if (::fchmod(fd.get(), kMode) != 0 || ::fsync(fd.get()) != 0 || ::rename(temporary.c_str(), path.c_str()) != 0) {
        throw system_error("cannot write " + path.string(), errno);
    }
    undo.dismiss();
}

void report(const Context& context, const std::string& program, const TemplateName& template_name, const fs::path& path)
{
    if (context.output.json) {
        context.output.print_json(
            Json{{"program", program}, {"template", template_name.value()}, {"path", path.string()}});
    } else {
        context.output.print_line(path.string());
    }
}

/// Whether `folder` is on PATH.
bool on_path(const fs::path& folder)
{
    const char* const value = std::getenv("PATH");
    return value != nullptr && (":" + std::string{value} + ":").find(":" + folder.string() + ":") != std::string::npos;
}

void install(const Context& context, const fs::path& folder, const std::string& template_name,
             const std::vector<std::string>& programs, bool force)
{
    if (!template_name.empty() && !is_valid_name(template_name)) {
        throw CLI::ValidationError{"--template", "is not a template's name: " + template_name};
    }
    for (const std::string& program : programs) {  // all or none
        const fs::path path = folder / program;
        std::error_code error;
        if (force || !fs::exists(path, error) || read_shim(path)) continue;
        throw Error{ErrorCode::conflict, path.string() + " is there already and is not a shim of warmd"}.with_hint(
            "choose another --dir, or replace it with --force");
    }
    std::error_code error;
    fs::create_directories(folder, error);
    if (error) throw system_error("cannot make " + folder.string(), error.value());
    for (const std::string& program : programs) {
        const TemplateName chosen = template_name.empty() ? find_shim(program)->usual_template
                                                          : TemplateName{template_name};
        write_program(folder / program, shim_script(program, chosen));
        report(context, program, chosen, folder / program);
    }
    if (!context.output.quiet && !on_path(folder)) {
        std::fprintf(stderr, "Put them first on PATH:  export PATH=\"%s:$PATH\"\n", folder.c_str());
    }
}

void remove(const Context& context, const fs::path& folder, const std::vector<std::string>& programs)
{
    for (const std::string& program : programs) {
        const fs::path path = folder / program;
        const auto known = read_shim(path);
        if (!known) throw Error{ErrorCode::not_found, "there is no shim of warmd at " + path.string()};
        if (::unlink(path.c_str()) != 0) throw system_error("cannot remove " + path.string(), errno);
        report(context, program, *known, path);
    }
}

void list(const Context& context, const fs::path& folder)
{
    std::vector<std::vector<std::string>> rows{{"PROGRAM", "TEMPLATE", "PATH"}};
    for (const std::string& program : shim_programs()) {
        const fs::path path = folder / program;
        const auto known = read_shim(path);
        if (!known) continue;
        if (context.output.json) report(context, program, *known, path);
        rows.push_back({program, known->value(), path.string()});
    }
    if (!context.output.json) context.output.print_table(rows);
}

std::shared_ptr<std::string> add_folder(CLI::App& command)
{
    auto folder = std::make_shared<std::string>(kFolder);
    command.add_option("--dir", *folder, "The shims' folder")->capture_default_str();
    return folder;
}

std::shared_ptr<std::vector<std::string>> add_programs(CLI::App& command)
{
    auto programs = std::make_shared<std::vector<std::string>>();
    command.add_option("PROGRAM", *programs, "Their names")->required()->check(CLI::IsMember{shim_programs()});
    return programs;
}

}  // namespace

void add_shim_command(CLI::App& app, Context& context)
{
    CLI::App* const command = app.add_subcommand("shim", "Programs that send batch calls to warmd");
    command->require_subcommand(1);
    command->footer("A shim has the name of a program and stands before it on PATH. It sends what that program would\n"
                    "evaluate and exit to `warmctl run TEMPLATE --code`, and everything else to the program itself:\n"
                    "  matlab             -batch CODE, and -r CODE that ends in exit or quit\n"
                    "  octave octave-cli  --eval CODE\n"
                    "  python python3     -c CODE, with nothing to read on standard input\n"
                    "It also runs the program itself, and says so, when warmd cannot run the code. With\n"
                    "WARMD_SHIM=off in the environment it always does, with WARMD_SHIM=strict never.\n"
                    "Code runs in the container, with the container's files, folder and environment.\n"
                    "Example: sudo warmctl shim install matlab");

    CLI::App* const installs = command->add_subcommand("install", "Write shims");
    installs->footer("Examples: sudo warmctl shim install matlab\n"
                     "          warmctl shim install --dir ~/shims --template octave9 octave octave-cli");
    const auto folder = add_folder(*installs);
    const auto programs = add_programs(*installs);
    const auto template_name = std::make_shared<std::string>();
    const auto force = std::make_shared<bool>(false);
    installs->add_option("--template", *template_name,
                         "The template to run code in (default: the program's usual one)");
    installs->add_flag("--force", *force, "Replace files that are not shims");
    installs->callback([&context, folder, template_name, programs, force] {
        install(context, absolute(*folder), *template_name, *programs, *force);
    });

    CLI::App* const removes = command->add_subcommand("remove", "Remove shims, and nothing else");
    removes->footer("Example: sudo warmctl shim remove matlab");
    const auto removed_folder = add_folder(*removes);
    const auto removed = add_programs(*removes);
    removes->callback([&context, removed_folder, removed] { remove(context, absolute(*removed_folder), *removed); });

    CLI::App* const lists = command->add_subcommand("list", "List the shims in a folder");
    lists->footer("Example: warmctl shim list");
    const auto listed_folder = add_folder(*lists);
    lists->callback([&context, listed_folder] { list(context, absolute(*listed_folder)); });
}

}  // namespace warmd::client
