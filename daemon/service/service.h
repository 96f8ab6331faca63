#pragma once

#include <atomic>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "daemon/base/clock.h"
#include "daemon/base/error.h"
#include "daemon/catalog/catalog.h"
#include "daemon/host/doctor.h"
#include "daemon/host/primer.h"
#include "daemon/host/probe.h"
#include "daemon/ports/container_engine.h"
#include "daemon/ports/registry.h"
#include "daemon/service/checkpoint.h"
#include "daemon/service/distribution.h"
#include "daemon/service/exec.h"
#include "daemon/service/host_view.h"
#include "daemon/service/integrity.h"
#include "daemon/service/metrics.h"
#include "daemon/service/operations.h"
#include "daemon/service/pools.h"
#include "daemon/service/quarantine.h"
#include "daemon/service/request_keys.h"
#include "daemon/service/restore.h"
#include "daemon/service/retention.h"
#include "daemon/service/rewarm.h"
#include "daemon/service/status.h"
#include "daemon/service/templates.h"
#include "daemon/service/transfer.h"
#include "daemon/service/warm.h"
#include "daemon/store/tarball_store.h"

namespace warmd {

struct ServiceOptions {
    int operation_workers = 4;
    int operation_queue = 64;
    int history = 1000;
    PoolOptions pools;
    RetentionPolicy retention;  // of all templates together
    std::uint64_t space_margin = RetentionOptions{}.margin;
    std::filesystem::path agent;   // see Probe
    std::filesystem::path primed;  // see Primer; empty: nothing is primed
    DoctorOptions doctor;
    Duration verify_every = Duration::zero();  // see Integrity
    std::string damaged_catalog;               // where the damaged catalog is that this one takes the place of
    TrustOptions trust;
    Registry* registry = nullptr;  // must outlive the service; null: nothing is shared
};

struct RestoreRequest {
    std::optional<InstancePath> path{};  // see RestoreOptions
    bool force = false;                  // though the checkpoint does not fit this host
};

/// One thing that this service needs.
struct ReadinessCheck {
    std::string name;            // podman, catalog, store, recovered
    std::optional<Error> error;  // none: ok
};

/// Everything that the API can ask for. Long actions are checked as far as that is quick (does it exist, is
/// it in the right state), then queued: the returned operation tells the rest. Thread-safe.
class Service {
public:
    /// All must outlive this. Runs the part of recovery that needs no engine.
    Service(Catalog& catalog, TarballStore& store, ContainerEngine& engine, AgentChannel& agent, Clock& clock,
            Templates templates, ServiceOptions options = {});
    /// As `shut_down`.
    ~Service() { shut_down(); }
    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;

    /// Does the other part, if Podman answers; logs when it does not. Until it was done once, long actions
    /// are Error{unavailable}.
    void reconcile() noexcept;

    /// Repeats `reconcile`: soon while Podman does not answer, then every half minute, and at once for an instance
    /// whose container Podman says has ended. Before that, once per boot, lets the primer go first; pools begin to fill
    /// after it. Returns when `stop` is requested.
    void maintain(std::stop_token stop);

    /// See Integrity::keep.
    void keep_intact(std::stop_token stop) { integrity_.keep(std::move(stop)); }

    /// Stops all operations and waits for their ends. Instances and leases live on.
    void shut_down();

    [[nodiscard]] const Templates& templates() const { return templates_; }
    [[nodiscard]] const Catalog& catalog() const { return catalog_; }
    [[nodiscard]] Operations& operations() { return operations_; }
    [[nodiscard]] Exec& exec() { return exec_; }
    [[nodiscard]] Pools& pools() { return pools_; }
    [[nodiscard]] Metrics& metrics() { return metrics_; }
    [[nodiscard]] RequestKeys& keys() { return keys_; }
    [[nodiscard]] const Transfer& transfer() const { return transfer_; }
    [[nodiscard]] const HostView& host() const { return host_; }
    [[nodiscard]] Integrity& integrity() { return integrity_; }

    /// `key`, here and below: of the request that asks for it, see RequestKeys.
    Operation warm(const TemplateName& name, const std::optional<RequestKey>& key = std::nullopt);
    Operation checkpoint(const TemplateName& name, const std::optional<RequestKey>& key = std::nullopt);
    Operation checkpoint(const InstanceId& id, const std::optional<RequestKey>& key = std::nullopt);
    /// Throws Error{incompatible_host} for one that does not fit this host, after a call to the engine.
    Operation restore(const CheckpointId& id, const RestoreRequest& how = {},
                      const std::optional<RequestKey>& key = std::nullopt);
    /// Of the newest available checkpoint of the template as it is now, and of the one before that when its tarball
    /// turns out to be damaged (one that was made before the template was
    /// changed is restored only by its id) that fits this host. Where none does it throws as `restore`, and a new one
    /// is made if the template allows that.
    Operation restore_newest(const TemplateName& name, const RestoreRequest& how = {},
                             const std::optional<RequestKey>& key = std::nullopt);
    Operation terminate(const InstanceId& id);
    Operation delete_checkpoint(const CheckpointId& id);
    /// Of the checkpoint that lies as `name` in the directory for imports. Throws as Transfer::receive.
    Operation import_checkpoint(const std::string& name, const std::optional<RequestKey>& key = std::nullopt);
    /// `by_restore`: see Integrity::verify.
    /// To the registry. Throws as Distribution::require_registry, and Error{conflict} unless it is available.
    Operation push_checkpoint(const CheckpointId& id, const std::optional<RequestKey>& key = std::nullopt);
    /// From the registry, the newest that fits: see Distribution::pull.
    Operation pull_checkpoint(const TemplateName& name, const std::optional<RequestKey>& key = std::nullopt);
    Operation verify_checkpoint(const CheckpointId& id, bool by_restore,
                                const std::optional<RequestKey>& key = std::nullopt);
    /// Throws as Catalog::set_pinned.
    Checkpoint set_pinned(const CheckpointId& id, bool pinned) { return catalog_.set_pinned(id, pinned); }

    /// What `prune` would delete now.
    [[nodiscard]] std::vector<Deletion> plan_prune(const PruneRequest& request) const
    {
        return retention_.plan(request);
    }
    /// Deletes it. The operation says what has gone.
    Operation prune(const PruneRequest& request, const std::optional<RequestKey>& key = std::nullopt);
    /// What takes the store's space. Looks at every unpacked file.
    [[nodiscard]] StoreUsage usage() const { return retention_.usage(); }

    /// The last `lines` lines of the instance's application. Throws Error{conflict} for a terminated one.
    std::string logs(const InstanceId& id, int lines);

    /// Quick, and never behind a change that waits for the disk: see StatusBoard.
    [[nodiscard]] ServiceStatus status() const;
    /// What Metrics::text shows beside its own.
    [[nodiscard]] Levels levels(const std::string& version) const;
    /// Looks at all that warmd needs of this machine: see Doctor::examine.
    DoctorReport doctor(const std::stop_token& stop) { return doctor_.examine(stop); }
    /// Asks Podman, reads the catalog, looks at the disk. What is not ok keeps this service from doing its work.
    std::vector<ReadinessCheck> readiness();

private:
    void share(const Checkpoint& made);
    void obtain_missing();
    void follow_engine(const std::stop_token& stop);
    [[nodiscard]] bool works_on(const InstanceId& id) const;
    void record(const Operation& ended) noexcept;
    void require_recovered() const;
    Operation start_restore(const Checkpoint& checkpoint, const RestoreRequest& how,
                            const std::optional<RequestKey>& key);
    /// The next one that the template could be restored from.
    std::optional<Checkpoint> next_best(const Template& from);
    void require_fit(const Checkpoint& checkpoint, bool force);
    Operation submit(Operation draft, Operations::Work work, const std::optional<RequestKey>& key = std::nullopt);

    Catalog& catalog_;
    TarballStore& store_;
    ContainerEngine& engine_;
    Clock& clock_;
    const Templates templates_;
    const ServiceOptions options_;
    const Time started_at_;
    std::atomic<bool> recovered_ = false;
    CatalogRebuild rebuild_;

    Probe probe_;
    Primer primer_;
    Doctor doctor_;
    Metrics metrics_;
    RequestKeys keys_;
    Exec exec_;
    HostView host_;
    Warm warm_;
    Quarantine quarantine_;
    Retention retention_;
    Restore restore_;
    Checkpoints checkpoints_;
    Integrity integrity_;
    Transfer transfer_;
    Distribution distribution_;
    Rewarm rewarm_;
    Pools pools_;
    StatusBoard board_;
    Operations operations_;  // last: its threads use all of the above
};

}  // namespace warmd
