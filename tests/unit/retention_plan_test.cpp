#include "daemon/service/retention_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <vector>

namespace warmd {
namespace {

using namespace std::chrono_literals;

const TemplateName kMine{"t"};
const TemplateName kOther{"u"};
constexpr Time kNow = Time{} + 1000h;

/// Available, of 100 bytes, of the template as it is, made so long ago and never used.
StoredCheckpoint stored(const std::string& id, Duration age, const TemplateName& name = kMine)
{
    return {.id = CheckpointId{id},
            .template_name = name,
            .state = CheckpointState::available,
            .bytes = 100,
            .created_at = kNow - age,
            .used_at = {},
            .pinned = false,
            .in_use = false,
            .current = true,
            .fits = true};
}

StoredCheckpoint with(StoredCheckpoint one, const std::function<void(StoredCheckpoint&)>& change)
{
    change(one);
    return one;
}

StoredCheckpoint in_state(StoredCheckpoint one, CheckpointState state)
{
    one.state = state;
    return one;
}

RetentionSituation situation(std::vector<StoredCheckpoint> checkpoints)
{
    RetentionSituation made;
    made.checkpoints = std::move(checkpoints);
    made.now = kNow;
    return made;
}

/// "id:reason" of each, in order.
std::string planned(const RetentionSituation& situation)
{
    std::string text;
    for (const Deletion& one : plan_retention(situation)) {
        text += (text.empty() ? "" : " ") + one.checkpoint.value() + ":" + std::string{to_string(one.reason)};
    }
    return text;
}

TEST(RetentionPlan, WithoutBoundsNothingGoes)
{
    EXPECT_EQ(planned(situation({})), "");
    EXPECT_EQ(planned(situation({stored("a", 1h), stored("b", 999h), in_state(stored("c", 2h), CheckpointState::failed),
                                 in_state(stored("d", 2h), CheckpointState::quarantined)})),
              "");
}

TEST(RetentionPlan, ADeletionSaysWhatGoes)
{
    RetentionSituation now = situation({stored("a", 1h), stored("b", 2h)});
    now.policies[kMine].max_count = 1;
    const auto plan = plan_retention(now);
    ASSERT_EQ(plan.size(), 1U);
    EXPECT_EQ(plan[0].checkpoint, CheckpointId{"b"});
    EXPECT_EQ(plan[0].template_name, kMine);
    EXPECT_EQ(plan[0].state, CheckpointState::available);
    EXPECT_EQ(plan[0].size_bytes, 100U);
    EXPECT_EQ(plan[0].created_at, kNow - 2h);
}

TEST(RetentionPlan, TheOldestBeyondMaxCountGo)
{
    RetentionSituation now = situation({stored("c", 3h), stored("a", 1h), stored("d", 4h), stored("b", 2h)});
    now.policies[kMine].max_count = 2;
    EXPECT_EQ(planned(now), "c:superseded d:superseded");
    now.policies[kMine].max_count = 4;
    EXPECT_EQ(planned(now), "");
}

TEST(RetentionPlan, OfTheSameAgeTheLaterIdIsTheNewer)
{
    RetentionSituation now = situation({stored("a", 1h), stored("b", 1h)});
    now.policies[kMine].max_count = 1;
    EXPECT_EQ(planned(now), "a:superseded");
}

TEST(RetentionPlan, ABoundOfATemplateIsForItsOwnCheckpoints)
{
    RetentionSituation now = situation(
        {stored("a", 1h), stored("b", 2h), stored("x", 1h, kOther), stored("y", 2h, kOther)});
    now.policies[kMine].max_count = 1;
    EXPECT_EQ(planned(now), "b:superseded");
    now.policies[kMine] = {.max_count = {}, .max_total_bytes = 100, .ttl = {}};
    EXPECT_EQ(planned(now), "b:over_size");
    now.policies[kMine] = {.max_count = {}, .max_total_bytes = {}, .ttl = 30min};
    EXPECT_EQ(planned(now), "b:expired");
}

TEST(RetentionPlan, ABoundOfAllIsForAllTogether)
{
    RetentionSituation now = situation(
        {stored("a", 1h), stored("b", 3h), stored("x", 2h, kOther), stored("y", 4h, kOther)});
    now.all.max_count = 3;
    EXPECT_EQ(planned(now), "y:superseded");
    now.all = {.max_count = {}, .max_total_bytes = 250, .ttl = {}};
    EXPECT_EQ(planned(now), "b:over_size y:over_size");
    now.all = {.max_count = {}, .max_total_bytes = {}, .ttl = 4h};
    EXPECT_EQ(planned(now), "y:expired");
}

TEST(RetentionPlan, TheTtlOfATemplateTakesThePlaceOfThatOfAll)
{
    RetentionSituation now = situation(
        {stored("a", 1h), stored("b", 3h), stored("x", 1h, kOther), stored("y", 3h, kOther)});
    now.all.ttl = 2h;
    now.policies[kMine].ttl = 10h;
    EXPECT_EQ(planned(now), "y:expired");
}

TEST(RetentionPlan, UseIsWhatTheTtlCountsFrom)
{
    RetentionSituation now = situation({stored("a", 1h),
                                        with(stored("b", 9h), [](auto& one) { one.used_at = kNow - 1h; }),
                                        with(stored("c", 9h), [](auto& one) { one.used_at = kNow - 2h; })});
    now.all.ttl = 2h;
    EXPECT_EQ(planned(now), "c:expired");
}

TEST(RetentionPlan, WhatWasUsedLongestAgoGoesFirstAndNoMoreThanNeeded)
{
    RetentionSituation now = situation({stored("a", 1h),
                                        with(stored("b", 9h), [](auto& one) { one.used_at = kNow - 1h; }),
                                        stored("c", 3h), stored("d", 2h)});
    now.policies[kMine].max_total_bytes = 399;
    EXPECT_EQ(planned(now), "c:over_size");
    now.policies[kMine].max_total_bytes = 299;
    EXPECT_EQ(planned(now), "d:over_size c:over_size");
    now.policies[kMine].max_total_bytes = 1;
    EXPECT_EQ(planned(now), "d:over_size c:over_size b:over_size") << "the newest stays, however large it is";
}

TEST(RetentionPlan, QuarantinedOnesGoBeforeUsableOnes)
{
    RetentionSituation now = situation(
        {stored("a", 1h), stored("b", 9h), in_state(stored("q", 2h), CheckpointState::quarantined)});
    now.all.max_total_bytes = 200;
    EXPECT_EQ(planned(now), "q:over_size");
    now.all = {.max_count = {}, .max_total_bytes = {}, .ttl = 2h};
    EXPECT_EQ(planned(now), "q:expired b:expired");
    now.all = {.max_count = 1, .max_total_bytes = {}, .ttl = {}};
    EXPECT_EQ(planned(now), "b:superseded") << "nobody counts on a quarantined one";
}

TEST(RetentionPlan, PinnedOnesStayAndAreNotCountedButTakeTheirSpace)
{
    const auto pin = [](StoredCheckpoint& one) { one.pinned = true; };
    RetentionSituation now = situation({stored("a", 1h), with(stored("b", 2h), pin), stored("c", 3h),
                                        with(in_state(stored("q", 99h), CheckpointState::quarantined), pin)});
    now.policies[kMine].max_count = 2;
    EXPECT_EQ(planned(now), "");
    now.policies[kMine] = {.max_count = 1, .max_total_bytes = 1, .ttl = 1min};
    EXPECT_EQ(planned(now), "c:expired");
    now.policies.clear();
    now.policies[kMine].max_total_bytes = 300;
    EXPECT_EQ(planned(now), "c:over_size");
    now.keep = 1;
    now.policies.clear();
    EXPECT_EQ(planned(now), "c:superseded");
}

TEST(RetentionPlan, WhatIsInUseStays)
{
    RetentionSituation now = situation(
        {stored("a", 1h), with(stored("b", 2h), [](auto& one) { one.in_use = true; }), stored("c", 3h)});
    now.policies[kMine] = {.max_count = 1, .max_total_bytes = 1, .ttl = 1min};
    now.keep = 1;
    EXPECT_EQ(planned(now), "c:superseded");
}

TEST(RetentionPlan, WhatIsBeingMadeOrDeletedStays)
{
    for (const auto state :
         {CheckpointState::pending, CheckpointState::dumping, CheckpointState::verifying, CheckpointState::deleting}) {
        RetentionSituation now = situation({stored("a", 1h), in_state(stored("b", 99h), state)});
        now.all = {.max_count = 1, .max_total_bytes = 1, .ttl = 1min};
        now.keep = 1;
        EXPECT_EQ(planned(now), "") << to_string(state);
    }
}

TEST(RetentionPlan, TheBestOfEachTemplateStays)
{
    const auto old = [](StoredCheckpoint& one) { one.current = false; };
    const auto misfit = [](StoredCheckpoint& one) { one.fits = false; };
    const auto all_but = [](std::vector<StoredCheckpoint> checkpoints) {
        RetentionSituation now = situation(std::move(checkpoints));
        now.all = {.max_count = 1, .max_total_bytes = 1, .ttl = 1min};
        return planned(now);
    };
    EXPECT_EQ(all_but({stored("a", 1h), stored("b", 2h)}), "b:expired");
    EXPECT_EQ(all_but({with(stored("a", 1h), misfit), stored("b", 2h), stored("c", 3h)}), "a:expired c:expired");
    EXPECT_EQ(all_but({with(stored("a", 1h), old), stored("b", 2h)}), "a:expired");
    EXPECT_EQ(all_but({with(stored("a", 1h), old), with(stored("b", 2h), misfit)}), "a:expired")
        << "of the present form, though for another host";
    EXPECT_EQ(all_but({with(stored("a", 1h), old), with(stored("b", 2h), old)}), "b:expired");
    EXPECT_EQ(all_but({stored("a", 1h), stored("x", 9h, kOther)}), "");
    EXPECT_EQ(all_but({in_state(stored("a", 1h), CheckpointState::quarantined), stored("b", 2h)}), "a:expired");
}

TEST(RetentionPlan, BoundsAreKeptWithTheCheckpointThatIsBeingMade)
{
    RetentionSituation now = situation(
        {stored("a", 1h), stored("b", 2h), stored("x", 3h, kOther), stored("y", 4h, kOther)});
    now.incoming = {.template_name = kMine, .bytes = 150};
    EXPECT_EQ(planned(now), "");
    now.policies[kMine].max_count = 2;
    now.policies[kOther].max_count = 2;
    EXPECT_EQ(planned(now), "b:superseded");
    now.policies[kMine] = {.max_count = {}, .max_total_bytes = 350, .ttl = {}};
    EXPECT_EQ(planned(now), "");
    now.policies[kMine].max_total_bytes = 349;
    EXPECT_EQ(planned(now), "b:over_size");
    now.policies.clear();
    now.all.max_count = 4;
    EXPECT_EQ(planned(now), "y:superseded");
}

TEST(RetentionPlan, APruneTakesWhatFailedAndWhatIsSuperseded)
{
    RetentionSituation now = situation(
        {stored("a", 1h), stored("b", 2h), with(stored("c", 30min), [](auto& one) { one.current = false; }),
         in_state(stored("f", 3h), CheckpointState::failed), in_state(stored("q", 4h), CheckpointState::quarantined)});
    now.keep = 1;
    EXPECT_EQ(planned(now), "c:earlier_template b:superseded f:failed q:quarantined");
    now.keep = 2;
    EXPECT_EQ(planned(now), "c:earlier_template f:failed q:quarantined");
}

TEST(RetentionPlan, APruneKeepsTheNewestWhereNoneIsOfThePresentForm)
{
    const auto old = [](StoredCheckpoint& one) { one.current = false; };
    RetentionSituation now = situation(
        {with(stored("a", 1h), old), with(stored("b", 2h), old), stored("x", 1h, kOther)});
    now.keep = 1;
    EXPECT_EQ(planned(now), "b:superseded");
}

TEST(RetentionPlan, APruneKeepsTheNewestThatFitsThisHost)
{
    const auto misfit = [](StoredCheckpoint& one) { one.fits = false; };
    RetentionSituation now = situation({with(stored("a", 1h), misfit), stored("b", 2h), stored("c", 3h)});
    now.keep = 1;
    EXPECT_EQ(planned(now), "c:superseded");
}

/// Any situation, by its number.
RetentionSituation any(unsigned number)
{
    std::mt19937 random{number};
    const auto pick = [&random](unsigned count) { return static_cast<int>(random() % count); };
    const auto policy = [&pick] {
        RetentionPolicy made;
        if (pick(2) == 0) made.max_count = 1 + pick(4);
        if (pick(2) == 0) made.max_total_bytes = 100 * (1 + pick(6));
        if (pick(3) == 0) made.ttl = std::chrono::hours{1 + pick(8)};
        return made;
    };
    RetentionSituation made = situation({});
    const int count = pick(9);
    for (int i = 0; i < count; ++i) {
        StoredCheckpoint one = stored("c" + std::to_string(i), std::chrono::hours{pick(9)},
                                      pick(3) == 0 ? kOther : kMine);
        one.state = static_cast<CheckpointState>(pick(2) == 0 ? 3 : pick(7));
        one.bytes = 50 * static_cast<std::uint64_t>(1 + pick(5));
        if (pick(2) == 0) one.used_at = kNow - std::chrono::hours{pick(9)};
        one.pinned = pick(6) == 0;
        one.in_use = pick(6) == 0;
        one.current = pick(3) != 0;
        one.fits = pick(4) != 0;
        made.checkpoints.push_back(one);
    }
    if (pick(2) == 0) made.policies[kMine] = policy();
    if (pick(2) == 0) made.policies[kOther] = policy();
    if (pick(2) == 0) made.all = policy();
    if (pick(3) == 0) made.keep = 1 + pick(3);
    if (pick(4) == 0) made.incoming = {.template_name = kMine, .bytes = 100};
    return made;
}

bool exceeds(const RetentionSituation& now, const RetentionPolicy& policy,
             const std::function<bool(const TemplateName&)>& of)
{
    int count = 0;
    std::uint64_t bytes = 0;
    if (now.incoming && of(now.incoming->template_name)) {
        ++count;
        bytes += now.incoming->bytes;
    }
    for (const StoredCheckpoint& one : now.checkpoints) {
        const bool available = one.state == CheckpointState::available;
        if (!of(one.template_name) || (!available && one.state != CheckpointState::quarantined)) continue;
        bytes += one.bytes;
        count += static_cast<int>(available && !one.pinned);
    }
    return (policy.max_count && count > *policy.max_count) ||
           (policy.max_total_bytes && bytes > *policy.max_total_bytes);
}

/// What no bound may touch, decided in another way than the plan does: by looking for something better.
bool untouchable(const RetentionSituation& now, const StoredCheckpoint& one)
{
    const bool finished = one.state == CheckpointState::available || one.state == CheckpointState::quarantined ||
                          one.state == CheckpointState::failed;
    if (!finished || one.pinned || one.in_use) return true;
    if (one.state != CheckpointState::available) return false;
    const auto worth = [](const StoredCheckpoint& of) {
        return std::make_tuple(of.current && of.fits, of.current, of.created_at, of.id);
    };
    return std::none_of(now.checkpoints.begin(), now.checkpoints.end(), [&](const StoredCheckpoint& other) {
        return other.template_name == one.template_name && other.state == CheckpointState::available &&
               worth(other) > worth(one);
    });
}

TEST(RetentionPlan, HoldsItsPromisesInAnySituation)
{
    int deleting = 0;
    for (unsigned number = 0; number < 20'000; ++number) {
        SCOPED_TRACE("situation " + std::to_string(number));
        const RetentionSituation now = any(number);
        const std::vector<Deletion> plan = plan_retention(now);
        deleting += static_cast<int>(!plan.empty());
        RetentionSituation after = now;
        std::set<CheckpointId> gone;
        for (const Deletion& one : plan) {
            ASSERT_TRUE(gone.insert(one.checkpoint).second) << "twice: " << one.checkpoint;
            const auto found = std::find_if(now.checkpoints.begin(), now.checkpoints.end(),
                                            [&one](const auto& stored) { return stored.id == one.checkpoint; });
            ASSERT_NE(found, now.checkpoints.end());
            ASSERT_FALSE(untouchable(now, *found)) << one.checkpoint << " " << to_string(one.reason);
        }
        std::erase_if(after.checkpoints, [&gone](const auto& one) { return gone.contains(one.id); });
        ASSERT_EQ(planned(after), "") << "once is enough";
        // A bound that is still exceeded: nothing is left that could go.
        const auto all_stay = [&after](const std::function<bool(const TemplateName&)>& of) {
            return std::all_of(after.checkpoints.begin(), after.checkpoints.end(), [&](const StoredCheckpoint& one) {
                return !of(one.template_name) || one.state == CheckpointState::failed || untouchable(after, one);
            });
        };
        const auto every = [](const TemplateName&) { return true; };
        if (exceeds(after, {.max_count = {}, .max_total_bytes = after.all.max_total_bytes, .ttl = {}}, every)) {
            ASSERT_TRUE(all_stay(every));
        }
        for (const auto& [name, policy] : after.policies) {
            const auto of = [&name = name](const TemplateName& other) { return other == name; };
            if (exceeds(after, {.max_count = {}, .max_total_bytes = policy.max_total_bytes, .ttl = {}}, of)) {
                ASSERT_TRUE(all_stay(of));
            }
        }
    }
    EXPECT_GT(deleting, 4'000) << "what is tried must be worth it";
}

}  // namespace
}  // namespace warmd
