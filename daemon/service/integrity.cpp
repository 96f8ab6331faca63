#include "daemon/service/integrity.h"

#include <linux/ioprio.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <system_error>
#include <utility>

#include "daemon/base/error.h"

namespace warmd {

namespace {

constexpr Duration kLookForWork = std::chrono::minutes{1};
constexpr Duration kWhileBusy = std::chrono::milliseconds{200};
constexpr Duration kAfterFailure = std::chrono::hours{1};

/// Of the calling thread. What a sandbox forbids is done without.
void lower_priority()
{
    const auto thread = static_cast<int>(::gettid());
    const bool disk = ::syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, thread, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0)) ==
                      0;
    if (!disk || ::setpriority(PRIO_PROCESS, static_cast<id_t>(thread), 19) != 0) {
        spdlog::warn("checkpoints are verified at ordinary priority: {}", std::generic_category().message(errno));
    }
}

}  // namespace

std::string_view to_string(Verdict verdict)
{
    switch (verdict) {
    case Verdict::intact: return "intact";
    case Verdict::damaged: return "damaged";
    case Verdict::failed: break;
    }
    return "failed";
}

Time last_look(const Checkpoint& checkpoint)
{
    return checkpoint.verified_at.value_or(checkpoint.available_at.value_or(checkpoint.created_at));
}

void Integrity::read(const Checkpoint& checkpoint, const ReadPace& pace)
{
    quarantine_.guard(checkpoint.id, [&] {
        store_.verify(checkpoint, pace);
        // A cache: what is wrong with it is no reason to give the checkpoint up.
        static_cast<void>(store_.unpacked().check(checkpoint.id, checkpoint.sha256, pace));
    });
}

void Integrity::verify(const CheckpointId& id, bool by_restore, OperationRun& run)
{
    const Checkpoint checkpoint = catalog_.get(id);
    run.set_checkpoint(id);
    Restore::require_available(checkpoint);
    try {
        run.phase("read", [&] { read(checkpoint, [&run](std::uint64_t) { run.check(); }); });
        if (by_restore) restore_.try_out(checkpoint, run);
        catalog_.set_verified(id, clock_.now());
        hooks_.verified(Verdict::intact);
    } catch (const Error& error) {
        const bool damaged = error.code() == ErrorCode::corrupt || error.code() == ErrorCode::not_ready;
        if (damaged) quarantine_.put(id, error);
        hooks_.verified(damaged ? Verdict::damaged : Verdict::failed);
        throw;
    }
}

void Integrity::suspect(const std::vector<CheckpointId>& ids)
{
    waiting_.with(
        [&ids](Waiting& waiting) { waiting.suspects.insert(waiting.suspects.end(), ids.begin(), ids.end()); });
}

std::optional<Checkpoint> Integrity::next()
{
    const std::vector<Checkpoint> all = catalog_.checkpoints(Page::all());
    const Time now = clock_.now();
    return waiting_.with([&](Waiting& waiting) -> std::optional<Checkpoint> {
        while (!waiting.suspects.empty()) {
            const auto found = std::find_if(all.begin(), all.end(), [&waiting](const Checkpoint& checkpoint) {
                return checkpoint.id == waiting.suspects.front();
            });
            waiting.suspects.pop_front();
            if (found != all.end() && found->state == CheckpointState::available) return *found;
        }
        if (every_ == Duration::zero()) return std::nullopt;
        const Checkpoint* oldest = nullptr;
        for (const Checkpoint& checkpoint : all) {
            if (checkpoint.state != CheckpointState::available || last_look(checkpoint) + every_ > now) continue;
            const auto failed = waiting.not_before.find(checkpoint.id);
            if (failed != waiting.not_before.end() && failed->second > now) continue;
            if (oldest == nullptr || last_look(checkpoint) < last_look(*oldest)) oldest = &checkpoint;
        }
        return oldest == nullptr ? std::nullopt : std::optional{*oldest};
    });
}

void Integrity::look(const Checkpoint& checkpoint, const std::stop_token& stop)
{
    const ReadPace pace = [&](std::uint64_t) {
        while (hooks_.busy() && clock_.sleep_for(kWhileBusy, stop)) continue;
        if (stop.stop_requested()) throw Error{ErrorCode::cancelled, "warmd is stopping"};
    };
    try {
        pace(0);
        read(checkpoint, pace);
        catalog_.set_verified(checkpoint.id, clock_.now());
        spdlog::debug("checkpoint_id={} verified", checkpoint.id.value());
        hooks_.verified(Verdict::intact);
    } catch (const Error& error) {
        if (error.code() == ErrorCode::cancelled) return;
        hooks_.verified(error.code() == ErrorCode::corrupt ? Verdict::damaged : Verdict::failed);
        if (error.code() != ErrorCode::corrupt) {
            spdlog::warn("checkpoint_id={} cannot be verified: {}", checkpoint.id.value(), error.what());
        }
        const Time later = clock_.now() + kAfterFailure;
        waiting_.with([&](Waiting& waiting) { waiting.not_before[checkpoint.id] = later; });
    }
}

void Integrity::keep(std::stop_token stop)
{
    lower_priority();
    while (!stop.stop_requested()) {
        try {
            if (const auto due = next()) {
                look(*due, stop);
                continue;
            }
        } catch (const std::exception& error) {  // of the catalog
            spdlog::error("checkpoints cannot be verified: {}", error.what());
        }
        clock_.sleep_for(kLookForWork, stop);
    }
}

}  // namespace warmd
