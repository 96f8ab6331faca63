#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "daemon/base/clock.h"
#include "daemon/model/checkpoint.h"
#include "daemon/model/retention.h"

namespace warmd {

/// All that decides whether a checkpoint goes.
struct StoredCheckpoint {
    CheckpointId id;
    TemplateName template_name;
    CheckpointState state = CheckpointState::available;
    std::uint64_t bytes = 0;  // of its tarball
    Time created_at;
    std::optional<Time> used_at;
    bool pinned = false;
    bool in_use = false;   // a live instance came from it, or an operation works on it
    bool current = false;  // made of its template as that is now
    bool fits = true;      // could be restored on this host
};

struct RetentionSituation {
    std::vector<StoredCheckpoint> checkpoints;
    std::map<TemplateName, RetentionPolicy> policies;
    RetentionPolicy all;  // binds the checkpoints of all templates together; its ttl, those whose template has none
    /// One that is being made: the bounds are kept with it.
    struct Incoming {
        TemplateName template_name;
        std::uint64_t bytes = 0;
    };
    std::optional<Incoming> incoming;
    /// Set by a prune: what failed or is quarantined goes, too, and of each template all but so many.
    std::optional<int> keep;
    Time now;
};

/// Which checkpoints go, newest first, and why. Whatever the bounds say, these stay:
///  - what is being made or deleted, is pinned, or is in use;
///  - of each template the best available one: the newest of its present form that fits this host (which is what pools
///    and restores take), or else the newest of its present form, or else the newest. Neither its age nor its size is a
///    reason to delete it: the next job would start cold.
/// Of the others go, in this order and for the first reason that holds: what a prune is for; what has expired; what is
/// beyond max_count, the oldest; and while max_total_bytes is exceeded the quarantined, then those used longest ago.
/// The bounds of a template come before those of all.
std::vector<Deletion> plan_retention(const RetentionSituation& situation);

}  // namespace warmd
