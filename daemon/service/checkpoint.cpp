#include "daemon/service/checkpoint.h"

#include <spdlog/spdlog.h>

#include <exception>
#include <utility>

#include "daemon/base/error.h"
#include "daemon/service/canary.h"
#include "daemon/service/instance_end.h"
#include "daemon/store/archive_validator.h"

namespace warmd {

namespace {

/// Runs `look`, part of the look at what Podman exports, and says of a refusal what it means.
template <typename Fn>
void look_at_export(Fn&& look)
{
    try {
        std::forward<Fn>(look)();
    } catch (const Error& error) {
        if (error.code() != ErrorCode::invalid_archive) throw;
        throw Error{error.code(), std::string{"what Podman exported is refused: "} + error.what()}
            .with_cause(error.cause())
            .with_hint("something in the container has made files that a restore could put outside of it: remove them");
    }
}

}  // namespace

Checkpoint Checkpoints::of_template(const Template& from, OperationRun& run)
{
    // First: the application need not be started for nothing.
    const auto room = retention_.reserve(from.name, retention_.estimate(from.name));
    Instance source = warm_.run(from, run);
    try {
        source = catalog_.transition(source.id, {InstanceState::idle}, InstanceState::draining,
                                     "it is being checkpointed");
        return dump(source, from, *room, run);
    } catch (const std::exception& error) {
        end_instance_quietly(catalog_, engine_, clock_, source, std::string{"its checkpoint failed: "} + error.what());
        throw;
    }
}

Checkpoint Checkpoints::of_instance(const InstanceId& id, OperationRun& run)
{
    const Template from = templates_.get(catalog_.get(id).template_name);
    const auto room = retention_.reserve(from.name, retention_.estimate(from.name));
    Instance source = catalog_.transition(id, {InstanceState::idle}, InstanceState::draining,
                                          "it is being checkpointed");
    run.set_instance(id);
    if (exec_.busy(id)) {
        catalog_.transition(id, {InstanceState::draining}, InstanceState::idle);
        throw Error{ErrorCode::conflict, "a command runs in instance " + id.value()}.with_hint(
            "wait for its end: processes of an exec are not part of a checkpoint and would be killed");
    }
    try {
        return dump(source, from, *room, run);
    } catch (const std::exception& error) {
        bring_back(source, error.what());
        throw;
    }
}

Checkpoint Checkpoints::dump(Instance& source, const Template& from, Room& room, OperationRun& run)
{
    const auto container = engine_.inspect(source.container.value());
    if (!container || container->status != ContainerStatus::running) {
        throw Error{ErrorCode::conflict, "instance " + source.id.value() + " does not run any more"};
    }
    Checkpoint checkpoint{.id = CheckpointId{new_id(kCheckpointPrefix)},
                          .template_name = from.name,
                          .template_digest = from.digest,
                          .state = CheckpointState::pending,
                          .source = source.id,
                          .image = from.image,
                          .image_id = container->image_id,
                          .agent_socket = source.agent_socket,
                          .created_at = clock_.now(),
                          .environment = host_.ask()};
    run.set_checkpoint(checkpoint.id);  // first: what has no operation is taken for failed
    catalog_.save(checkpoint);
    try {
        export_tarball(checkpoint, source, from, room, run);
    } catch (const std::exception& error) {
        set_failed(checkpoint, error.what());
        catalog_.save(checkpoint);
        throw;
    }
    // The checkpoint stands: what goes wrong from here on is no reason to call it failed.
    run.settle("remove", [&] {
        end_instance_quietly(catalog_, engine_, clock_, source, "it became checkpoint " + checkpoint.id.value());
    });
    retention_.enforce();
    return checkpoint;
}

void Checkpoints::prepare(Checkpoint& checkpoint, const Instance& source, const Template& from, OperationRun& run)
{
    if (!from.before_checkpoint.empty()) {
        run.phase("before_checkpoint",
                  [&] { exec_.run_hooks("before_checkpoint", from.before_checkpoint, source, {}, run.stop()); });
    }
    if (from.verify.canary) {  // last: the copy begins where this ends
        run.phase("canary", [&] { checkpoint.canary = ask_canary(exec_, from, source, run.stop()); });
    }
}

void Checkpoints::export_tarball(Checkpoint& checkpoint, const Instance& source, const Template& from, Room& room,
                                 OperationRun& run)
{
    prepare(checkpoint, source, from, run);
    const std::uint64_t memory = engine_.memory_in_use(source.container).value_or(0);
    retention_.raise(room, from.name, retention_.estimate(from.name, memory));
    StagedTarball staged = store_.stage(checkpoint.id, &room);
    checkpoint.state = CheckpointState::dumping;
    catalog_.save(checkpoint);
    run.phase("export", [&] {
        if (!source.agent_socket.empty()) agent_.quiesce(agent_address(source));
        ArchiveValidator validator{ArchiveOrigin::own};
        CheckpointReport report = engine_.checkpoint(
            source.container, {.timeout = from.checkpoint_timeout},
            [&staged, &validator](std::string_view bytes) {
                staged.write(bytes);
                look_at_export([&] { validator.write(bytes); });
            },
            run.stop());
        look_at_export([&] { validator.finish(); });
        checkpoint.statistics = std::move(report.statistics);
    });
    const auto add_phases = [&] {
        checkpoint.phases = source.phases;
        for (const Phase& phase : run.phases()) {
            const bool ours = phase.name == "before_checkpoint" || phase.name == "export" || phase.name == "publish";
            if (ours) checkpoint.phases.push_back(phase);
        }
    };
    add_phases();  // the manifest tells what can be told before it is written
    checkpoint.available_at = clock_.now();
    run.phase("publish", [&] { staged.publish(checkpoint); });
    checkpoint.available_at.reset();
    add_phases();
    try {
        if (from.verify.restore) try_out(checkpoint, run);
        checkpoint.state = CheckpointState::available;
        checkpoint.available_at = clock_.now();
        catalog_.save(checkpoint);
    } catch (...) {
        store_.remove(checkpoint.id);
        throw;
    }
}

void Checkpoints::try_out(Checkpoint& checkpoint, OperationRun& run)
{
    checkpoint.state = CheckpointState::verifying;
    catalog_.save(checkpoint);
    restore_.try_out(checkpoint, run);
}

void Checkpoints::bring_back(Instance& source, const std::string& reason) noexcept
{
    try {
        auto container = engine_.inspect(source.container.value());
        if (container && container->status == ContainerStatus::exited && container->checkpointed) {
            engine_.resume(source.container, std::chrono::minutes{2});
            container = engine_.inspect(source.container.value());
        }
        if (container && container->status == ContainerStatus::running) {
            catalog_.transition(source.id, {InstanceState::draining}, InstanceState::idle);
            return;
        }
    } catch (const std::exception& error) {
        spdlog::warn("instance_id={} cannot be brought back after a failed checkpoint: {}", source.id.value(),
                     error.what());
    }
    end_instance_quietly(catalog_, engine_, clock_, source, "its checkpoint failed: " + reason);
}

}  // namespace warmd
