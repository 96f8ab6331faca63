#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <future>
#include <optional>

#include "daemon/catalog/catalog.h"
#include "daemon/service/operations.h"
#include "tests/support/manual_clock.h"
#include "tests/support/temp_dir.h"

namespace warmd {
namespace {

using namespace std::chrono_literals;

class OperationsTest : public testing::Test {
protected:
    Operation submit(Operations::Work work) { return operations.submit({}, std::move(work)); }

    Catalog catalog{":memory:"};
    test::ManualClock clock;
    Operations operations{catalog, clock, 1, 2};
};

TEST_F(OperationsTest, TheRowIsDurableBeforeTheWorkIsDone)
{
    std::promise<void> release;
    const Operation submitted = submit([&](OperationRun&) { release.get_future().wait(); });
    EXPECT_EQ(submitted.state, OperationState::queued);
    EXPECT_TRUE(catalog.find(submitted.id));
    release.set_value();
    EXPECT_EQ(operations.wait(submitted.id, 10s).state, OperationState::succeeded);
    EXPECT_EQ(catalog.get(submitted.id).state, OperationState::succeeded);
    EXPECT_EQ(operations.active(), 0);
}

TEST_F(OperationsTest, PhasesAreTimedAlsoWhenTheyThrow)
{
    const Operation done = operations.wait(
        submit([this](OperationRun& run) {
            run.phase("first", [this] { clock.sleep_for(2s, {}); });
            run.phase("second", [this] {
                clock.sleep_for(3s, {});
                throw Error{ErrorCode::no_space, "full"}.with_hint("delete something");
            });
        }).id,
        10s);
    EXPECT_EQ(done.state, OperationState::failed);
    ASSERT_TRUE(done.error);
    EXPECT_EQ(done.error->code(), ErrorCode::no_space);
    EXPECT_EQ(done.error->hint(), "delete something");
    ASSERT_EQ(done.phases.size(), 2U);
    EXPECT_EQ(done.phases[0].elapsed, 2s);
    EXPECT_EQ(done.phases[1].name, "second");
    EXPECT_EQ(done.phases[1].elapsed, 3s);
    EXPECT_TRUE(done.phase.empty());
}

TEST_F(OperationsTest, WhatIsNotAnErrorOfOursIsAnInternalOne)
{
    const Operation done = operations.wait(submit([](OperationRun&) { throw std::runtime_error{"surprise"}; }).id, 10s);
    EXPECT_EQ(done.error->code(), ErrorCode::internal);
}

/// While it lives no file of this process grows beyond so many bytes: writes fail as on a full disk, but for the error.
class FileSizeLimit {
public:
    explicit FileSizeLimit(rlim_t bytes)
    {
        ::signal(SIGXFSZ, SIG_IGN);
        ::getrlimit(RLIMIT_FSIZE, &before_);
        const rlimit limit{.rlim_cur = bytes, .rlim_max = before_.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    ~FileSizeLimit() { ::setrlimit(RLIMIT_FSIZE, &before_); }
    FileSizeLimit(const FileSizeLimit&) = delete;
    FileSizeLimit& operator=(const FileSizeLimit&) = delete;

private:
    rlimit before_{};
};

TEST(OperationsOnAFullDiskTest, AnEndThatCannotBeRecordedIsToldAndRecordedLater)
{
    const test::TempDir directory;
    Catalog catalog{(directory.path() / "catalog.sqlite").string()};
    test::ManualClock clock;
    Operations operations{catalog, clock, 1, 2};
    std::optional<FileSizeLimit> limit;
    const Operation submitted = operations.submit(
        {}, [&](OperationRun&) { limit.emplace(std::filesystem::file_size(directory.path() / "catalog.sqlite-wal")); });
    EXPECT_EQ(operations.wait(submitted.id, 10s).state, OperationState::succeeded);
    EXPECT_EQ(catalog.get(submitted.id).state, OperationState::queued) << "the limit has no effect";
    EXPECT_EQ(operations.list(Page::all()).at(0).state, OperationState::succeeded);
    EXPECT_EQ(operations.active(), 0);
    operations.record_ends();
    EXPECT_EQ(catalog.get(submitted.id).state, OperationState::queued) << "the limit has no effect";
    limit.reset();
    operations.record_ends();
    EXPECT_EQ(catalog.get(submitted.id).state, OperationState::succeeded);
    EXPECT_EQ(operations.get(submitted.id).state, OperationState::succeeded);
}

TEST_F(OperationsTest, TheQueueHasABound)
{
    std::promise<void> running;
    std::promise<void> release;
    auto released = release.get_future().share();
    submit([&](OperationRun&) {
        running.set_value();
        released.wait();
    });
    running.get_future().wait();
    submit([](OperationRun&) {});
    submit([](OperationRun&) {});
    try {
        submit([](OperationRun&) {});
        ADD_FAILURE() << "a fourth was taken";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::busy);
    }
    release.set_value();
    operations.shut_down();  // before what the work refers to goes
}

TEST_F(OperationsTest, AQueuedOneThatIsCancelledNeverRuns)
{
    std::promise<void> running;
    std::promise<void> release;
    std::atomic<bool> ran = false;
    submit([&](OperationRun&) {
        running.set_value();
        release.get_future().wait();
    });
    running.get_future().wait();
    const Operation second = submit([&ran](OperationRun&) { ran = true; });
    operations.cancel(second.id);
    release.set_value();
    EXPECT_EQ(operations.wait(second.id, 10s).state, OperationState::cancelled);
    EXPECT_FALSE(ran);
}

TEST_F(OperationsTest, WhatMustBeSettledIsDoneThoughItWasCancelled)
{
    std::promise<void> running;
    const Operation submitted = submit([&](OperationRun& run) {
        running.set_value();
        while (!run.stop().stop_requested()) std::this_thread::yield();
        run.settle("tidy", [] {});
    });
    running.get_future().wait();
    operations.cancel(submitted.id);
    const Operation done = operations.wait(submitted.id, 10s);
    EXPECT_EQ(done.state, OperationState::succeeded);
    ASSERT_EQ(done.phases.size(), 1U);
    EXPECT_EQ(done.phases[0].name, "tidy");
}

TEST_F(OperationsTest, CancellingWhatHasEndedIsAConflict)
{
    const Operation done = operations.wait(submit([](OperationRun&) {}).id, 10s);
    EXPECT_THROW(operations.cancel(done.id), Error);
    EXPECT_THROW(operations.cancel(OperationId{"op-nobody"}), Error);
}

TEST_F(OperationsTest, ShuttingDownEndsAllAsInterruptedAndTakesNoMore)
{
    std::promise<void> running;
    const Operation first = submit([&](OperationRun& run) {
        running.set_value();
        while (!run.stop().stop_requested()) std::this_thread::yield();
        run.check();
    });
    const Operation second = submit([](OperationRun&) {});
    running.get_future().wait();
    operations.shut_down();
    for (const OperationId& id : {first.id, second.id}) {
        const Operation ended = catalog.get(id);
        EXPECT_EQ(ended.state, OperationState::failed);
        EXPECT_EQ(ended.error->code(), ErrorCode::interrupted);
    }
    EXPECT_THROW(submit([](OperationRun&) {}), Error);
}

TEST_F(OperationsTest, WaitReturnsWhenItsPatienceEnds)
{
    std::promise<void> release;
    const Operation submitted = submit([&](OperationRun&) { release.get_future().wait(); });
    EXPECT_FALSE(is_final(operations.wait(submitted.id, 1ms).state));
    release.set_value();
    operations.shut_down();
}

TEST_F(OperationsTest, KnowsWhichInstancesAreWorkedOn)
{
    std::promise<void> named;
    std::promise<void> release;
    const InstanceId id{"inst-1"};
    const Operation submitted = submit([&](OperationRun& run) {
        run.set_instance(id);
        named.set_value();
        release.get_future().wait();
    });
    named.get_future().wait();
    EXPECT_TRUE(operations.works_on(id));
    EXPECT_FALSE(operations.works_on(InstanceId{"inst-2"}));
    release.set_value();
    EXPECT_TRUE(is_final(operations.wait(submitted.id, 10s).state));
    EXPECT_FALSE(operations.works_on(id));
}

}  // namespace
}  // namespace warmd
