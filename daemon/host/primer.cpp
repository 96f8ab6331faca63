#include "daemon/host/primer.h"

#include <spdlog/spdlog.h>

#include <exception>
#include <fstream>
#include <utility>

#include "daemon/base/error.h"
#include "daemon/base/process.h"

namespace warmd {

namespace {

/// How long it took, when `record` says that it was done in this boot.
std::optional<Duration> read_record(const std::filesystem::path& record)
{
    std::string boot;
    Duration::rep microseconds = 0;
    if (!(std::ifstream{record} >> boot >> microseconds) || boot != boot_id()) return std::nullopt;
    return Duration{microseconds};
}

}  // namespace

Primer::Primer(Probe& probe, std::filesystem::path record) : probe_{probe}, record_{std::move(record)}
{
    if (record_.empty() || !probe_.possible()) return;
    status_.with([this](Priming& status) {
        const auto before = read_record(record_);
        status.state = before ? PrimingState::done : PrimingState::pending;
        status.elapsed = before.value_or(Duration::zero());
    });
}

Priming Primer::status() const
{
    return status_.with([](const Priming& status) { return status; });
}

void Primer::run(const std::stop_token& stop) noexcept
{
    if (!due()) return;
    status_.with([](Priming& status) { status.state = PrimingState::running; });
    try {
        Duration elapsed{};
        for (const Phase& phase : probe_.run(stop).phases) elapsed += phase.elapsed;
        std::ofstream{record_} << boot_id() << ' ' << elapsed.count() << '\n';
        status_.with([elapsed](Priming& status) { status = {.state = PrimingState::done, .elapsed = elapsed}; });
        spdlog::info("primed: a tiny container was checkpointed and restored in {} ms", elapsed.count() / 1000);
    } catch (const std::exception& error) {
        if (stop.stop_requested()) return;
        const auto* const known = dynamic_cast<const Error*>(&error);
        std::string reason = error.what();
        if (known != nullptr && !known->cause().empty()) reason += ": " + known->cause();
        spdlog::warn("priming failed, `warmctl doctor` says more: {}", reason);
        status_.with([&reason](Priming& status) { status = {.state = PrimingState::failed, .reason = reason}; });
    }
}

}  // namespace warmd
