#pragma once

#include "daemon/base/clock.h"
#include "daemon/catalog/catalog.h"
#include "daemon/ports/container_engine.h"
#include "daemon/service/exec.h"
#include "daemon/service/operations.h"
#include "daemon/service/templates.h"
#include "daemon/store/tarball_store.h"

namespace warmd {

/// Makes instances from checkpoints.
class Restore {
public:
    Restore(Catalog& catalog, TarballStore& store, ContainerEngine& engine, AgentChannel& agent, Clock& clock,
            Exec& exec, const Templates& templates)
        : catalog_{catalog},
          store_{store},
          engine_{engine},
          agent_{agent},
          clock_{clock},
          exec_{exec},
          templates_{templates}
    {
    }

    /// Returns an idle instance. On failure no container is left and the instance is terminated with the
    /// reason. Throws Error{conflict} unless the checkpoint is available, Error{corrupt} when its tarball is
    /// not what the catalog says, Error{not_found} when its image has left local storage.
    Instance run(const CheckpointId& id, OperationRun& run);

    /// Throws Error{conflict} unless the checkpoint is available.
    static void require_available(const Checkpoint& checkpoint);

private:
    void import(const Checkpoint& checkpoint, Instance& instance, OperationRun& run);
    /// Makes the instance different from its twins, then runs the template's hooks.
    void make_unique(const Template& from, const Instance& instance, OperationRun& run);

    Catalog& catalog_;
    TarballStore& store_;
    ContainerEngine& engine_;
    AgentChannel& agent_;
    Clock& clock_;
    Exec& exec_;
    const Templates& templates_;
};

}  // namespace warmd
