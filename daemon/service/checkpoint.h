#pragma once

#include "daemon/base/clock.h"
#include "daemon/catalog/catalog.h"
#include "daemon/ports/container_engine.h"
#include "daemon/service/exec.h"
#include "daemon/service/host_view.h"
#include "daemon/service/operations.h"
#include "daemon/service/restore.h"
#include "daemon/service/templates.h"
#include "daemon/service/warm.h"
#include "daemon/store/tarball_store.h"

namespace warmd {

/// Makes checkpoints: record, dump into the store's scratch directory, publish, try out where the template wants that,
/// commit, and only then remove the source.
class Checkpoints {
public:
    Checkpoints(Catalog& catalog, TarballStore& store, ContainerEngine& engine, AgentChannel& agent, Clock& clock,
                HostView& host, Warm& warm, Exec& exec, Restore& restore, const Templates& templates)
        : catalog_{catalog},
          store_{store},
          engine_{engine},
          agent_{agent},
          clock_{clock},
          host_{host},
          warm_{warm},
          exec_{exec},
          restore_{restore},
          templates_{templates}
    {
    }

    /// Warms the template and dumps the instance. On failure nothing is left but the failed row.
    Checkpoint of_template(const Template& from, OperationRun& run);

    /// Dumps an idle instance, which is terminated by that. On failure it runs on where Podman can resume
    /// it, and is terminated where not. Throws Error{conflict} while a command runs in it.
    Checkpoint of_instance(const InstanceId& id, OperationRun& run);

    /// Deletes row and file. Throws Error{conflict} while it is being made.
    void erase(const CheckpointId& id, OperationRun& run);

    /// Throws Error{conflict} while the checkpoint is being made.
    static void require_erasable(const Checkpoint& checkpoint);

private:
    Checkpoint dump(Instance& source, const Template& from, OperationRun& run);
    void prepare(Checkpoint& checkpoint, const Instance& source, const Template& from, OperationRun& run);
    void export_tarball(Checkpoint& checkpoint, const Instance& source, const Template& from, OperationRun& run);
    void try_out(Checkpoint& checkpoint, OperationRun& run);
    void bring_back(Instance& source, const std::string& reason) noexcept;

    Catalog& catalog_;
    TarballStore& store_;
    ContainerEngine& engine_;
    AgentChannel& agent_;
    Clock& clock_;
    HostView& host_;
    Warm& warm_;
    Exec& exec_;
    Restore& restore_;
    const Templates& templates_;
};

}  // namespace warmd
