#pragma once

#include <string>

#include "daemon/base/clock.h"
#include "daemon/base/id.h"

namespace warmd {

/// How many instances of a template stand ready. Pools are filled from the newest checkpoint of the template as it is.
struct PoolPolicy {
    int min_idle = 0;                                // kept ready; 0: no pool
    int max_size = 4;                                // idle, leased and being made, together
    Duration idle_ttl = std::chrono::minutes{10};    // idle ones above min_idle end after this; zero: never
    Duration max_lifetime = std::chrono::hours{24};  // idle ones are replaced after this; zero: never
    bool frozen = false;                             // idle ones get no CPU time
};

/// A pool as it is now.
struct PoolStatus {
    TemplateName template_name;
    PoolPolicy policy;
    CheckpointId checkpoint;  // what it is filled from; empty: there is none
    int idle = 0;
    int leased = 0;
    int filling = 0;        // being restored
    int draining = 0;       // on their way out
    int waiting = 0;        // requests for a lease
    std::string held_back;  // why it is not filled further; empty: it is full, or being filled
};

}  // namespace warmd
