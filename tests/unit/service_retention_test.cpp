// Retention and space on the whole service, with a fake engine.
#include <algorithm>
#include <atomic>

#include "tests/support/service_fixture.h"
#include "tests/unit/expect_error.h"

namespace warmd {
namespace {

using namespace std::chrono_literals;
using test::contains;
using test::expect_error;

constexpr std::uint64_t kMega = std::uint64_t{1} << 20U;

class RetentionTest : public test::ServiceFixture {
protected:
    void bound(const RetentionPolicy& policy)
    {
        Template bounded = test::quick_template();
        bounded.retention = policy;
        add(bounded);
        restart();
    }

    std::vector<CheckpointId> there()
    {
        std::vector<CheckpointId> ids;
        for (const Checkpoint& one : catalog().checkpoints(Page::all())) {
            if (one.state == CheckpointState::available) ids.push_back(one.id);
        }
        return ids;  // newest first
    }

    /// The reason that the event of its deletion gives; empty when there is none.
    std::string deleted_because(const CheckpointId& id)
    {
        for (const Event& event : catalog().events_after(0, 10'000)) {
            if (event.subject == id.value() && event.state == "deleted") return event.reason;
        }
        return {};
    }

    using Ids = std::vector<CheckpointId>;
};

TEST_F(RetentionTest, WithoutBoundsEverythingStays)
{
    for (int i = 0; i < 3; ++i) checkpoint();
    service().reconcile();
    EXPECT_EQ(there().size(), 3U);
}

TEST_F(RetentionTest, ANewCheckpointSupersedesTheOldest)
{
    bound({.max_count = 2, .max_total_bytes = {}, .ttl = {}});
    const Checkpoint first = checkpoint();
    const Checkpoint second = checkpoint();
    const Checkpoint third = checkpoint();
    EXPECT_EQ(there(), (Ids{third.id, second.id}));
    EXPECT_EQ(deleted_because(first.id), "retention: superseded");
    EXPECT_EQ(files_in("unpacked"), 2U);
    EXPECT_FALSE(std::filesystem::exists(store().path_of(first.id)));
    EXPECT_NE(service()
                  .metrics()
                  .text(service().levels("0"))
                  .find(R"(warmd_checkpoints_deleted_total{reason="superseded",template="quick"} 1)"),
              std::string::npos);
}

TEST_F(RetentionTest, APinnedOneStays)
{
    bound({.max_count = 1, .max_total_bytes = {}, .ttl = {}});
    const Checkpoint first = checkpoint();
    service().set_pinned(first.id, true);
    const Checkpoint second = checkpoint();
    EXPECT_EQ(there(), (Ids{second.id, first.id}));
    service().set_pinned(first.id, false);
    service().reconcile();
    EXPECT_EQ(there(), Ids{second.id});
}

TEST_F(RetentionTest, WhatALiveInstanceCameFromStaysUntilThatEnds)
{
    bound({.max_count = 1, .max_total_bytes = {}, .ttl = {}});
    const Checkpoint first = checkpoint();
    const Operation restored = finish(service().restore(first.id));
    const Checkpoint second = checkpoint();
    EXPECT_EQ(there(), (Ids{second.id, first.id}));
    finish(service().terminate(restored.instance));
    service().reconcile();
    EXPECT_EQ(there(), Ids{second.id});
}

TEST_F(RetentionTest, WhatAnOperationWorksOnStays)
{
    bound({.max_count = 1, .max_total_bytes = {}, .ttl = {}});
    const Checkpoint first = checkpoint();
    service().set_pinned(first.id, true);
    const Checkpoint second = checkpoint();
    engine.hang_next("restore");
    const Operation restoring = service().restore(first.id);
    ASSERT_TRUE(eventually([this] { return engine.calls("restore") == 1; }));
    service().set_pinned(first.id, false);
    service().reconcile();
    EXPECT_EQ(there(), (Ids{second.id, first.id}));
    service().operations().cancel(restoring.id);
    finish(restoring);
    service().reconcile();
    EXPECT_EQ(there(), Ids{second.id});
}

TEST_F(RetentionTest, ExpiredOnesGoAndUseKeepsThem)
{
    manual_time = true;
    bound({.max_count = {}, .max_total_bytes = {}, .ttl = 2h});
    const Checkpoint first = checkpoint();
    const Checkpoint second = checkpoint();
    const Checkpoint third = checkpoint();
    manual_clock.sleep_for(1h, {});
    finish(service().terminate(finish(service().restore(second.id)).instance));
    manual_clock.sleep_for(1h, {});
    service().reconcile();
    EXPECT_EQ(there(), (Ids{third.id, second.id}));
    EXPECT_EQ(deleted_because(first.id), "retention: expired");
}

TEST_F(RetentionTest, TheBoundsOfAllTemplatesTogetherCount)
{
    add(test::quick_template("other"));
    options.retention.max_count = 2;
    checkpoint();
    const Checkpoint other = checkpoint("other");
    const Checkpoint newest = checkpoint();
    EXPECT_EQ(there(), (Ids{newest.id, other.id}));
}

TEST_F(RetentionTest, ALeaseCountsAsUse)
{
    manual_time = true;
    Template pooled = test::quick_template();
    pooled.pool.min_idle = 1;
    add(pooled);
    const Checkpoint made = checkpoint();
    ASSERT_TRUE(eventually([this] { return service().pools().status(TemplateName{"quick"}).idle == 1; }));
    manual_clock.sleep_for(5h, {});
    const Time before = manual_clock.now();
    const Lease lease = service().pools().acquire(TemplateName{"quick"}, 1s, 1min, false, {});
    EXPECT_GE(catalog().get(made.id).used_at, before);
    service().pools().release(lease.id);
}

TEST_F(RetentionTest, ADeletionThatFailedIsEndedTheNextTime)
{
    bound({.max_count = 1, .max_total_bytes = {}, .ttl = {}});
    const Checkpoint first = checkpoint();
    const auto tarball = store().path_of(first.id);
    // What cannot be unlinked.
    std::filesystem::remove(tarball);
    std::filesystem::create_directories(tarball / "in the way");
    const Checkpoint second = checkpoint();
    EXPECT_EQ(catalog().get(first.id).state, CheckpointState::deleting);
    EXPECT_EQ(there(), Ids{second.id});
    std::filesystem::remove_all(tarball);
    service().reconcile();
    EXPECT_FALSE(catalog().find(first.id));
    EXPECT_EQ(deleted_because(first.id), "retention: superseded");
}

TEST_F(RetentionTest, ADeletingOneIsNotRestored)
{
    const Checkpoint made = checkpoint();
    catalog().begin_deletion(made.id, "test", false);
    Instance instance{.id = InstanceId{"inst-x"}, .template_name = TemplateName{"quick"}, .checkpoint = made.id};
    expect_error(ErrorCode::conflict, [&] { catalog().begin_restore(instance); });
    EXPECT_FALSE(catalog().find(instance.id));
}

TEST_F(RetentionTest, PruneDeletesWhatItsPlanSays)
{
    const Checkpoint first = checkpoint();
    const Checkpoint second = checkpoint();
    const Checkpoint third = checkpoint();
    engine.fail_next("checkpoint", Error{ErrorCode::engine_failed, "no luck"});
    const Operation failed = finish(service().checkpoint(TemplateName{"quick"}));
    service().set_pinned(second.id, true);
    const auto plan = service().plan_prune({});
    ASSERT_EQ(plan.size(), 2U);
    EXPECT_EQ(plan[0].checkpoint, failed.checkpoint);
    EXPECT_EQ(plan[0].reason, DeletionReason::failed);
    EXPECT_EQ(plan[1].checkpoint, first.id);
    EXPECT_EQ(plan[1].reason, DeletionReason::superseded);
    EXPECT_EQ(plan[1].size_bytes, first.size_bytes);

    const Operation only = finish(service().prune({.keep = 1, .only = {failed.checkpoint, third.id}}));
    ASSERT_EQ(only.state, OperationState::succeeded);
    ASSERT_EQ(only.deletions.size(), 1U) << "what is named and may not go stays";
    EXPECT_EQ(only.deletions[0].checkpoint, failed.checkpoint);

    const Operation done = finish(service().prune({}));
    ASSERT_EQ(done.deletions.size(), 1U);
    EXPECT_EQ(done.deletions[0].checkpoint, first.id);
    EXPECT_EQ(catalog().get(done.id).deletions[0].size_bytes, first.size_bytes) << "it is durable";
    EXPECT_EQ(deleted_because(first.id), "prune: superseded");
    EXPECT_EQ(there(), (Ids{third.id, second.id}));
    EXPECT_TRUE(service().plan_prune({}).empty());
}

TEST_F(RetentionTest, APruneThatCannotDeleteEverythingSaysWhatHasGone)
{
    const Checkpoint first = checkpoint();
    const Checkpoint second = checkpoint();
    checkpoint();
    std::filesystem::remove(store().path_of(second.id));
    std::filesystem::create_directories(store().path_of(second.id) / "in the way");
    const Operation done = finish(service().prune({}));
    EXPECT_EQ(done.state, OperationState::failed);
    ASSERT_EQ(done.deletions.size(), 1U);
    EXPECT_EQ(done.deletions[0].checkpoint, first.id);
    std::filesystem::remove_all(store().path_of(second.id));
}

TEST_F(RetentionTest, AskedForByNameWhatIsPinnedStaysToo)
{
    const Checkpoint made = checkpoint();
    service().set_pinned(made.id, true);
    const Error error = expect_error(ErrorCode::conflict, [&] { service().delete_checkpoint(made.id); });
    EXPECT_TRUE(contains(error.hint(), "unpin")) << error.hint();
    service().set_pinned(made.id, false);
    EXPECT_EQ(finish(service().delete_checkpoint(made.id)).state, OperationState::succeeded);
    EXPECT_EQ(deleted_because(made.id), "request: requested");
}

TEST_F(RetentionTest, OnlyWhatIsThereCanBePinned)
{
    engine.fail_next("checkpoint", Error{ErrorCode::engine_failed, "no luck"});
    const Operation failed = finish(service().checkpoint(TemplateName{"quick"}));
    expect_error(ErrorCode::conflict, [&] { service().set_pinned(failed.checkpoint, true); });
    expect_error(ErrorCode::not_found, [&] { service().set_pinned(CheckpointId{"ckpt-none"}, true); });
    EXPECT_FALSE(service().set_pinned(failed.checkpoint, false).pinned);
}

TEST_F(RetentionTest, APinOutlivesARestartAndIsAnEvent)
{
    const Checkpoint made = checkpoint();
    const std::int64_t before = catalog().last_event();
    service().set_pinned(made.id, true);
    service().set_pinned(made.id, true);
    const auto events = catalog().events_after(before, 10);
    ASSERT_EQ(events.size(), 1U);
    EXPECT_EQ(events[0].subject, made.id.value());
    EXPECT_EQ(events[0].state, "available");
    EXPECT_EQ(events[0].reason, "it was pinned");
    restart();
    EXPECT_TRUE(catalog().get(made.id).pinned);
}

class SpaceTest : public RetentionTest {
protected:
    SpaceTest()
    {
        store_options.min_free_bytes = 100 * kMega;
        store_options.free = [this] { return free_.load() - bytes_in_tmp(); };
    }

    /// What is being written takes its space, as on a real file system.
    [[nodiscard]] std::uint64_t bytes_in_tmp() const
    {
        std::uint64_t bytes = 0;
        std::error_code gone;
        for (std::filesystem::recursive_directory_iterator file{directory.path() / "tmp", gone};
             !gone && file != std::filesystem::recursive_directory_iterator{}; file.increment(gone)) {
            std::error_code unknown;
            const std::uintmax_t size = file->is_regular_file(unknown) ? file->file_size(unknown) : 0;
            if (!unknown) bytes += size;
        }
        return bytes;
    }

    void expect_nothing_reserved() { EXPECT_EQ(store().ledger().reserved(), 0U); }

    std::atomic<std::uint64_t> free_ = 1000 * kMega;
};

TEST_F(SpaceTest, BelowTheFloorACheckpointIsRefusedBeforeAnythingIsStarted)
{
    free_ = 110 * kMega;
    const Error error = expect_error(ErrorCode::no_space, [this] { service().checkpoint(TemplateName{"quick"}); });
    EXPECT_TRUE(contains(error.what(), std::to_string(6 * kMega) + " bytes are missing")) << error.what();
    EXPECT_EQ(engine.calls("create"), 0);
    const Instance instance = warm();
    expect_error(ErrorCode::no_space, [&] { service().checkpoint(instance.id); });
    EXPECT_EQ(catalog().get(instance.id).state, InstanceState::idle);
    free_ = 1000 * kMega;
    EXPECT_EQ(finish(service().checkpoint(instance.id)).state, OperationState::succeeded);
    expect_nothing_reserved();
}

TEST_F(SpaceTest, TheMemoryInUseIsWhatIsReserved)
{
    engine.set_memory_in_use(900 * kMega);
    const Instance instance = warm();
    const Operation done = finish(service().checkpoint(instance.id));
    EXPECT_EQ(done.state, OperationState::failed);
    EXPECT_EQ(done.error->code(), ErrorCode::no_space);
    EXPECT_EQ(engine.calls("checkpoint"), 0) << "it was not dumped for nothing";
    EXPECT_EQ(catalog().get(instance.id).state, InstanceState::idle);
    EXPECT_EQ(catalog().get(done.checkpoint).state, CheckpointState::failed);
    expect_nothing_reserved();
    engine.set_memory_in_use(std::nullopt);
    EXPECT_EQ(finish(service().checkpoint(instance.id)).state, OperationState::succeeded);
}

TEST_F(SpaceTest, ACheckpointThatGrowsBeyondItsReservationLeavesTheFloorAndNothingElse)
{
    options.space_margin = 1000;
    const Instance instance = warm();
    exec(instance.id, "head -c 50000 /dev/zero | tr '\\0' x > big");
    free_ = 100 * kMega + 20'000;
    const Operation done = finish(service().checkpoint(instance.id));
    EXPECT_EQ(done.state, OperationState::failed);
    ASSERT_TRUE(done.error);
    EXPECT_EQ(done.error->code(), ErrorCode::no_space);
    EXPECT_EQ(files_in("checkpoints"), 0U);
    EXPECT_EQ(files_in("tmp"), 0U);
    EXPECT_EQ(files_in("unpacked"), 0U);
    expect_nothing_reserved();
    EXPECT_EQ(catalog().get(instance.id).state, InstanceState::idle) << "Podman could resume it";
    EXPECT_EQ(engine.calls("resume"), 1);
}

TEST_F(SpaceTest, UnpackedImagesGoFirst)
{
    const Checkpoint made = checkpoint();
    const auto images = directory.path() / "unpacked" / made.id.value();
    const std::uint64_t enough = 116 * kMega + made.size_bytes + made.size_bytes / 8;
    store_options.free = [images, enough] { return std::filesystem::exists(images) ? enough - 1 : enough; };
    restart();
    const Checkpoint next = checkpoint();
    EXPECT_FALSE(std::filesystem::exists(images));
    EXPECT_EQ(there(), (Ids{next.id, made.id}));
}

TEST_F(SpaceTest, WhatTheBoundsWouldDeleteAfterwardsIsDeletedBeforeWhereSpaceIsShort)
{
    bound({.max_count = 2, .max_total_bytes = {}, .ttl = {}});
    const Checkpoint first = checkpoint();
    const Checkpoint second = checkpoint();
    const auto tarball = store().path_of(first.id);
    const std::uint64_t enough = 116 * kMega + first.size_bytes + first.size_bytes / 8;
    store_options.free = [tarball, enough] { return std::filesystem::exists(tarball) ? enough - 1 : enough; };
    restart();
    engine.fail_next("create", Error{ErrorCode::engine_failed, "no luck"});
    finish(service().checkpoint(TemplateName{"quick"}));
    EXPECT_EQ(there(), Ids{second.id});
    EXPECT_EQ(deleted_because(first.id), "retention: superseded");
}

TEST_F(SpaceTest, TheUsageAddsUp)
{
    const Checkpoint first = checkpoint();
    const Checkpoint second = checkpoint();
    service().set_pinned(second.id, true);
    const StoreUsage usage = service().usage();
    ASSERT_EQ(usage.templates.size(), 1U);
    EXPECT_EQ(usage.templates[0].checkpoints, 2);
    EXPECT_EQ(usage.templates[0].pinned, 1);
    EXPECT_EQ(usage.templates[0].tarball_bytes, first.size_bytes + second.size_bytes);
    EXPECT_GT(usage.templates[0].unpacked_bytes, 0U);
    EXPECT_EQ(usage.templates[0].reclaimable_bytes, 0U) << "the one is pinned, and the other counts alone";
    EXPECT_EQ(usage.free_bytes, 1000 * kMega);
    EXPECT_EQ(usage.min_free_bytes, 100 * kMega);
    EXPECT_EQ(usage.reserved_bytes, 0U);
    service().set_pinned(second.id, false);
    EXPECT_EQ(service().usage().templates[0].reclaimable_bytes, first.size_bytes);
}

}  // namespace
}  // namespace warmd
