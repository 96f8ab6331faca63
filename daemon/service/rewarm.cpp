#include "daemon/service/rewarm.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <utility>
#include <vector>

namespace warmd {

namespace {

// Warming may take minutes and a licence: it is not tried as often as a restore.
constexpr Duration kFirstRetry = std::chrono::seconds{30};
constexpr Duration kLastRetry = std::chrono::hours{1};

Duration delay_after(int failures)
{
    Duration delay = kFirstRetry;
    for (int i = 1; i < failures && delay < kLastRetry; ++i) delay *= 2;
    return std::min(delay, kLastRetry);
}

}  // namespace

/// Ends with the work of its operation, also when that is dropped before it has begun.
class Rewarm::Attempt {
public:
    Attempt(Rewarm& owner, TemplateName name) : owner_{owner}, name_{std::move(name)} {}
    ~Attempt() { owner_.ended(name_, failure_); }
    Attempt(const Attempt&) = delete;
    Attempt& operator=(const Attempt&) = delete;

    void set_failure(std::string failure) { failure_ = std::move(failure); }

private:
    Rewarm& owner_;
    TemplateName name_;
    std::string failure_ = "it was cancelled";
};

bool Rewarm::take(const TemplateName& name)
{
    const SteadyTime now = clock_.steady_now();
    return attempts_.with([&name, now](std::map<TemplateName, Attempts>& all) {
        Attempts& attempts = all[name];
        if (attempts.under_way || now < attempts.next_at) return false;
        attempts.under_way = true;
        return true;
    });
}

void Rewarm::ended(const TemplateName& name, const std::string& failure)
{
    const SteadyTime now = clock_.steady_now();
    attempts_.with([&name, &failure, now](std::map<TemplateName, Attempts>& all) {
        Attempts& attempts = all[name];
        attempts.under_way = false;
        attempts.failures = failure.empty() ? 0 : attempts.failures + 1;
        attempts.last_failure = failure;
        attempts.next_at = now + delay_after(attempts.failures);
    });
}

void Rewarm::begin(const Template& from)
{
    if (from.rewarm == RewarmPolicy::never && !pulls(from.distribute)) return;
    const std::vector<Operation> unfinished = catalog_.unfinished_operations();
    const bool being_made = std::any_of(unfinished.begin(), unfinished.end(), [&from](const Operation& operation) {
        return operation.kind == OperationKind::checkpoint && operation.template_name == from.name;
    });
    if (being_made || !take(from.name)) return;
    spdlog::info("template={}: none of its checkpoints fits this host any more; a new one is being made",
                 from.name.value());
    const auto attempt = std::make_shared<Attempt>(*this, from.name);
    try {
        submit_({.kind = OperationKind::checkpoint, .template_name = from.name},
                [this, &from, attempt](OperationRun& run) {
                    try {
                        make(from, run);
                        attempt->set_failure({});
                        hooks_.there();
                    } catch (const std::exception& error) {
                        attempt->set_failure(error.what());
                        throw;
                    }
                });
    } catch (const std::exception& error) {
        attempt->set_failure(error.what());
    }
}

void Rewarm::make(const Template& from, OperationRun& run)
{
    if (from.rewarm == RewarmPolicy::never) {
        distribution_.pull(from, run);
        return;
    }
    if (pulls(from.distribute)) {
        try {
            if (distribution_.obtain(from, run)) return;
        } catch (const Error& error) {
            if (error.code() == ErrorCode::cancelled || error.code() == ErrorCode::interrupted) throw;
            spdlog::warn("template={}: nothing was pulled, it is warmed here: {} ({})", from.name.value(), error.what(),
                         error.cause());
        }
    }
    hooks_.made(checkpoints_.of_template(from, run));
}

std::string Rewarm::describe(const Template& from) const
{
    if (from.rewarm == RewarmPolicy::never) return "no new one is made, because checkpoint.rewarm is \"never\"";
    const Attempts attempts = attempts_.with([&from](const std::map<TemplateName, Attempts>& all) {
        const auto found = all.find(from.name);
        return found == all.end() ? Attempts{} : found->second;
    });
    if (attempts.under_way || attempts.last_failure.empty()) return "a new one is being made";
    return "making a new one failed, and is tried again later: " + attempts.last_failure;
}

}  // namespace warmd
