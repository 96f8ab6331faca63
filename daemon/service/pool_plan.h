#pragma once

#include <optional>
#include <vector>

#include "daemon/base/clock.h"
#include "daemon/base/id.h"
#include "daemon/model/pool.h"

namespace warmd {

/// An instance that stands in a pool.
struct IdleInstance {
    InstanceId id;
    CheckpointId checkpoint;  // restored from; empty for one that was started
    SteadyTime since;
};

/// All that decides what a pool does next.
struct PoolSituation {
    PoolPolicy policy;
    CheckpointId checkpoint;         // what to fill from; empty: there is none
    CheckpointId newest;             // may be another, which does not fit this host any more
    std::vector<IdleInstance> idle;  // oldest first
    int leased = 0;
    int filling = 0;          // being restored or started
    int waiting = 0;          // requests for a lease
    int waiting_cold = 0;     // those of them that would have the application started
    bool can_restore = true;  // false while the last failure is recent
    SteadyTime now;
};

struct PoolPlan {
    struct Retirement {
        InstanceId id;
        const char* reason;
    };
    std::vector<Retirement> retire;
    int restore = 0;  // how many more to restore
    int start = 0;    // how many more to start cold
};

/// What to do. Retired instances count as gone.
PoolPlan plan_pool(const PoolSituation& situation);

}  // namespace warmd
