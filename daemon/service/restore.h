#pragma once

#include <atomic>
#include <optional>

#include "daemon/base/clock.h"
#include "daemon/base/error.h"
#include "daemon/catalog/catalog.h"
#include "daemon/ports/container_engine.h"
#include "daemon/service/exec.h"
#include "daemon/service/host_view.h"
#include "daemon/service/operations.h"
#include "daemon/service/quarantine.h"
#include "daemon/service/templates.h"
#include "daemon/store/tarball_store.h"

namespace warmd {

struct RestoreOptions {
    /// `linked` or `archive` and no other; nothing: linked where that works, otherwise archive.
    std::optional<InstancePath> path{};
    bool pooled = false;   // see Instance
    bool checked = false;  // that the checkpoint fits this host
};

/// Makes instances from checkpoints.
class Restore {
public:
    Restore(Catalog& catalog, TarballStore& store, ContainerEngine& engine, AgentChannel& agent, Clock& clock,
            HostView& host, Exec& exec, Quarantine& quarantine, const Templates& templates)
        : catalog_{catalog},
          store_{store},
          engine_{engine},
          agent_{agent},
          clock_{clock},
          host_{host},
          exec_{exec},
          quarantine_{quarantine},
          templates_{templates}
    {
    }

    /// Returns an idle instance. On failure no container is left and the instance is terminated with the
    /// reason. Throws Error{conflict} unless the checkpoint is available, Error{corrupt} when its tarball is
    /// not what the catalog says, and then it is quarantined and the engine has seen nothing of it;
    /// Error{incompatible_host} when it does not fit this host.
    Instance run(const CheckpointId& id, const RestoreOptions& options, OperationRun& run);

    /// Restores a copy of a checkpoint, available or not yet, asks the template's canary in it and ends it. Throws
    /// what `run` throws, and Error{corrupt} when the canary answers otherwise than before the dump.
    void try_out(const Checkpoint& checkpoint, OperationRun& run);

    /// Throws Error{conflict} unless the checkpoint is available.
    static void require_available(const Checkpoint& checkpoint);

private:
    Instance draft(const Checkpoint& checkpoint, bool pooled);
    void import(const Checkpoint& checkpoint, std::optional<InstancePath> path, Instance& instance, OperationRun& run);
    /// Why it failed, if in a way in which the archive may not.
    std::optional<ErrorCode> restore_linked(const Checkpoint& checkpoint, bool or_fail, const RestoreSpec& spec,
                                            Instance& instance, OperationRun& run);
    std::unique_ptr<UnpackedImages::Hold> hold_images(const Checkpoint& checkpoint, const std::string& hostname,
                                                      OperationRun& run);
    void restore_archive(const Checkpoint& checkpoint, const RestoreSpec& spec, Instance& instance, OperationRun& run);
    /// Podman's success means that CRIU ended well. A process whose system call was interrupted by the dump may have
    /// ended since.
    void require_running(const Instance& instance);
    /// Makes the instance different from its twins, then runs the template's hooks.
    void make_unique(const Template& from, const Instance& instance, OperationRun& run);

    Catalog& catalog_;
    TarballStore& store_;
    ContainerEngine& engine_;
    AgentChannel& agent_;
    Clock& clock_;
    HostView& host_;
    Exec& exec_;
    Quarantine& quarantine_;
    const Templates& templates_;
    /// Cleared when a linked restore failed and the tarball of the same checkpoint could be restored: then it is not
    /// the checkpoint, but this Podman.
    std::atomic<bool> linked_works_ = true;
};

}  // namespace warmd
