#pragma once

#include "daemon/base/clock.h"
#include "daemon/catalog/catalog.h"
#include "daemon/ports/container_engine.h"
#include "daemon/service/exec.h"
#include "daemon/service/host_view.h"
#include "daemon/service/operations.h"
#include "daemon/service/restore.h"
#include "daemon/service/retention.h"
#include "daemon/service/templates.h"
#include "daemon/service/warm.h"
#include "daemon/store/tarball_store.h"

namespace warmd {

/// Makes checkpoints: find the space, record, dump into the store's scratch directory, publish, try out where the
/// template wants that, commit, and only then remove the source and what need not be kept any more. Throws
/// Error{no_space} where space cannot be found.
class Checkpoints {
public:
    Checkpoints(Catalog& catalog, TarballStore& store, ContainerEngine& engine, AgentChannel& agent, Clock& clock,
                HostView& host, Warm& warm, Exec& exec, Restore& restore, Retention& retention,
                const Templates& templates)
        : catalog_{catalog},
          store_{store},
          engine_{engine},
          agent_{agent},
          clock_{clock},
          host_{host},
          warm_{warm},
          exec_{exec},
          restore_{restore},
          retention_{retention},
          templates_{templates}
    {
    }

    /// Warms the template and dumps the instance. On failure nothing is left but the failed row.
    Checkpoint of_template(const Template& from, OperationRun& run);

    /// Dumps an idle instance, which is terminated by that. On failure it runs on where Podman can resume
    /// it, and is terminated where not. Throws Error{conflict} while a command runs in it.
    Checkpoint of_instance(const InstanceId& id, OperationRun& run);

private:
    using Room = SpaceLedger::Reservation;

    Checkpoint dump(Instance& source, const Template& from, Room& room, OperationRun& run);
    void prepare(Checkpoint& checkpoint, const Instance& source, const Template& from, OperationRun& run);
    void export_tarball(Checkpoint& checkpoint, const Instance& source, const Template& from, Room& room,
                        OperationRun& run);
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
    Retention& retention_;
    const Templates& templates_;
};

}  // namespace warmd
