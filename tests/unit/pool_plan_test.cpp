#include "daemon/service/pool_plan.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <vector>

namespace warmd {
namespace {

using namespace std::chrono_literals;

const CheckpointId kCurrent{"ckpt-current"};
const CheckpointId kOld{"ckpt-old"};
constexpr SteadyTime kNow = SteadyTime{} + 100h;

PoolSituation situation(int min_idle, int max_size)
{
    PoolSituation pool;
    pool.policy = {.min_idle = min_idle, .max_size = max_size};
    pool.checkpoint = kCurrent;
    pool.now = kNow;
    return pool;
}

/// Idle instances of these ages, named i0, i1 and so on.
std::vector<IdleInstance> idle(std::initializer_list<Duration> ages, const CheckpointId& checkpoint = kCurrent)
{
    std::vector<IdleInstance> instances;
    for (const Duration age : ages) {
        IdleInstance instance;
        instance.id = InstanceId{"i" + std::to_string(instances.size())};
        instance.checkpoint = checkpoint;
        instance.since = kNow - age;
        instances.push_back(instance);
    }
    return instances;
}

std::vector<std::string> retired(const PoolPlan& plan)
{
    std::vector<std::string> ids;
    for (const auto& retirement : plan.retire) ids.push_back(retirement.id.value());
    return ids;
}

using Ids = std::vector<std::string>;

TEST(PoolPlan, KeepsWhatRunsOfTheNewestCheckpointThoughThatCannotBeRestoredAnyMore)
{
    PoolSituation pool = situation(3, 4);
    pool.newest = kCurrent;
    pool.idle = idle({1s, 2s});
    for (const CheckpointId& fitting : {CheckpointId{}, kOld}) {
        pool.checkpoint = fitting;
        EXPECT_EQ(retired(plan_pool(pool)), Ids{});
        EXPECT_EQ(plan_pool(pool).restore, fitting.empty() ? 0 : 1);
    }
    pool.idle = idle({1s}, CheckpointId{"ckpt-older-still"});
    EXPECT_EQ(retired(plan_pool(pool)), Ids{"i0"});
}

TEST(PoolPlan, FillsUpToMinIdleAndWaitersWithinMaxSize)
{
    struct Case {
        int min_idle, max_size, idle, leased, filling, waiting;
        int restore;
    };
    for (const Case& c : std::initializer_list<Case>{
             {.min_idle = 0, .max_size = 4, .idle = 0, .leased = 0, .filling = 0, .waiting = 0, .restore = 0},
             {.min_idle = 2, .max_size = 4, .idle = 0, .leased = 0, .filling = 0, .waiting = 0, .restore = 2},
             {.min_idle = 2, .max_size = 4, .idle = 1, .leased = 0, .filling = 0, .waiting = 0, .restore = 1},
             {.min_idle = 2, .max_size = 4, .idle = 1, .leased = 0, .filling = 1, .waiting = 0, .restore = 0},
             {.min_idle = 2, .max_size = 4, .idle = 3, .leased = 0, .filling = 1, .waiting = 0, .restore = 0},
             {.min_idle = 0, .max_size = 4, .idle = 0, .leased = 0, .filling = 0, .waiting = 3, .restore = 3},
             {.min_idle = 0, .max_size = 4, .idle = 0, .leased = 0, .filling = 2, .waiting = 3, .restore = 1},
             {.min_idle = 1, .max_size = 9, .idle = 0, .leased = 0, .filling = 0, .waiting = 3, .restore = 4},
             {.min_idle = 2, .max_size = 4, .idle = 0, .leased = 3, .filling = 0, .waiting = 0, .restore = 1},
             {.min_idle = 2, .max_size = 4, .idle = 0, .leased = 4, .filling = 0, .waiting = 5, .restore = 0},
             {.min_idle = 0, .max_size = 4, .idle = 0, .leased = 2, .filling = 1, .waiting = 7, .restore = 1},
             // Smaller than it was: what is there stays, and nothing is added.
             {.min_idle = 2, .max_size = 2, .idle = 0, .leased = 5, .filling = 0, .waiting = 1, .restore = 0}}) {
        PoolSituation pool = situation(c.min_idle, c.max_size);
        for (int i = 0; i < c.idle; ++i) pool.idle.push_back(idle({1s}).front());
        pool.leased = c.leased;
        pool.filling = c.filling;
        pool.waiting = c.waiting;
        const PoolPlan plan = plan_pool(pool);
        EXPECT_EQ(plan.restore, c.restore)
            << "min_idle " << c.min_idle << " max_size " << c.max_size << " idle " << c.idle << " leased " << c.leased
            << " filling " << c.filling << " waiting " << c.waiting;
        EXPECT_EQ(plan.start, 0);
        EXPECT_TRUE(plan.retire.empty());
    }
}

TEST(PoolPlan, InstancesOfAnotherCheckpointAreRetiredAndReplacedAtOnce)
{
    PoolSituation pool = situation(2, 2);
    pool.idle = idle({1s, 1s}, kOld);
    const PoolPlan plan = plan_pool(pool);
    EXPECT_EQ(retired(plan), (Ids{"i0", "i1"}));
    EXPECT_EQ(plan.restore, 2);
}

TEST(PoolPlan, WithoutACheckpointWhatWasRestoredIsRetiredAndWhatWasStartedStays)
{
    PoolSituation pool = situation(2, 4);
    pool.checkpoint = {};
    pool.idle = idle({1s}, kOld);
    pool.idle.push_back({.id = InstanceId{"started"}, .checkpoint = {}, .since = kNow});
    const PoolPlan plan = plan_pool(pool);
    EXPECT_EQ(retired(plan), Ids{"i0"});
    EXPECT_EQ(plan.restore, 0);
    EXPECT_EQ(plan.start, 0);
}

TEST(PoolPlan, InstancesAreReplacedWhenTheirLifetimeIsOver)
{
    PoolSituation pool = situation(3, 3);
    pool.policy.max_lifetime = 1h;
    pool.idle = idle({2h, 1h, 1h - 1us});
    const PoolPlan plan = plan_pool(pool);
    EXPECT_EQ(retired(plan), (Ids{"i0", "i1"}));
    EXPECT_EQ(plan.restore, 2);
}

TEST(PoolPlan, IdleTtlEndsOnlyWhatIsAboveMinIdleTheOldestFirst)
{
    PoolSituation pool = situation(1, 4);
    pool.policy.idle_ttl = 1min;
    pool.idle = idle({3min, 2min, 1min, 30s});
    EXPECT_EQ(retired(plan_pool(pool)), (Ids{"i0", "i1", "i2"}));
    pool.policy.min_idle = 3;
    EXPECT_EQ(retired(plan_pool(pool)), Ids{"i0"});
    pool.policy.min_idle = 4;
    EXPECT_EQ(retired(plan_pool(pool)), Ids{});
    pool.policy.min_idle = 0;
    EXPECT_EQ(retired(plan_pool(pool)), (Ids{"i0", "i1", "i2"}));
}

TEST(PoolPlan, APoolThatHasBecomeSmallerEndsWhatIsIdleAndNotWhatIsLeased)
{
    PoolSituation pool = situation(2, 3);
    pool.idle = idle({3s, 2s, 1s});
    pool.leased = 1;
    EXPECT_EQ(retired(plan_pool(pool)), Ids{"i0"});
    pool.leased = 9;
    EXPECT_EQ(retired(plan_pool(pool)), (Ids{"i0", "i1", "i2"}));
    EXPECT_STREQ(plan_pool(pool).retire.front().reason, "its pool has become smaller");
    EXPECT_EQ(plan_pool(pool).restore, 0);
}

TEST(PoolPlan, ZeroMeansNever)
{
    PoolSituation pool = situation(0, 4);
    pool.policy.idle_ttl = Duration::zero();
    pool.policy.max_lifetime = Duration::zero();
    pool.idle = idle({99h});
    EXPECT_TRUE(plan_pool(pool).retire.empty());
}

TEST(PoolPlan, EveryRetirementSaysWhy)
{
    PoolSituation pool = situation(0, 4);
    pool.policy.idle_ttl = 1min;
    pool.policy.max_lifetime = 1h;
    pool.idle = idle({2min, 2h});
    pool.idle.push_back({.id = InstanceId{"other"}, .checkpoint = kOld, .since = kNow});
    const PoolPlan plan = plan_pool(pool);
    ASSERT_EQ(retired(plan), (Ids{"i0", "i1", "other"}));
    EXPECT_STREQ(plan.retire[0].reason, "its pool has more than it needs");
    EXPECT_STREQ(plan.retire[1].reason, "it stood in its pool for too long");
    EXPECT_STREQ(plan.retire[2].reason, "its pool has a newer checkpoint, or none");
}

TEST(PoolPlan, WhileRestoresFailTheApplicationIsStartedForThoseWhoWantThat)
{
    PoolSituation pool = situation(3, 4);
    pool.can_restore = false;
    EXPECT_EQ(plan_pool(pool).start, 0);
    pool.waiting = 3;
    pool.waiting_cold = 2;
    EXPECT_EQ(plan_pool(pool).restore, 0);
    EXPECT_EQ(plan_pool(pool).start, 2);
    pool.filling = 1;
    EXPECT_EQ(plan_pool(pool).start, 1);
    pool.leased = 3;
    EXPECT_EQ(plan_pool(pool).start, 0) << "max_size holds for cold starts as well";
    EXPECT_TRUE(plan_pool(pool).retire.empty());
}

TEST(PoolPlan, WithoutACheckpointNothingIsStartedForThePoolItself)
{
    PoolSituation pool = situation(3, 4);
    pool.checkpoint = {};
    pool.waiting = 2;
    EXPECT_EQ(plan_pool(pool).restore, 0);
    EXPECT_EQ(plan_pool(pool).start, 0);
    pool.waiting_cold = 1;
    EXPECT_EQ(plan_pool(pool).start, 1);
}

TEST(PoolPlan, WhereACheckpointCanBeRestoredNothingIsStarted)
{
    PoolSituation pool = situation(0, 4);
    pool.waiting = 2;
    pool.waiting_cold = 2;
    EXPECT_EQ(plan_pool(pool).restore, 2);
    EXPECT_EQ(plan_pool(pool).start, 0);
}

}  // namespace
}  // namespace warmd
