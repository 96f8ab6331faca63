#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "daemon/base/clock.h"
#include "daemon/base/guarded.h"
#include "daemon/catalog/catalog.h"
#include "daemon/model/pool.h"
#include "daemon/model/priming.h"
#include "daemon/service/pools.h"
#include "daemon/store/tarball_store.h"

namespace warmd {

/// What was made again when warmd started, because the catalog was lost in whole or in part.
struct CatalogRebuild {
    int checkpoints = 0;  // from their manifests
    std::string damaged;  // where the damaged catalog is now; empty where there was none
};

/// The daemon in numbers.
struct ServiceStatus {
    Time started_at;
    bool recovered = false;
    Priming priming;
    CatalogRebuild rebuild;
    int templates = 0;
    int operations_active = 0;
    int instances = 0;  // with a container
    int leases_active = 0;
    std::vector<PoolStatus> pools;
    int checkpoints_available = 0;
    std::uint64_t checkpoint_bytes = 0;
    StoreSpace store;
    std::int64_t last_event = 0;  // the numbers are of then or later
};

/// Counts what the catalog, the pools and the store hold, for many who ask often. What has events is counted again
/// after an event; pools at most every tenth of a second, the disk every second. One caller at a time counts, and may
/// wait for the catalog's disk; the others meanwhile get what was counted before. Thread-safe.
class StatusBoard {
public:
    StatusBoard(const Catalog& catalog, const TarballStore& store, const Pools& pools)
        : catalog_{catalog}, store_{store}, pools_{pools}
    {
    }

    /// The members from `instances` on. Throws what the catalog and the store throw.
    ServiceStatus read() const;

private:
    struct Snapshot {
        ServiceStatus status;
        SteadyTime pools_at;
        SteadyTime disk_at;
    };
    using Shared = std::shared_ptr<const Snapshot>;
    [[nodiscard]] bool is_fresh(const Snapshot& snapshot, SteadyTime now) const;
    [[nodiscard]] Shared count(const Snapshot* before, SteadyTime now) const;

    const Catalog& catalog_;
    const TarballStore& store_;
    const Pools& pools_;
    mutable std::mutex counting_;
    mutable Guarded<Shared> snapshot_;
};

}  // namespace warmd
