#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "client/commands/commands.h"
#include "client/exit_statuses.h"

namespace warmd::client {

namespace {

/// The daemon's own program, as it is installed beside this one: bin/ and libexec/ have the same parent.
std::filesystem::path daemon_program()
{
    const std::filesystem::path bin = std::filesystem::read_symlink("/proc/self/exe").parent_path();
    return bin.parent_path() / "libexec/warmd/warmd";
}

/// What `warmd --doctor` finds as root, outside of the service: all, or the one check. Throws Error when it says
/// nothing.
DoctorReport examine_here(const std::string& check = {})
{
    const std::string command = daemon_program().string() + " --doctor" + (check.empty() ? "" : "=" + check);
    const auto close = [](FILE* pipe) { ::pclose(pipe); };
    const std::unique_ptr<FILE, decltype(close)> pipe{::popen(command.c_str(), "r"), close};
    std::string words;
    std::array<char, 4096> part{};
    while (pipe) {
        const std::size_t count = std::fread(part.data(), 1, part.size(), pipe.get());
        if (count == 0) break;
        words.append(part.data(), count);
    }
    if (words.empty()) throw Error{ErrorCode::unavailable, command + " found nothing"};
    return contract::decode_doctor_report(parse_json(words));
}

bool can_examine_here(const ApiClient& api)
{
    return !api.endpoint().tcp() && ::geteuid() == 0 && ::access(daemon_program().c_str(), X_OK) == 0;
}

/// The daemon's findings. What its service may not look at, root looks at from here; and everything, when the daemon
/// does not answer.
DoctorReport examine(const ApiClient& api)
{
    DoctorReport report;
    Findings& findings = report.findings;
    try {
        report = contract::decode_doctor_report(api.get("/v1/doctor"));
        findings.insert(findings.begin(), {.check = "warmd",
                                           .status = FindingStatus::ok,
                                           .found = "answers on " + api.endpoint().text(),
                                           .why = "",
                                           .fix = ""});
    } catch (const Unreachable& error) {
        if (!can_examine_here(api)) throw;
        report = examine_here();
        findings.insert(findings.begin(),
                        {.check = "warmd",
                         .status = FindingStatus::problem,
                         .found = error.what(),
                         .why = "without the daemon nothing is warm; `journalctl -u warmd -e` says why it ended",
                         .fix = "systemctl start warmd.socket warmd"});
        return report;
    }
    for (Finding& finding : findings) {
        if (finding.check != "criu_check" || finding.status != FindingStatus::skipped || !can_examine_here(api))
            continue;
        finding = examine_here(finding.check).findings.at(0);
    }
    return report;
}

void print(const Output& output, const Findings& findings)
{
    std::vector<std::vector<std::string>> rows{{"CHECK", "STATUS", "FOUND"}};
    for (const Finding& finding : findings) {
        rows.push_back({finding.check, std::string{to_string(finding.status)}, finding.found});
        if (finding.status == FindingStatus::ok || finding.status == FindingStatus::skipped) continue;
        if (!finding.why.empty()) rows.push_back({"", "why", finding.why});
        if (!finding.fix.empty()) rows.push_back({"", "fix", finding.fix});
    }
    output.print_table(rows);
}

}  // namespace

void add_doctor_command(CLI::App& app, Context& context)
{
    CLI::App* const command = app.add_subcommand("doctor", "Find out what on this machine is not as warmd needs it");
    command->footer(
        "Checkpoints and restores a tiny container as the last check. The exit status is 1 when there is a\n"
        "problem. Root sees more: what the daemon's service may not look at, and all but the daemon when it\n"
        "does not run.\n"
        "Examples: sudo warmctl doctor\n          sudo warmctl doctor --json > build7.json    (for warmctl fleet "
        "plan)");
    command->callback([&context] {
        const DoctorReport report = examine(context.api());
        if (worst(report.findings) == FindingStatus::problem) context.exit_status = kExitFailed;
        if (context.output.json) return context.output.print_json(contract::encode(report));
        print(context.output, report.findings);
    });
}

}  // namespace warmd::client
