#include "daemon/service/retention.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <set>
#include <string>
#include <utility>

#include "daemon/base/error.h"

namespace warmd {

namespace {

constexpr std::uint64_t kMarginPart = 8;  // of what is estimated, beside RetentionOptions::margin

Deletion deletion_of(const Checkpoint& checkpoint, DeletionReason reason)
{
    return {.checkpoint = checkpoint.id,
            .template_name = checkpoint.template_name,
            .state = checkpoint.state,
            .size_bytes = checkpoint.size_bytes,
            .created_at = checkpoint.created_at,
            .reason = reason};
}

std::uint64_t bytes_of(const std::vector<Deletion>& deletions)
{
    std::uint64_t bytes = 0;
    for (const Deletion& one : deletions) bytes += one.size_bytes;
    return bytes;
}

}  // namespace

RetentionSituation Retention::look() const
{
    RetentionSituation situation{
        .checkpoints = {}, .policies = {}, .all = options_.all, .incoming = {}, .keep = {}, .now = clock_.now()};
    for (const auto& [name, from] : templates_.all()) {
        if (from.retention.bounds()) situation.policies.emplace(name, from.retention);
    }
    // After the list: what an instance was made from meanwhile is in it.
    const std::vector<Checkpoint> checkpoints = catalog_.checkpoints(Page::all());
    std::set<CheckpointId> used;
    for (const Instance& instance : catalog_.instances(Page::all())) used.insert(instance.checkpoint);
    for (const Checkpoint& one : checkpoints) {
        const auto from = templates_.all().find(one.template_name);
        situation.checkpoints.push_back(
            {.id = one.id,
             .template_name = one.template_name,
             .state = one.state,
             .bytes = one.size_bytes,
             .created_at = one.created_at,
             .used_at = one.used_at,
             .pinned = one.pinned,
             .in_use = used.contains(one.id) || options_.in_work(one.id),
             .current = from != templates_.all().end() && from->second.digest == one.template_digest,
             .fits = host_.fits(one)});
    }
    return situation;
}

void Retention::erase_files(const Deletion& deletion, const std::string& reason)
{
    store_.remove(deletion.checkpoint);
    catalog_.erase(deletion.checkpoint, reason);
    options_.deleted(deletion);
}

void Retention::carry_out(const Deletion& deletion, const char* who, bool spare_used)
{
    // Asked again: an operation may have begun since the plan was made.
    if (spare_used && options_.in_work(deletion.checkpoint)) {
        throw Error{ErrorCode::conflict, "an operation works on checkpoint " + deletion.checkpoint.value()};
    }
    const std::string reason = std::string{who} + ": " + std::string{to_string(deletion.reason)};
    const std::scoped_lock lock{deleting_};
    catalog_.begin_deletion(deletion.checkpoint, reason, spare_used);
    erase_files(deletion, reason);
    spdlog::info("checkpoint_id={} deleted, {} bytes; {}", deletion.checkpoint.value(), deletion.size_bytes, reason);
}

void Retention::remove(const CheckpointId& id)
{
    carry_out(deletion_of(catalog_.get(id), DeletionReason::requested), "request", /*spare_used=*/false);
}

void Retention::finish_deletions()
{
    const std::scoped_lock lock{deleting_};
    for (const Checkpoint& one : catalog_.checkpoints(Page::all())) {
        if (one.state == CheckpointState::deleting) {
            erase_files(deletion_of(one, DeletionReason::requested), one.reason);
        }
    }
}

void Retention::enforce() noexcept { enforce(std::nullopt); }

void Retention::enforce(const std::optional<RetentionSituation::Incoming>& incoming) noexcept
{
    try {
        finish_deletions();
        RetentionSituation situation = look();
        situation.incoming = incoming;
        for (const Deletion& one : plan_retention(situation)) {
            try {
                carry_out(one, "retention", /*spare_used=*/true);
            } catch (const Error& error) {
                // Gone, used or pinned meanwhile; or it cannot be removed, and the next pass tries again.
                const bool meanwhile = error.code() == ErrorCode::conflict || error.code() == ErrorCode::not_found;
                spdlog::log(meanwhile ? spdlog::level::info : spdlog::level::warn,
                            "checkpoint_id={} is not deleted: {}", one.checkpoint.value(), error.what());
            }
        }
    } catch (const std::exception& error) {
        spdlog::warn("retention: {}", error.what());
    }
}

std::vector<Deletion> Retention::plan(const PruneRequest& request) const
{
    RetentionSituation situation = look();
    situation.keep = request.keep;
    std::vector<Deletion> deletions = plan_retention(situation);
    if (!request.only.empty()) {
        std::erase_if(deletions, [&request](const Deletion& one) {
            return std::find(request.only.begin(), request.only.end(), one.checkpoint) == request.only.end();
        });
    }
    return deletions;
}

void Retention::prune(const PruneRequest& request, OperationRun& run)
{
    std::optional<Error> failure;
    run.phase("delete", [&] {
        for (const Deletion& one : plan(request)) {
            run.check();
            try {
                carry_out(one, "prune", /*spare_used=*/true);
                run.add_deletion(one);
            } catch (const Error& error) {
                spdlog::warn("checkpoint_id={} is not pruned: {}", one.checkpoint.value(), error.what());
                failure = error;
            }
        }
    });
    if (failure) throw *failure;
}

std::uint64_t Retention::estimate(const TemplateName& name, std::uint64_t memory) const
{
    constexpr int kLookBack = 20;  // failed ones have no size
    std::uint64_t bytes = memory;
    for (const Checkpoint& one : catalog_.checkpoints({.limit = kLookBack}, name)) {
        if (one.state != CheckpointState::available) continue;
        bytes = std::max(bytes, one.size_bytes);
        break;
    }
    return bytes + bytes / kMarginPart + options_.margin;
}

std::unique_ptr<SpaceLedger::Reservation> Retention::reserve(const TemplateName& name, std::uint64_t bytes)
{
    auto reservation = std::make_unique<SpaceLedger::Reservation>(store_.ledger());
    raise(*reservation, name, bytes);
    return reservation;
}

void Retention::raise(SpaceLedger::Reservation& reservation, const TemplateName& name, std::uint64_t bytes)
{
    if (reservation.raise(bytes) == 0) return;
    enforce();
    while (reservation.raise(bytes) != 0) {
        if (store_.unpacked().drop_oldest()) continue;
        enforce(RetentionSituation::Incoming{.template_name = name, .bytes = bytes});
        if (const std::uint64_t missing = reservation.raise(bytes)) throw reservation.refusal(missing);
    }
}

void Retention::require_room(const TemplateName& name) const
{
    const std::uint64_t bytes = estimate(name);
    const std::uint64_t missing = store_.ledger().missing_for(bytes);
    if (missing == 0) return;
    RetentionSituation situation = look();
    situation.incoming = {.template_name = name, .bytes = bytes};
    std::uint64_t at_hand = bytes_of(plan_retention(situation));
    for (const auto& [id, size] : store_.unpacked_sizes()) at_hand += size;
    if (at_hand < missing) throw store_.ledger().refusal(missing - at_hand);
}

StoreUsage Retention::usage() const
{
    RetentionSituation situation = look();
    const auto unpacked = store_.unpacked_sizes();
    std::map<TemplateName, StoreUsage::Entry> entries;
    for (const StoredCheckpoint& one : situation.checkpoints) {
        StoreUsage::Entry& entry = entries[one.template_name];
        entry.template_name = one.template_name;
        ++entry.checkpoints;
        entry.pinned += static_cast<int>(one.pinned);
        entry.tarball_bytes += one.bytes;
        if (const auto images = unpacked.find(one.id); images != unpacked.end()) entry.unpacked_bytes += images->second;
    }
    situation.keep = PruneRequest{}.keep;
    for (const Deletion& one : plan_retention(situation)) {
        entries[one.template_name].reclaimable_bytes += one.size_bytes;
    }
    const StoreSpace space = store_.space();
    StoreUsage usage{.templates = {},
                     .free_bytes = space.free_bytes,
                     .total_bytes = space.total_bytes,
                     .min_free_bytes = store_.ledger().floor(),
                     .reserved_bytes = store_.ledger().reserved()};
    for (auto& [name, entry] : entries) usage.templates.push_back(std::move(entry));
    return usage;
}

}  // namespace warmd
