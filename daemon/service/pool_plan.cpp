#include "daemon/service/pool_plan.h"

#include <algorithm>

namespace warmd {

namespace {

const char* reason_to_retire(const PoolSituation& pool, const IdleInstance& instance, int others)
{
    // What runs is as good as ever, though it could not be restored once more.
    const bool of_newest = !pool.newest.empty() && instance.checkpoint == pool.newest;
    if (instance.checkpoint != pool.checkpoint && !of_newest) return "its pool has a newer checkpoint, or none";
    const auto age = pool.now - instance.since;
    const PoolPolicy& policy = pool.policy;
    if (policy.max_lifetime > Duration::zero() && age >= policy.max_lifetime)
        return "it stood in its pool for too long";
    if (others + pool.leased + pool.filling >= policy.max_size) return "its pool has become smaller";
    const bool spare = others >= policy.min_idle;
    if (spare && policy.idle_ttl > Duration::zero() && age >= policy.idle_ttl) return "its pool has more than it needs";
    return nullptr;
}

}  // namespace

PoolPlan plan_pool(const PoolSituation& pool)
{
    PoolPlan plan;
    int idle = static_cast<int>(pool.idle.size());
    for (const IdleInstance& instance : pool.idle) {
        if (const char* const reason = reason_to_retire(pool, instance, idle - 1)) {
            plan.retire.push_back({instance.id, reason});
            --idle;
        }
    }
    const int room = pool.policy.max_size - idle - pool.leased - pool.filling;
    const int ready = idle + pool.filling;
    if (!pool.checkpoint.empty() && pool.can_restore) {
        plan.restore = std::clamp(pool.policy.min_idle + pool.waiting - ready, 0, std::max(room, 0));
    } else {
        plan.start = std::clamp(pool.waiting_cold - ready, 0, std::max(room, 0));
    }
    return plan;
}

}  // namespace warmd
