#include "daemon/service/restore.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <utility>

#include "daemon/base/error.h"
#include "daemon/base/file_io.h"
#include "daemon/base/scope_exit.h"
#include "daemon/base/text.h"
#include "daemon/service/canary.h"
#include "daemon/service/instance_end.h"
#include "daemon/service/secrets.h"

namespace warmd {

namespace {

ByteSource read_all_of(const UniqueFd& file)
{
    return [&file](std::span<char> buffer) { return read_some(file, buffer, "read the tarball", ErrorCode::corrupt); };
}

}  // namespace

void Restore::require_available(const Checkpoint& checkpoint)
{
    if (checkpoint.state == CheckpointState::available) return;
    throw Error{ErrorCode::conflict, "checkpoint " + checkpoint.id.value() + " is " +
                                         std::string{to_string(checkpoint.state)} +
                                         (checkpoint.reason.empty() ? "" : ": " + checkpoint.reason)}
        .with_hint("GET /v1/checkpoints lists those that are available");
}

Instance Restore::run(const CheckpointId& id, const RestoreOptions& options, OperationRun& run)
{
    const Checkpoint checkpoint = catalog_.get(id);
    require_available(checkpoint);
    if (!options.checked) host_.require(checkpoint, /*force=*/false);
    Instance instance = draft(checkpoint, options.pooled);
    run.set_instance(instance.id);  // first: what has no operation is swept
    catalog_.begin_restore(instance);
    try {
        import(checkpoint, options.path, instance, run);
    } catch (const std::exception& error) {
        host_.doubt();
        end_instance_quietly(catalog_, engine_, clock_, instance, std::string{"its restore failed: "} + error.what());
        throw;
    }
    instance.state = InstanceState::idle;
    instance.phases = run.phases();
    catalog_.save(instance);
    return instance;
}

void Restore::try_out(const Checkpoint& checkpoint, OperationRun& run)
{
    const Template from = templates_.get_or_defaults(checkpoint.template_name);
    Instance copy = draft(checkpoint, /*pooled=*/false);  // which nobody can use: it never becomes idle
    run.add_helper(copy.id);
    catalog_.save(copy);
    const std::string reason = "checkpoint " + checkpoint.id.value() + " was tried out with it";
    const ScopeExit end{[&]() noexcept { end_instance_quietly(catalog_, engine_, clock_, copy, reason); }};
    import(checkpoint, std::nullopt, copy, run);
    if (!from.verify.canary) return;
    run.phase("canary", [&] { require_same_answer(exec_, from, checkpoint, copy, run.stop()); });
}

Instance Restore::draft(const Checkpoint& checkpoint, bool pooled)
{
    return {.id = InstanceId{new_id(kInstancePrefix)},
            .template_name = checkpoint.template_name,
            .state = InstanceState::restoring,
            .origin = Origin::restore,
            .pooled = pooled,
            .checkpoint = checkpoint.id,
            .agent_socket = checkpoint.agent_socket,
            .created_at = clock_.now()};
}

void Restore::import(const Checkpoint& checkpoint, std::optional<InstancePath> path, Instance& instance,
                     OperationRun& run)
{
    const Template from = templates_.get_or_defaults(checkpoint.template_name);
    const RestoreSpec spec{.name = container_name(instance.id),
                           .labels = container_labels(instance),
                           .hostname = from.hostname.empty() ? instance.id.value() : std::string{},
                           .timeout = from.restore_timeout};
    // Damage is told, whatever the cache holds.
    quarantine_.guard(checkpoint.id, [&] { static_cast<void>(store_.open(checkpoint.id, checkpoint.size_bytes)); });
    const bool try_linked = path ? path == InstancePath::linked : linked_works_.load();
    const auto failure = try_linked ? restore_linked(checkpoint, path.has_value(), spec, instance, run) : std::nullopt;
    if (!try_linked || failure) restore_archive(checkpoint, spec, instance, run);
    if (failure == ErrorCode::engine_failed && linked_works_.exchange(false)) {
        spdlog::warn("linked restores do not work with this Podman: none is tried until warmd starts anew");
    }
    run.phase("verify", [&] { require_running(instance); });
    make_unique(from, instance, run);
}

std::optional<ErrorCode> Restore::restore_linked(const Checkpoint& checkpoint, bool or_fail, const RestoreSpec& spec,
                                                 Instance& instance, OperationRun& run)
{
    try {
        const auto images = hold_images(checkpoint, spec.hostname, run);
        run.phase("restore", [&] {
            instance.container = engine_.restore(read_all_of(images->linked_tarball()), spec, run.stop());
        });
        instance.path = InstancePath::linked;
        return std::nullopt;
    } catch (const Error& error) {
        const bool other_way = error.code() == ErrorCode::engine_failed || error.code() == ErrorCode::no_space ||
                               error.code() == ErrorCode::unsupported_media;
        if (or_fail || !other_way) throw;
        spdlog::warn("checkpoint_id={} cannot be restored linked, falling back to its tarball: {} ({})",
                     checkpoint.id.value(), error.what(), error.cause());
        return error.code();
    }
}

std::unique_ptr<UnpackedImages::Hold> Restore::hold_images(const Checkpoint& checkpoint, const std::string& hostname,
                                                           OperationRun& run)
{
    UnpackedImages& unpacked = store_.unpacked();
    if (auto images = unpacked.open(checkpoint.id, checkpoint.sha256, hostname)) return images;
    run.phase("unpack", [&] {
        quarantine_.guard(checkpoint.id, [&] {
            const UniqueFd tarball = store_.open(checkpoint.id, checkpoint.size_bytes);
            const ByteSource read = read_all_of(tarball);
            const auto checked_read = [&](std::span<char> buffer) {
                run.check();
                return read(buffer);
            };
            unpacked.unpack(checkpoint.id, checkpoint.sha256, checked_read, [&run](std::uint64_t) { run.check(); });
        });
    });
    if (auto images = unpacked.open(checkpoint.id, checkpoint.sha256, hostname)) return images;
    throw Error{ErrorCode::no_space, "the images of checkpoint " + checkpoint.id.value() + " were dropped at once"};
}

void Restore::restore_archive(const Checkpoint& checkpoint, const RestoreSpec& spec, Instance& instance,
                              OperationRun& run)
{
    const UniqueFd tarball = run.phase("check", [&] {
        return quarantine_.guard(
            checkpoint.id, [&] { return store_.open_verified(checkpoint, [&run](std::uint64_t) { run.check(); }); });
    });
    run.phase("restore", [&] { instance.container = engine_.restore(read_all_of(tarball), spec, run.stop()); });
    instance.path = InstancePath::archive;
}

void Restore::require_running(const Instance& instance)
{
    const auto container = engine_.inspect(instance.container.value());
    if (container && container->status == ContainerStatus::running) return;
    throw Error{ErrorCode::not_ready, "the application ended at once after the restore"}.with_cause(
        container ? "it exited with " + std::to_string(container->exit_code) +
                        "; its last words: " + printable(engine_.logs(instance.container, 20))
                  : "the container is gone");
}

void Restore::make_unique(const Template& from, const Instance& instance, OperationRun& run)
{
    if (!instance.agent_socket.empty()) {
        run.phase("resume", [&] {
            agent_.resumed(agent_address(instance), from.hostname.empty() ? instance.id.value() : from.hostname, {});
        });
    }
    if (from.after_restore.empty()) return;
    run.phase("after_restore", [&] {
        exec_.run_hooks("after_restore", from.after_restore, instance, read_secrets(from, SecretUse::exec), run.stop());
    });
}

}  // namespace warmd
