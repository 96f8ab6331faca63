#include "daemon/service/recovery.h"

#include <spdlog/spdlog.h>

#include <exception>
#include <string>

#include "daemon/base/error.h"
#include "daemon/service/instance_end.h"

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

/// A state that only an operation leads out of.
bool is_passing(CheckpointState state)
{
    switch (state) {
    case CheckpointState::pending:
    case CheckpointState::dumping:
    case CheckpointState::verifying:
    case CheckpointState::deleting: return true;
    case CheckpointState::available:
    case CheckpointState::failed:
    case CheckpointState::quarantined: return false;
    }
    return false;
}

void recover_checkpoint(Catalog& catalog, TarballStore& store, Checkpoint checkpoint)
{
    switch (checkpoint.state) {
    case CheckpointState::pending:
    case CheckpointState::dumping:
    case CheckpointState::verifying:
        store.remove(checkpoint.id);
        checkpoint.state = CheckpointState::failed;
        checkpoint.reason = "what made it was interrupted";
        catalog.save(checkpoint);
        break;
    case CheckpointState::deleting:
        store.remove(checkpoint.id);
        catalog.erase(checkpoint.id);
        break;
    case CheckpointState::available: try { static_cast<void>(store.open(checkpoint.id, checkpoint.size_bytes));
        } catch (const Error& error) {
            spdlog::error("checkpoint_id={} quarantined: {}", checkpoint.id.value(), error.what());
            checkpoint.state = CheckpointState::quarantined;
            checkpoint.reason = error.what();
            catalog.save(checkpoint);
        }
        break;
    case CheckpointState::failed:
    case CheckpointState::quarantined: break;
    }
}

}  // namespace

void recover_catalog(Catalog& catalog, TarballStore& store, const Clock& clock)
{
    store.sweep();
    recover_operations(catalog, clock);
    for (const Checkpoint& checkpoint : catalog.checkpoints(Page::all()))
        recover_checkpoint(catalog, store, checkpoint);
    store.unpacked().keep_only([&catalog](const CheckpointId& id) {
        const auto checkpoint = catalog.find(id);
        return checkpoint && checkpoint->state == CheckpointState::available;
    });
    for (const CheckpointId& id : store.list()) {
        if (!catalog.find(id)) spdlog::warn("{} has no row in the catalog; left alone", store.path_of(id).string());
    }
}

void reconcile_checkpoints(Catalog& catalog, TarballStore& store,
                           const std::function<bool(const CheckpointId&)>& in_work)
{
    for (const Checkpoint& listed : catalog.checkpoints(Page::all())) {
        if (!is_passing(listed.state) || in_work(listed.id)) continue;
        // Read after `in_work`: an operation that has just ended has left it as it should be.
        const auto checkpoint = catalog.find(listed.id);
        if (!checkpoint || !is_passing(checkpoint->state)) continue;
        spdlog::warn("checkpoint_id={} was left {}", listed.id.value(), to_string(checkpoint->state));
        try {
            recover_checkpoint(catalog, store, *checkpoint);
        } catch (const std::exception& error) {
            spdlog::warn("checkpoint_id={} cannot be mended yet: {}", listed.id.value(), error.what());
        }
    }
}

void reconcile_instances(Catalog& catalog, ContainerEngine& engine, const Clock& clock,
                         const std::function<bool(const InstanceId&)>& in_work)
{
    for (const Instance& listed : catalog.instances(Page::all())) {
        // The row is read after `in_work`, because an operation that has just ended has left it as it should
        // be; and both are asked again after the engine, because one may have begun meanwhile.
        if (in_work(listed.id)) continue;
        const auto before = catalog.find(listed.id);
        if (!before || before->state == InstanceState::terminated) continue;
        const auto container = engine.inspect(container_name(listed.id));
        const bool runs = container && container->status == ContainerStatus::running;
        const bool finished = is_usable(before->state);
        if (runs && finished) continue;
        auto instance = catalog.find(listed.id);
        if (in_work(listed.id) || !instance || instance->state != before->state) continue;
        const std::string reason = finished ? "its container has ended" : "what made or ended it was interrupted";
        spdlog::warn("instance_id={} terminated: {}", instance->id.value(), reason);
        end_instance(catalog, engine, clock, *instance, reason);
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
