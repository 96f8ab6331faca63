#include "daemon/service/recovery.h"

#include <spdlog/spdlog.h>

#include <exception>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "daemon/base/error.h"
#include "daemon/service/instance_end.h"
#include "daemon/store/manifest.h"

namespace warmd {

namespace {

void recover_operations(Catalog& catalog, const Clock& clock)
{
    for (Operation& operation : catalog.unfinished_operations()) {
        operation.state = OperationState::failed;
        operation.phase.clear();
        operation.finished_at = clock.now();
        operation.error = Error{ErrorCode::interrupted, "warmd ended while it ran"}.with_hint("start it again");
        catalog.save(operation);
    }
}

/// Nothing when there is none that can be used.
std::optional<Checkpoint> intact_manifest(const TarballStore& store, const CheckpointId& id)
{
    try {
        return store.read_manifest(id);
    } catch (const Error& error) {
        spdlog::warn("checkpoint_id={}: {} ({})", id.value(), error.what(), error.cause());
        return std::nullopt;
    }
}

/// What never changes of a checkpoint, as text.
std::string identity_of(Checkpoint checkpoint)
{
    checkpoint.phases.clear();  // the manifest is written before the last one has ended
    checkpoint.available_at.reset();
    return encode_manifest(checkpoint);
}

/// Makes the row and the manifest of an available checkpoint say the same. Returns the row.
Checkpoint agree_with_manifest(Catalog& catalog, TarballStore& store, Checkpoint row)
{
    const auto manifest = intact_manifest(store, row.id);
    if (!manifest) {
        try {
            store.write_manifest(row);
        } catch (const Error& error) {  // for want of space: another start will do it
            spdlog::warn("checkpoint_id={}: its manifest cannot be written: {}", row.id.value(), error.what());
        }
    } else if (identity_of(*manifest) != identity_of(row)) {
        spdlog::error("checkpoint_id={}: its row in the catalog is not what its manifest says; the manifest counts",
                      row.id.value());
        Checkpoint mended = *manifest;
        mended.state = row.state;
        mended.reason = row.reason;
        mended.phases = row.phases;
        mended.available_at = row.available_at;
        mended.verified_at = row.verified_at;
        catalog.save(mended);
        return mended;
    }
    return row;
}

/// Quarantines it when its tarball is not there as a whole.
void require_tarball(Catalog& catalog, const TarballStore& store, const Checkpoint& checkpoint)
{
    try {
        static_cast<void>(store.open(checkpoint.id, checkpoint.size_bytes));
    } catch (const Error& error) {
        if (error.code() != ErrorCode::corrupt) {
            spdlog::warn("checkpoint_id={}: {}", checkpoint.id.value(), error.what());
            return;
        }
        spdlog::error("checkpoint_id={} quarantined: {}", checkpoint.id.value(), error.what());
        catalog.transition(checkpoint.id, {CheckpointState::available}, CheckpointState::quarantined, error.what());
    }
}

/// One that was being made.
void give_up(Catalog& catalog, TarballStore& store, Checkpoint checkpoint, const std::string& reason)
{
    store.remove(checkpoint.id);
    set_failed(checkpoint, reason);
    catalog.save(checkpoint);
}

using Ids = std::set<CheckpointId>;

void recover_checkpoint(Catalog& catalog, TarballStore& store, const Ids& with_files, Checkpoint checkpoint)
{
    switch (checkpoint.state) {
    case CheckpointState::pending:
    case CheckpointState::dumping:
    case CheckpointState::verifying:
        give_up(catalog, store, std::move(checkpoint), "warmd ended while it was made");
        break;
    case CheckpointState::deleting:
        store.remove(checkpoint.id);
        catalog.erase(checkpoint.id, checkpoint.reason);
        break;
    case CheckpointState::available:
        require_tarball(catalog, store, agree_with_manifest(catalog, store, std::move(checkpoint)));
        break;
    case CheckpointState::failed:
        // Its files could not be removed when it failed. Nobody was told of it.
        if (with_files.contains(checkpoint.id)) store.remove(checkpoint.id);
        break;
    case CheckpointState::quarantined: break;
    }
}

/// Makes the row of a tarball that has none. True when it could.
bool adopt(Catalog& catalog, TarballStore& store, const CheckpointId& id)
{
    const auto manifest = intact_manifest(store, id);
    if (!manifest) {
        spdlog::warn("{} has no row in the catalog and no intact manifest; left alone", store.path_of(id).string());
        return false;
    }
    spdlog::warn("checkpoint_id={} had no row in the catalog: made again from its manifest", id.value());
    catalog.save(*manifest);
    require_tarball(catalog, store, *manifest);
    return true;
}

}  // namespace

Recovered recover_catalog(Catalog& catalog, TarballStore& store, const Clock& clock)
{
    store.sweep();
    recover_operations(catalog, clock);
    const std::vector<CheckpointId> tarballs = store.list();
    const std::vector<CheckpointId> manifests = store.manifests();
    Ids with_files{tarballs.begin(), tarballs.end()};
    with_files.insert(manifests.begin(), manifests.end());
    for (const Checkpoint& checkpoint : catalog.checkpoints(Page::all())) {
        recover_checkpoint(catalog, store, with_files, checkpoint);
        with_files.erase(checkpoint.id);
    }
    Recovered recovered;
    for (const CheckpointId& id : tarballs) {
        if (with_files.erase(id) > 0 && adopt(catalog, store, id)) recovered.checkpoints.push_back(id);
    }
    for (const CheckpointId& id : with_files) {  // those with a manifest alone
        const bool ours = intact_manifest(store, id).has_value();
        spdlog::warn("{} has neither tarball nor row; {}", store.manifest_path_of(id).string(),
                     ours ? "removed" : "left alone");
        if (ours) store.remove(id);
    }
    store.unpacked().keep_only([&catalog](const CheckpointId& id) {
        const auto checkpoint = catalog.find(id);
        return checkpoint && checkpoint->state == CheckpointState::available;
    });
    return recovered;
}

void reconcile_instance(Catalog& catalog, ContainerEngine& engine, const Clock& clock, const InstanceId& id,
                        const std::function<bool(const InstanceId&)>& in_work)
{
    // The row is read after `in_work`, because an operation that has just ended has left it as it should be; and both
    // are asked again after the engine, because one may have begun meanwhile.
    if (in_work(id)) return;
    const auto before = catalog.find(id);
    if (!before || before->state == InstanceState::terminated) return;
    const auto container = engine.inspect(container_name(id));
    const bool runs = container && container->status == ContainerStatus::running;
    const bool finished = is_usable(before->state);
    if (runs && finished) return;
    auto instance = catalog.find(id);
    if (in_work(id) || !instance || instance->state != before->state) return;
    const std::string reason = finished ? "its container has ended" : "what made or ended it was interrupted";
    spdlog::warn("instance_id={} terminated: {}", id.value(), reason);
    end_instance(catalog, engine, clock, *instance, reason);
}

void reconcile_checkpoints(Catalog& catalog, TarballStore& store,
                           const std::function<bool(const CheckpointId&)>& in_work)
{
    for (const Checkpoint& listed : catalog.checkpoints(Page::all())) {
        if (!is_being_made(listed.state) || in_work(listed.id)) continue;
        // Read after `in_work`: an operation that has just ended has left it as it should be.
        const auto checkpoint = catalog.find(listed.id);
        if (!checkpoint || !is_being_made(checkpoint->state)) continue;
        try {
            give_up(catalog, store, *checkpoint, "what made it ended, and could not say how");
        } catch (const std::exception& error) {
            spdlog::warn("checkpoint_id={} was left {}, and that cannot be mended yet: {}", listed.id.value(),
                         to_string(listed.state), error.what());
        }
    }
}

void reconcile_instances(Catalog& catalog, ContainerEngine& engine, const Clock& clock,
                         const std::function<bool(const InstanceId&)>& in_work)
{
    for (const Instance& listed : catalog.instances(Page::all())) {
        reconcile_instance(catalog, engine, clock, listed.id, in_work);
    }
    for (const ContainerInfo& container : engine.list(kInstanceLabel)) {
        const auto label = container.labels.find(std::string{kInstanceLabel});
        if (label == container.labels.end()) continue;
        const InstanceId id{label->second};
        if (container_name(id) != container.name || in_work(id)) continue;
        // Looked up now, not above: it may have been made since.
        const auto instance = catalog.find(id);
        if (instance && instance->state != InstanceState::terminated) continue;
        spdlog::warn("removing container {}: it belongs to no live instance", container.name);
        engine.remove(container.name);
    }
}

}  // namespace warmd
