#include "daemon/host/doctor.h"

#include <array>
#include <exception>

#include "daemon/base/error.h"
#include "daemon/host/checks.h"
#include "daemon/host/host_environment.h"

namespace warmd {

namespace {

struct Check {
    const char* name;
    Finding (*look)(const Examined& host);
};

constexpr std::array<Check, 20> kChecks{{
    {"podman", checks::podman},
    {"podman_version", checks::podman_version},
    {"runtime", checks::runtime},
    {"storage_driver", checks::storage_driver},
    {"criu", checks::criu},
    {"libcriu", checks::libcriu},
    {"criu_and_kernel", checks::criu_and_kernel},
    {"criu_check", checks::criu_check},
    {"iptables", checks::iptables},
    {"kernel_features", checks::kernel_features},
    {"cgroups", checks::cgroups},
    {"security_module", checks::security_module},
    {"store_space", checks::store_space},
    {"store_speed", checks::store_speed},
    {"catalog", checks::catalog},
    {"export_space", checks::export_space},
    {"memory", checks::memory},
    {"cpu", checks::cpu},
    {"huge_pages", checks::huge_pages},
    {"exec_remains", checks::exec_remains},
}};

/// What `look` finds; what it throws is a problem of its own.
template <typename Look>
Finding finding_of(const char* name, Look&& look)
{
    Finding finding;
    try {
        finding = look();
    } catch (const Error& error) {
        finding = {.status = FindingStatus::problem,
                   .found = error.what() + (error.cause().empty() ? "" : ": " + error.cause()),
                   .fix = error.hint()};
    } catch (const std::exception& error) {
        finding = {.status = FindingStatus::problem, .found = error.what()};
    }
    finding.check = name;
    return finding;
}

}  // namespace

Finding checks::probe(Probe& probe, const std::stop_token& stop)
{
    Finding finding{.why = "it is what warmd does: all other checks only say why this one fails"};
    if (!probe.possible()) {
        finding.status = FindingStatus::skipped;
        finding.found = "warm-agent does not lie beside warmd, so there is nothing to try it with";
        return finding;
    }
    try {
        const ProbeReport report = probe.run(stop);
        finding.found = "a tiny container of " + std::to_string(report.bytes / 1000) + " kB was:";
        for (const Phase& phase : report.phases) {
            finding.found += " " + phase.name + " " + std::to_string(phase.elapsed.count() / 1000) + " ms,";
        }
        finding.found.back() = '.';
    } catch (const Error& error) {
        finding.status = FindingStatus::problem;
        finding.found = error.what() + (error.cause().empty() ? "" : ": " + error.cause());
        finding.fix = error.hint().empty() ? "mend what the other checks find, then look again" : error.hint();
    }
    return finding;
}

DoctorReport Doctor::examine(const std::stop_token& stop, const std::string& only)
{
    const std::scoped_lock turn{turn_};
    Examined host{.options = options_, .engine = std::nullopt, .engine_error = std::nullopt};
    try {
        host.engine = engine_.info();
    } catch (const Error& error) {
        host.engine_error = error;
    }
    DoctorReport report;
    if (host.engine) report.environment = host_environment(*host.engine);
    for (const Check& check : kChecks) {
        if (!only.empty() && only != check.name) continue;
        report.findings.push_back(finding_of(check.name, [&] { return check.look(host); }));
    }
    if (!only.empty() && only != "probe") return report;
    report.findings.push_back(finding_of("probe", [&]() -> Finding {
        if (!host.engine) return {.status = FindingStatus::skipped, .found = "Podman does not answer"};
        if (checks::cgroups(host).status == FindingStatus::problem) {
            return {.status = FindingStatus::skipped, .found = "CRIU is not started with these control groups"};
        }
        return checks::probe(probe_, stop);
    }));
    return report;
}

}  // namespace warmd
