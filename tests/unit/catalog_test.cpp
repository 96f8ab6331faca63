#include "daemon/catalog/catalog.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "catalog_schema.h"
#include "daemon/catalog/disk_reserve.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/expect_error.h"

namespace warmd {
namespace {

using namespace std::chrono_literals;
using test::contains;
using test::expect_error;
using test::write_file;

Phases some_phases()
{
    return {{.name = "start", .started_at = Time{5s}, .elapsed = 3us},
            {.name = "export", .started_at = Time{6s}, .elapsed = 2h},
            {.name = "start", .started_at = Time{7s}, .elapsed = 0us}};
}

Checkpoint checkpoint(const std::string& id, CheckpointState state = CheckpointState::available,
                      const std::string& template_name = "octave")
{
    Checkpoint row;
    row.id = CheckpointId{id};
    row.template_name = TemplateName{template_name};
    row.template_digest = "digest";
    row.state = state;
    row.source = InstanceId{"inst-1"};
    row.image = "localhost/octave";
    row.image_id = "image";
    row.created_at = Time{1s};
    return row;
}

Instance instance(const std::string& id, InstanceState state = InstanceState::idle)
{
    Instance row;
    row.id = InstanceId{id};
    row.template_name = TemplateName{"octave"};
    row.state = state;
    row.created_at = Time{1s};
    return row;
}

Operation operation(const std::string& id, OperationState state = OperationState::succeeded)
{
    Operation row;
    row.id = OperationId{id};
    row.state = state;
    row.created_at = Time{1s};
    return row;
}

Lease lease(const std::string& id, const std::string& instance_id = "inst-1")
{
    Lease row;
    row.id = LeaseId{id};
    row.template_name = TemplateName{"octave"};
    row.instance = InstanceId{instance_id};
    row.created_at = Time{1s};
    row.expires_at = Time{61s};
    return row;
}

template <typename Row>
std::vector<std::string> ids(const std::vector<Row>& rows)
{
    std::vector<std::string> result;
    for (const Row& row : rows) result.push_back(row.id.value());
    return result;
}

using Ids = std::vector<std::string>;

/// How many rows a table of the file has, asked past the catalog.
int count_rows(const std::filesystem::path& path, const std::string& table)
{
    SQLite::Database database{path.string(), SQLite::OPEN_READONLY};
    return database.execAndGet("SELECT count(*) FROM " + table).getInt();
}

/// Every test runs on a catalog in memory and on one in a file.
class CatalogTest : public ::testing::TestWithParam<bool> {
protected:
    test::TempDir directory;
    Catalog catalog{GetParam() ? (directory / "catalog.db").string() : ":memory:"};
};

INSTANTIATE_TEST_SUITE_P(, CatalogTest, ::testing::Values(false, true),
                         [](const auto& test) { return std::string{test.param ? "OnDisk" : "InMemory"}; });

TEST_P(CatalogTest, IsEmptyAtFirst)
{
    EXPECT_TRUE(catalog.checkpoints(Page::all()).empty());
    EXPECT_TRUE(catalog.instances(Page::all(), true).empty());
    EXPECT_TRUE(catalog.operations(Page::all()).empty());
    EXPECT_TRUE(catalog.unfinished_operations().empty());
    EXPECT_NO_THROW(catalog.ping());
}

TEST_P(CatalogTest, KeepsEveryPartOfACheckpoint)
{
    Checkpoint saved = checkpoint("ckpt-1", CheckpointState::quarantined);
    saved.reason = "its tarball is gone";
    saved.size_bytes = std::uint64_t{9} << 40U;
    saved.sha256 = std::string(64, 'a');
    saved.created_at = Time{1'769'860'800'123'456us};
    saved.available_at = Time{2s};
    saved.pinned = true;
    saved.used_at = Time{3s};
    saved.phases = some_phases();
    saved.environment = {{"criu", "3.17.1"}, {"kernel", "6.1 \xC3\xA9 '; DROP TABLE checkpoint; --"}};
    saved.statistics = {{"criu.pages_written", INT64_MAX}, {"rootfs.repaired_entries", 0}, {"negative", -1}};
    catalog.save(saved);

    const Checkpoint found = catalog.get(saved.id);
    EXPECT_EQ(found.id, saved.id);
    EXPECT_EQ(found.template_name, saved.template_name);
    EXPECT_EQ(found.template_digest, saved.template_digest);
    EXPECT_EQ(found.state, saved.state);
    EXPECT_EQ(found.reason, saved.reason);
    EXPECT_EQ(found.source, saved.source);
    EXPECT_EQ(found.image, saved.image);
    EXPECT_EQ(found.image_id, saved.image_id);
    EXPECT_EQ(found.size_bytes, saved.size_bytes);
    EXPECT_EQ(found.sha256, saved.sha256);
    EXPECT_EQ(found.created_at, saved.created_at);
    EXPECT_EQ(found.available_at, saved.available_at);
    EXPECT_EQ(found.pinned, saved.pinned);
    EXPECT_EQ(found.used_at, saved.used_at);
    EXPECT_EQ(found.phases, saved.phases);
    EXPECT_EQ(found.environment, saved.environment);
    EXPECT_EQ(found.statistics, saved.statistics);
}

TEST_P(CatalogTest, SavingACheckpointAnewChangesNeitherItsPinNorItsUse)
{
    Checkpoint row = checkpoint("ckpt-1");
    catalog.save(row);
    EXPECT_TRUE(catalog.set_pinned(row.id, true).pinned);
    Instance used = instance("inst-1", InstanceState::restoring);
    used.checkpoint = row.id;
    used.created_at = Time{7s};
    catalog.begin_restore(used);
    row.state = CheckpointState::quarantined;  // as it was read before
    catalog.save(row);
    EXPECT_TRUE(catalog.get(row.id).pinned);
    EXPECT_EQ(catalog.get(row.id).used_at, Time{7s});
    EXPECT_FALSE(catalog.set_pinned(row.id, false).pinned);
    EXPECT_FALSE(catalog.get(row.id).pinned);
}

TEST_P(CatalogTest, ARestoreBeginsWithAnAvailableCheckpointOrNotAtAll)
{
    Instance wanted = instance("inst-1", InstanceState::restoring);
    wanted.checkpoint = CheckpointId{"ckpt-1"};
    expect_error(ErrorCode::not_found, [&] { catalog.begin_restore(wanted); });
    for (const auto state :
         {CheckpointState::dumping, CheckpointState::failed, CheckpointState::quarantined, CheckpointState::deleting}) {
        catalog.save(checkpoint("ckpt-1", state));
        expect_error(ErrorCode::conflict, [&] { catalog.begin_restore(wanted); });
        EXPECT_FALSE(catalog.find(wanted.id));
    }
    catalog.save(checkpoint("ckpt-1"));
    catalog.begin_restore(wanted);
    EXPECT_EQ(catalog.get(wanted.id).state, InstanceState::restoring);
}

TEST_P(CatalogTest, ADeletionSparesWhatItMustAndRemembersWhy)
{
    Instance live = instance("inst-1", InstanceState::idle);
    live.checkpoint = CheckpointId{"ckpt-1"};
    catalog.save(live);
    for (const auto state : {CheckpointState::pending, CheckpointState::dumping, CheckpointState::verifying}) {
        catalog.save(checkpoint("ckpt-1", state));
        expect_error(ErrorCode::conflict, [&] { catalog.begin_deletion(live.checkpoint, "because", false); });
    }
    catalog.save(checkpoint("ckpt-1"));
    const Error used = expect_error(ErrorCode::conflict,
                                    [&] { catalog.begin_deletion(live.checkpoint, "because", true); });
    EXPECT_TRUE(contains(used.what(), "inst-1")) << used.what();
    catalog.set_pinned(live.checkpoint, true);
    expect_error(ErrorCode::conflict, [&] { catalog.begin_deletion(live.checkpoint, "because", false); });
    catalog.set_pinned(live.checkpoint, false);
    EXPECT_EQ(catalog.begin_deletion(live.checkpoint, "because", false).state, CheckpointState::available);
    EXPECT_EQ(catalog.get(live.checkpoint).state, CheckpointState::deleting);
    EXPECT_EQ(catalog.get(live.checkpoint).reason, "because");
    expect_error(ErrorCode::conflict, [&] { catalog.begin_deletion(live.checkpoint, "because", true); });
    catalog.erase(live.checkpoint, "because");
    const Event last = catalog.events_after(catalog.last_event() - 1, 1).at(0);
    EXPECT_EQ(last.state, "deleted");
    EXPECT_EQ(last.reason, "because");
    expect_error(ErrorCode::not_found, [&] { catalog.begin_deletion(live.checkpoint, "because", false); });
}

TEST_P(CatalogTest, KeepsWhatAnOperationHasDeletedAsLongAsTheOperation)
{
    Operation pruning = operation("op-1", OperationState::succeeded);
    pruning.kind = OperationKind::prune;
    pruning.deletions = {{.checkpoint = CheckpointId{"ckpt-2"},
                          .template_name = TemplateName{"octave"},
                          .state = CheckpointState::quarantined,
                          .size_bytes = std::uint64_t{9} << 40U,
                          .created_at = Time{5s},
                          .reason = DeletionReason::over_size},
                         {.checkpoint = CheckpointId{"ckpt-1"}}};
    catalog.save(pruning);
    catalog.save(pruning);
    const auto found = catalog.get(pruning.id).deletions;
    ASSERT_EQ(found.size(), 2U);
    EXPECT_EQ(found[0].checkpoint, CheckpointId{"ckpt-2"});
    EXPECT_EQ(found[0].template_name, TemplateName{"octave"});
    EXPECT_EQ(found[0].state, CheckpointState::quarantined);
    EXPECT_EQ(found[0].size_bytes, std::uint64_t{9} << 40U);
    EXPECT_EQ(found[0].created_at, Time{5s});
    EXPECT_EQ(found[0].reason, DeletionReason::over_size);
    EXPECT_EQ(found[1].checkpoint, CheckpointId{"ckpt-1"});
    catalog.prune_history(0);
    EXPECT_FALSE(catalog.find(pruning.id));
}

TEST_P(CatalogTest, ALeaseIsAUseOfWhatItsInstanceCameFrom)
{
    catalog.save(checkpoint("ckpt-1"));
    Instance leased = instance("inst-1", InstanceState::idle);
    leased.checkpoint = CheckpointId{"ckpt-1"};
    catalog.save(leased);
    EXPECT_FALSE(catalog.get(leased.checkpoint).used_at);
    catalog.begin(lease("lease-1"));
    EXPECT_EQ(catalog.get(leased.checkpoint).used_at, lease("lease-1").created_at);
}

TEST_P(CatalogTest, KeepsEveryPartOfAnInstance)
{
    Instance saved = instance("inst-1", InstanceState::terminated);
    saved.reason = "asked for";
    saved.origin = Origin::restore;
    saved.checkpoint = CheckpointId{"ckpt-1"};
    saved.container = ContainerId{"abc"};
    saved.terminated_at = Time{9s};
    saved.phases = some_phases();
    catalog.save(saved);

    const Instance found = catalog.get(saved.id);
    EXPECT_EQ(found.template_name, saved.template_name);
    EXPECT_EQ(found.state, saved.state);
    EXPECT_EQ(found.reason, saved.reason);
    EXPECT_EQ(found.origin, saved.origin);
    EXPECT_EQ(found.checkpoint, saved.checkpoint);
    EXPECT_EQ(found.container, saved.container);
    EXPECT_EQ(found.created_at, saved.created_at);
    EXPECT_EQ(found.terminated_at, saved.terminated_at);
    EXPECT_EQ(found.phases, saved.phases);
}

TEST_P(CatalogTest, KeepsEveryPartOfAnOperation)
{
    Operation saved = operation("op-1", OperationState::failed);
    saved.kind = OperationKind::delete_checkpoint;
    saved.template_name = TemplateName{"octave"};
    saved.instance = InstanceId{"inst-1"};
    saved.checkpoint = CheckpointId{"ckpt-1"};
    saved.phase = "export";
    saved.phases = some_phases();
    saved.started_at = Time{2s};
    saved.finished_at = Time{3s};
    saved.error = Error{ErrorCode::engine_failed, "it failed"}.with_hint("hint").with_field("field").with_cause(
        "cause");
    catalog.save(saved);

    const Operation found = catalog.get(saved.id);
    EXPECT_EQ(found.kind, saved.kind);
    EXPECT_EQ(found.state, saved.state);
    EXPECT_EQ(found.template_name, saved.template_name);
    EXPECT_EQ(found.instance, saved.instance);
    EXPECT_EQ(found.checkpoint, saved.checkpoint);
    EXPECT_EQ(found.phase, saved.phase);
    EXPECT_EQ(found.phases, saved.phases);
    EXPECT_EQ(found.started_at, saved.started_at);
    EXPECT_EQ(found.finished_at, saved.finished_at);
    ASSERT_TRUE(found.error);
    EXPECT_EQ(found.error->code(), ErrorCode::engine_failed);
    EXPECT_STREQ(found.error->what(), "it failed");
    EXPECT_EQ(found.error->hint(), "hint");
    EXPECT_EQ(found.error->field(), "field");
    EXPECT_EQ(found.error->cause(), "cause");
}

TEST_P(CatalogTest, KeepsAbsentTimesAndErrorsAbsent)
{
    catalog.save(operation("op-1", OperationState::queued));
    catalog.save(instance("inst-1"));
    catalog.save(checkpoint("ckpt-1"));
    const Operation found = catalog.get(OperationId{"op-1"});
    EXPECT_FALSE(found.started_at);
    EXPECT_FALSE(found.finished_at);
    EXPECT_FALSE(found.error);
    EXPECT_FALSE(catalog.get(InstanceId{"inst-1"}).terminated_at);
    EXPECT_FALSE(catalog.get(CheckpointId{"ckpt-1"}).available_at);
}

TEST_P(CatalogTest, SavingAgainReplacesTheRowWithItsPhases)
{
    Operation row = operation("op-1", OperationState::running);
    row.phase = "start";
    row.phases = some_phases();
    catalog.save(row);
    row.state = OperationState::succeeded;
    row.phase.clear();
    row.phases.resize(1);
    catalog.save(row);
    const Operation found = catalog.get(row.id);
    EXPECT_EQ(found.state, OperationState::succeeded);
    EXPECT_EQ(found.phase, "");
    EXPECT_EQ(found.phases, row.phases);
    EXPECT_EQ(catalog.operations(Page::all()).size(), 1U);
}

TEST_P(CatalogTest, SavingACheckpointAgainReplacesTheRowWhole)
{
    Checkpoint row = checkpoint("ckpt-1", CheckpointState::pending);
    row.environment = {{"criu", "3.17"}, {"old", "x"}};
    row.statistics = {{"pages", 1}, {"old", 2}};
    catalog.save(row);
    row.state = CheckpointState::available;
    row.image_id = "another";
    row.source = InstanceId{"inst-2"};
    row.template_digest = "another";
    row.environment = {{"criu", "4.0"}};
    row.statistics = {{"pages", 5}};
    catalog.save(row);
    const Checkpoint found = catalog.get(row.id);
    EXPECT_EQ(found.state, CheckpointState::available);
    EXPECT_EQ(found.image_id, "another");
    EXPECT_EQ(found.source, row.source);
    EXPECT_EQ(found.template_digest, "another");
    EXPECT_EQ(found.environment, row.environment);
    EXPECT_EQ(found.statistics, row.statistics);
}

TEST_P(CatalogTest, FindsNothingWhereThereIsNothing)
{
    EXPECT_FALSE(catalog.find(CheckpointId{"ckpt-1"}));
    EXPECT_FALSE(catalog.find(InstanceId{"inst-1"}));
    EXPECT_FALSE(catalog.find(OperationId{"op-1"}));
}

TEST_P(CatalogTest, GettingWhatIsNotThereNamesTheWayToTheList)
{
    const Error missing = expect_error(ErrorCode::not_found,
                                       [this] { static_cast<void>(catalog.get(CheckpointId{"x"})); });
    EXPECT_STREQ(missing.what(), "no checkpoint \"x\"");
    EXPECT_TRUE(contains(missing.hint(), "/v1/checkpoints"));
    expect_error(ErrorCode::not_found, [this] { static_cast<void>(catalog.get(InstanceId{"x"})); });
    expect_error(ErrorCode::not_found, [this] { static_cast<void>(catalog.get(OperationId{"x"})); });
}

TEST_P(CatalogTest, DoesNotMistakeAnIdForSql)
{
    catalog.save(instance("inst-1"));
    EXPECT_FALSE(catalog.find(InstanceId{"' OR '1' = '1"}));
}

TEST_P(CatalogTest, MovesAnInstanceOutOfAnAllowedState)
{
    Instance row = instance("inst-1", InstanceState::idle);
    row.phases = some_phases();
    catalog.save(row);
    const Instance moved = catalog.transition(row.id, {InstanceState::warming, InstanceState::idle},
                                              InstanceState::leased);
    EXPECT_EQ(moved.state, InstanceState::leased);
    EXPECT_EQ(moved.phases, row.phases);
    const Instance found = catalog.get(row.id);
    EXPECT_EQ(found.state, InstanceState::leased);
    EXPECT_EQ(found.phases, row.phases);
}

TEST_P(CatalogTest, ATransitionSetsTheReason)
{
    catalog.save(instance("inst-1"));
    EXPECT_EQ(
        catalog.transition(InstanceId{"inst-1"}, {InstanceState::idle}, InstanceState::draining, "asked for").reason,
        "asked for");
    EXPECT_EQ(catalog.get(InstanceId{"inst-1"}).reason, "asked for");
}

TEST_P(CatalogTest, RefusesATransitionFromAnotherStateAndNamesIt)
{
    Instance row = instance("inst-1", InstanceState::draining);
    row.reason = "asked for";
    catalog.save(row);
    const Error error = expect_error(ErrorCode::conflict,
                                     [&] { catalog.transition(row.id, {InstanceState::idle}, InstanceState::leased); });
    EXPECT_TRUE(contains(error.what(), "inst-1 is draining (asked for)")) << error.what();
    EXPECT_EQ(catalog.get(row.id).state, InstanceState::draining);
    expect_error(ErrorCode::conflict, [&] { catalog.transition(row.id, {}, InstanceState::leased); });
}

TEST_P(CatalogTest, RefusesATransitionOfAnInstanceThatIsNotThere)
{
    expect_error(ErrorCode::not_found,
                 [this] { catalog.transition(InstanceId{"x"}, {InstanceState::idle}, InstanceState::leased); });
}

TEST_P(CatalogTest, ARefusedTransitionLeavesTheCatalogUsable)
{
    catalog.save(instance("inst-1", InstanceState::terminated));
    expect_error(ErrorCode::conflict,
                 [this] { catalog.transition(InstanceId{"inst-1"}, {InstanceState::idle}, InstanceState::leased); });
    EXPECT_NO_THROW(catalog.save(instance("inst-2")));
}

TEST_P(CatalogTest, ListsNewestFirstPageByPage)
{
    for (const char* const id : {"op-3", "op-1", "op-5", "op-2", "op-4"}) catalog.save(operation(id));
    EXPECT_EQ(ids(catalog.operations({.limit = 2})), (Ids{"op-5", "op-4"}));
    EXPECT_EQ(ids(catalog.operations({.limit = 2, .before = "op-4"})), (Ids{"op-3", "op-2"}));
    EXPECT_EQ(ids(catalog.operations({.limit = 2, .before = "op-2"})), (Ids{"op-1"}));
    EXPECT_TRUE(catalog.operations({.limit = 2, .before = "op-1"}).empty());
    EXPECT_EQ(catalog.operations(Page::all()).size(), 5U);
}

TEST_P(CatalogTest, ACursorWhoseRowIsGoneStillSplitsTheList)
{
    for (const char* const id : {"ckpt-1", "ckpt-2", "ckpt-3"}) catalog.save(checkpoint(id));
    catalog.erase(CheckpointId{"ckpt-2"});
    EXPECT_EQ(ids(catalog.checkpoints({.limit = 5, .before = "ckpt-2"})), (Ids{"ckpt-1"}));
}

TEST_P(CatalogTest, ListsCheckpointsOfOneTemplateOrOfAll)
{
    catalog.save(checkpoint("ckpt-1", CheckpointState::available, "octave"));
    catalog.save(checkpoint("ckpt-2", CheckpointState::failed, "maxima"));
    catalog.save(checkpoint("ckpt-3", CheckpointState::deleting, "octave"));
    EXPECT_EQ(ids(catalog.checkpoints(Page::all())), (Ids{"ckpt-3", "ckpt-2", "ckpt-1"}));
    EXPECT_EQ(ids(catalog.checkpoints(Page::all(), TemplateName{"octave"})), (Ids{"ckpt-3", "ckpt-1"}));
    EXPECT_EQ(ids(catalog.checkpoints({.limit = 1, .before = "ckpt-3"}, TemplateName{"octave"})), (Ids{"ckpt-1"}));
    EXPECT_TRUE(catalog.checkpoints(Page::all(), TemplateName{"nobody"}).empty());
}

TEST_P(CatalogTest, ListsTerminatedInstancesOnlyWhenAsked)
{
    catalog.save(instance("inst-1", InstanceState::terminated));
    catalog.save(instance("inst-2", InstanceState::idle));
    catalog.save(instance("inst-3", InstanceState::draining));
    EXPECT_EQ(ids(catalog.instances(Page::all())), (Ids{"inst-3", "inst-2"}));
    EXPECT_EQ(ids(catalog.instances(Page::all(), true)), (Ids{"inst-3", "inst-2", "inst-1"}));
}

TEST_P(CatalogTest, UnfinishedOperationsAreTheQueuedAndTheRunning)
{
    catalog.save(operation("op-1", OperationState::queued));
    catalog.save(operation("op-2", OperationState::running));
    catalog.save(operation("op-3", OperationState::succeeded));
    catalog.save(operation("op-4", OperationState::failed));
    catalog.save(operation("op-5", OperationState::cancelled));
    EXPECT_EQ(ids(catalog.unfinished_operations()), (Ids{"op-2", "op-1"}));
}

TEST_P(CatalogTest, TheNewestAvailableCheckpointIsTheNewestOfItsTemplateThatCanBeRestored)
{
    EXPECT_FALSE(catalog.newest_available(TemplateName{"octave"}, "digest"));
    catalog.save(checkpoint("ckpt-1"));
    catalog.save(checkpoint("ckpt-2"));
    catalog.save(checkpoint("ckpt-3", CheckpointState::quarantined));
    catalog.save(checkpoint("ckpt-4", CheckpointState::dumping));
    catalog.save(checkpoint("ckpt-5", CheckpointState::available, "maxima"));
    EXPECT_FALSE(catalog.newest_available(TemplateName{"octave"}, "of another version of the template"));
    const auto newest = catalog.newest_available(TemplateName{"octave"}, "digest");
    ASSERT_TRUE(newest);
    EXPECT_EQ(newest->id, CheckpointId{"ckpt-2"});
    Ids asked;
    const auto older = catalog.newest_available(TemplateName{"octave"}, "digest", [&asked](const Checkpoint& next) {
        asked.push_back(next.id.value());
        return next.id == CheckpointId{"ckpt-1"};
    });
    ASSERT_TRUE(older);
    EXPECT_EQ(older->id, CheckpointId{"ckpt-1"});
    EXPECT_EQ(asked, (Ids{"ckpt-2", "ckpt-1"}));
    EXPECT_FALSE(catalog.newest_available(TemplateName{"octave"}, "digest", [](const Checkpoint&) { return false; }));
}

TEST_P(CatalogTest, PruningKeepsTheNewestFinishedOperationsAndTerminatedInstances)
{
    for (int i = 1; i <= 5; ++i) {
        Operation finished = operation("op-" + std::to_string(i), OperationState::failed);
        finished.phases = some_phases();
        catalog.save(finished);
        catalog.save(instance("inst-" + std::to_string(i), InstanceState::terminated));
    }
    catalog.save(operation("op-0a", OperationState::queued));
    catalog.save(operation("op-0b", OperationState::running));
    catalog.save(instance("inst-0", InstanceState::idle));
    catalog.save(checkpoint("ckpt-0"));
    catalog.prune_history(2);
    EXPECT_EQ(ids(catalog.operations(Page::all())), (Ids{"op-5", "op-4", "op-0b", "op-0a"}));
    EXPECT_EQ(ids(catalog.instances(Page::all(), true)), (Ids{"inst-5", "inst-4", "inst-0"}));
    EXPECT_EQ(catalog.checkpoints(Page::all()).size(), 1U);
    EXPECT_EQ(catalog.get(OperationId{"op-5"}).phases, some_phases());
}

TEST_P(CatalogTest, PruningForgetsNothingWhileThereIsLittle)
{
    catalog.save(operation("op-1"));
    catalog.save(instance("inst-1", InstanceState::terminated));
    catalog.prune_history(10);
    EXPECT_TRUE(catalog.find(OperationId{"op-1"}));
    EXPECT_TRUE(catalog.find(InstanceId{"inst-1"}));
}

TEST_P(CatalogTest, KeepsHowAnInstanceWasMade)
{
    for (const auto path : {InstancePath::linked, InstancePath::archive, InstancePath::cold}) {
        for (const bool pooled : {false, true}) {
            Instance saved = instance("inst-1");
            saved.path = path;
            saved.pooled = pooled;
            catalog.save(saved);
            EXPECT_EQ(catalog.get(saved.id).path, path);
            EXPECT_EQ(catalog.get(saved.id).pooled, pooled);
        }
    }
}

TEST_P(CatalogTest, BeginningALeaseLeasesItsInstance)
{
    catalog.save(instance("inst-1"));
    Lease saved = lease("lease-1");
    saved.path = InstancePath::linked;
    saved.ttl = 90s;
    saved.elapsed = 1500us;
    EXPECT_EQ(catalog.begin(saved).state, InstanceState::leased);
    EXPECT_EQ(catalog.get(InstanceId{"inst-1"}).state, InstanceState::leased);
    const Lease found = catalog.get(saved.id);
    EXPECT_EQ(found.template_name, saved.template_name);
    EXPECT_EQ(found.instance, saved.instance);
    EXPECT_EQ(found.state, LeaseState::active);
    EXPECT_EQ(found.path, InstancePath::linked);
    EXPECT_EQ(found.ttl, 90s);
    EXPECT_EQ(found.created_at, Time{1s});
    EXPECT_EQ(found.expires_at, Time{61s});
    EXPECT_FALSE(found.ended_at);
    EXPECT_EQ(found.elapsed, 1500us);
}

TEST_P(CatalogTest, ALeaseThatCannotBeginLeavesNoRow)
{
    for (const auto state : {InstanceState::warming, InstanceState::restoring, InstanceState::leased,
                             InstanceState::draining, InstanceState::terminated}) {
        catalog.save(instance("inst-1", state));
        expect_error(ErrorCode::conflict, [&] { catalog.begin(lease("lease-1")); });
        EXPECT_EQ(catalog.get(InstanceId{"inst-1"}).state, state);
    }
    expect_error(ErrorCode::not_found, [&] { catalog.begin(lease("lease-1", "inst-nobody")); });
    EXPECT_TRUE(catalog.leases(Page::all(), true).empty());
    const Error error = expect_error(ErrorCode::not_found, [&] { static_cast<void>(catalog.get(LeaseId{"lease-1"})); });
    EXPECT_TRUE(contains(error.hint(), "/v1/leases")) << error.hint();
}

TEST_P(CatalogTest, EndingALeaseDrainsItsInstanceOnce)
{
    catalog.save(instance("inst-1"));
    Lease row = lease("lease-1");
    catalog.begin(row);
    row.state = LeaseState::expired;
    row.ended_at = Time{70s};
    const auto drained = catalog.end(row, "its lease expired");
    ASSERT_TRUE(drained);
    EXPECT_EQ(drained->state, InstanceState::draining);
    EXPECT_EQ(catalog.get(InstanceId{"inst-1"}).reason, "its lease expired");
    EXPECT_EQ(catalog.get(row.id).state, LeaseState::expired);
    EXPECT_EQ(catalog.get(row.id).ended_at, Time{70s});
    EXPECT_FALSE(catalog.end(row, "again"));
    EXPECT_EQ(catalog.get(InstanceId{"inst-1"}).reason, "its lease expired");
}

TEST_P(CatalogTest, EndingALeaseLeavesAnInstanceAloneThatIsNotLeased)
{
    Lease row = lease("lease-1");
    row.state = LeaseState::lost;
    for (const auto state : {InstanceState::idle, InstanceState::draining, InstanceState::terminated}) {
        catalog.save(instance("inst-1", state));
        EXPECT_FALSE(catalog.end(row, "lost"));
        EXPECT_EQ(catalog.get(InstanceId{"inst-1"}).state, state);
    }
    row.instance = InstanceId{"inst-nobody"};
    EXPECT_FALSE(catalog.end(row, "lost"));
    EXPECT_EQ(catalog.get(row.id).state, LeaseState::lost);
}

TEST_P(CatalogTest, ListsEndedLeasesOnlyWhenAsked)
{
    for (const char* const number : {"1", "2", "3"}) {
        catalog.save(instance(std::string{"inst-"} + number));
        catalog.begin(lease(std::string{"lease-"} + number, std::string{"inst-"} + number));
    }
    Lease ended = lease("lease-2", "inst-2");
    ended.state = LeaseState::released;
    catalog.end(ended, "released");
    EXPECT_EQ(ids(catalog.leases(Page::all())), (Ids{"lease-3", "lease-1"}));
    EXPECT_EQ(ids(catalog.leases(Page::all(), true)), (Ids{"lease-3", "lease-2", "lease-1"}));
    EXPECT_EQ(ids(catalog.leases(Page{.limit = 1, .before = "lease-3"}, true)), Ids{"lease-2"});
}

TEST_P(CatalogTest, PruningKeepsTheNewestEndedLeasesAndAllActiveOnes)
{
    for (const char* const number : {"1", "2", "3", "4"}) {
        catalog.save(instance(std::string{"inst-"} + number));
        catalog.begin(lease(std::string{"lease-"} + number, std::string{"inst-"} + number));
        Lease ended = lease(std::string{"lease-"} + number, std::string{"inst-"} + number);
        ended.state = LeaseState::released;
        if (*number != '1') catalog.end(ended, "released");
    }
    catalog.prune_history(1);
    EXPECT_EQ(ids(catalog.leases(Page::all(), true)), (Ids{"lease-4", "lease-1"}));
}

std::vector<std::string> told(const Catalog& catalog, std::int64_t after = 0)
{
    std::vector<std::string> lines;
    for (const Event& event : catalog.events_after(after, 100)) {
        lines.push_back(std::to_string(event.id) + " " + std::string{to_string(event.kind)} + " " + event.subject +
                        " " + event.state + (event.reason.empty() ? "" : " " + event.reason));
    }
    return lines;
}

TEST_P(CatalogTest, TellsOfWhatIsNewAndOfNewStatesAndOfNothingElse)
{
    EXPECT_EQ(catalog.last_event(), 0);
    EXPECT_EQ(catalog.oldest_event(), 1);
    catalog.save(instance("inst-1", InstanceState::warming));
    Instance changed = instance("inst-1", InstanceState::warming);
    changed.container = ContainerId{"c"};
    catalog.save(changed);
    catalog.transition(changed.id, {InstanceState::warming}, InstanceState::idle);
    catalog.begin(lease("lease-1"));
    Lease ended = lease("lease-1");
    ended.state = LeaseState::released;
    catalog.end(ended, "released");
    Operation failed = operation("op-1", OperationState::failed);
    failed.error = Error{ErrorCode::busy, "too much"};
    catalog.save(failed);
    catalog.save(checkpoint("ckpt-1"));
    catalog.erase(CheckpointId{"ckpt-1"});
    catalog.erase(CheckpointId{"ckpt-1"});
    EXPECT_EQ(told(catalog), (Ids{"1 instance inst-1 warming", "2 instance inst-1 idle", "3 instance inst-1 leased",
                                  "4 lease lease-1 active", "5 lease lease-1 released released",
                                  "6 instance inst-1 draining released", "7 operation op-1 failed too much",
                                  "8 checkpoint ckpt-1 available", "9 checkpoint ckpt-1 deleted"}));
    EXPECT_EQ(told(catalog, 8), Ids{"9 checkpoint ckpt-1 deleted"});
    EXPECT_EQ(catalog.events_after(0, 2).size(), 2U);
    EXPECT_EQ(catalog.last_event(), 9);
    EXPECT_EQ(catalog.oldest_event(), 1);
    EXPECT_EQ(catalog.events_after(0, 1).front().template_name, TemplateName{"octave"});
}

TEST_P(CatalogTest, AChangeThatFailsLeavesNoEvent)
{
    catalog.save(operation("op-1"), RequestKey{.caller = "uid 1", .key = "k", .fingerprint = "f"});
    EXPECT_THROW(catalog.save(operation("op-2"), RequestKey{.caller = "uid 1", .key = "k", .fingerprint = "f"}), Error);
    EXPECT_EQ(catalog.last_event(), 1);
    EXPECT_EQ(told(catalog), Ids{"1 operation op-1 succeeded"});
    catalog.save(operation("op-2"));
    EXPECT_EQ(told(catalog, 1), Ids{"2 operation op-2 succeeded"});  // ids have no gaps
}

TEST_P(CatalogTest, OldEventsAreForgotten)
{
    Instance row = instance("inst-1");
    for (int i = 0; i < 10'005; ++i) {
        row.state = i % 2 == 0 ? InstanceState::idle : InstanceState::draining;
        catalog.save(row);
    }
    catalog.prune_history(10);
    EXPECT_EQ(catalog.last_event(), 10'005);
    EXPECT_EQ(catalog.oldest_event(), 6);
    EXPECT_EQ(catalog.events_after(0, 1).front().id, 6);
}

TEST_P(CatalogTest, WaitsForAnEventForAStopAndForANudge)
{
    std::stop_source stop;
    EXPECT_FALSE(catalog.wait_for_event(0, 1ms, stop.get_token()));
    {
        const std::jthread writer{[this] { catalog.save(operation("op-1")); }};
        EXPECT_TRUE(catalog.wait_for_event(0, 1min, stop.get_token()));
    }
    EXPECT_TRUE(catalog.wait_for_event(0, 0ms, stop.get_token()));
    {
        std::atomic<bool> wanted = false;
        const std::jthread other{[&] {
            wanted = true;
            catalog.nudge();
        }};
        EXPECT_TRUE(catalog.wait_for_event(1, 1min, stop.get_token(), [&wanted] { return wanted.load(); }));
    }
    const std::jthread stopper{[&stop] { stop.request_stop(); }};
    EXPECT_FALSE(catalog.wait_for_event(1, 1h, stop.get_token()));
}

TEST_P(CatalogTest, ErasingACheckpointTwiceIsNoError)
{
    catalog.save(checkpoint("ckpt-1"));
    catalog.erase(CheckpointId{"ckpt-1"});
    EXPECT_FALSE(catalog.find(CheckpointId{"ckpt-1"}));
    EXPECT_NO_THROW(catalog.erase(CheckpointId{"ckpt-1"}));
}

RequestKey request_key(const std::string& key, const std::string& caller = "uid 1")
{
    return {.caller = caller, .key = key, .fingerprint = "print of " + key};
}

TEST_P(CatalogTest, AKeyIsWrittenWithWhatItsRequestBegan)
{
    catalog.save(operation("op-1"), request_key("k"));
    const auto begun = catalog.find(request_key("k"));
    ASSERT_TRUE(begun);
    EXPECT_EQ(begun->subject, "op-1");
    EXPECT_EQ(begun->fingerprint, "print of k");
    EXPECT_FALSE(catalog.find(request_key("k", "uid 2")));

    catalog.save(instance("inst-1"));
    catalog.begin(lease("lease-1"), request_key("l"));
    EXPECT_EQ(catalog.find(request_key("l")).value().subject, "lease-1");
}

TEST_P(CatalogTest, WhatFailsToBeginLeavesNoKey)
{
    catalog.save(instance("inst-1", InstanceState::draining));
    expect_error(ErrorCode::conflict, [this] { catalog.begin(lease("lease-1"), request_key("l")); });
    EXPECT_FALSE(catalog.find(request_key("l")));

    // Nor does a key that is known already let a second operation in.
    catalog.save(operation("op-1"), request_key("k"));
    expect_error(ErrorCode::internal, [this] { catalog.save(operation("op-2"), request_key("k")); });
    EXPECT_FALSE(catalog.find(OperationId{"op-2"}));
}

TEST_P(CatalogTest, KeysKeepWhatTheyBeganUntilTheyArePruned)
{
    catalog.save(operation("op-1"), request_key("a"));
    catalog.save(operation("op-2"), request_key("b"));
    catalog.save(operation("op-3"));
    catalog.prune_history(0);
    EXPECT_EQ(ids(catalog.operations(Page::all())), (Ids{"op-2", "op-1"}));

    catalog.prune_keys(Time{1s}, 1);  // none is older, and there is one too many
    EXPECT_FALSE(catalog.find(request_key("a")));
    EXPECT_TRUE(catalog.find(request_key("b")));
    catalog.prune_keys(Time{2s}, 1);
    EXPECT_FALSE(catalog.find(request_key("b")));
    catalog.prune_history(0);
    EXPECT_EQ(ids(catalog.operations(Page::all())), Ids{});
}

class CatalogFileTest : public ::testing::Test {
protected:
    void execute(const std::string& sql) const
    {
        SQLite::Database database{path.string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE};
        database.exec(sql);
    }

    test::TempDir directory;
    const std::filesystem::path path = directory / "catalog.db";
};

TEST_F(CatalogFileTest, KeepsItsRowsWhenReopened)
{
    {
        Catalog first{path.string()};
        Checkpoint row = checkpoint("ckpt-1");
        row.phases = some_phases();
        row.environment = {{"criu", "3.17"}};
        row.statistics = {{"pages", 1}};
        first.save(row);
        first.save(operation("op-1"));
    }
    const Catalog second{path.string()};
    const Checkpoint found = second.get(CheckpointId{"ckpt-1"});
    EXPECT_EQ(found.phases, some_phases());
    EXPECT_EQ(found.environment.at("criu"), "3.17");
    EXPECT_EQ(found.statistics.at("pages"), 1);
    EXPECT_TRUE(second.find(OperationId{"op-1"}));
}

TEST_F(CatalogFileTest, LetsNobodyElseInWhileItIsOpen)
{
    const Catalog catalog{path.string()};
    EXPECT_THROW(execute("DELETE FROM instance"), SQLite::Exception);
}

TEST_F(CatalogFileTest, ErasingACheckpointLeavesNoRowOfIts)
{
    Checkpoint row = checkpoint("ckpt-1");
    row.phases = some_phases();
    row.environment = {{"criu", "3.17"}};
    row.statistics = {{"pages", 1}};
    Catalog{path.string()}.save(row);
    EXPECT_EQ(count_rows(path, "phase"), 3);
    EXPECT_EQ(count_rows(path, "environment"), 1);
    EXPECT_EQ(count_rows(path, "statistic"), 1);
    Catalog{path.string()}.erase(row.id);
    for (const char* const table : {"checkpoint", "phase", "environment", "statistic"}) {
        EXPECT_EQ(count_rows(path, table), 0) << table;
    }
}

TEST_F(CatalogFileTest, PruningLeavesNoPhaseOfWhatItForgets)
{
    Operation row = operation("op-1");
    row.phases = some_phases();
    Catalog{path.string()}.save(row);
    Catalog{path.string()}.prune_history(0);
    EXPECT_EQ(count_rows(path, "operation"), 0);
    EXPECT_EQ(count_rows(path, "phase"), 0);
}

TEST_F(CatalogFileTest, BringsACatalogOfTheFirstVersionUpToDateAndKeepsItsRows)
{
    execute(detail::kSchemaSql);
    execute("INSERT INTO instance (id, template, state, origin, created_at) VALUES ('inst-old', 'octave', 'idle', "
            "'warm', 1); PRAGMA user_version = 1");
    Catalog catalog{path.string()};
    Instance old = catalog.get(InstanceId{"inst-old"});
    EXPECT_EQ(old.agent_socket, "");
    old.agent_socket = "/run/warm/agent.sock";
    catalog.save(old);
    EXPECT_EQ(catalog.get(old.id).agent_socket, "/run/warm/agent.sock");
    Checkpoint row = checkpoint("ckpt-1");
    row.agent_socket = "/elsewhere";
    catalog.save(row);
    EXPECT_EQ(catalog.get(row.id).agent_socket, "/elsewhere");
}

TEST_F(CatalogFileTest, BringsACatalogOfTheSecondVersionUpToDateAndKnowsHowItsInstancesWereMade)
{
    execute(detail::kSchemaSql);
    execute("ALTER TABLE instance ADD COLUMN agent_socket TEXT NOT NULL DEFAULT '';"
            "ALTER TABLE checkpoint ADD COLUMN agent_socket TEXT NOT NULL DEFAULT '';"
            "INSERT INTO instance (id, template, state, origin, created_at, agent_socket) VALUES "
            "('inst-started', 'octave', 'idle', 'warm', 1, '/run/agent'), "
            "('inst-restored', 'octave', 'idle', 'restore', 1, ''); PRAGMA user_version = 2");
    {
        Catalog catalog{path.string()};
        const Instance started = catalog.get(InstanceId{"inst-started"});
        EXPECT_EQ(started.path, InstancePath::cold);
        EXPECT_FALSE(started.pooled);
        EXPECT_EQ(started.agent_socket, "/run/agent");
        EXPECT_EQ(catalog.get(InstanceId{"inst-restored"}).path, InstancePath::archive);
        EXPECT_TRUE(catalog.leases(Page::all(), true).empty());
        catalog.begin(lease("lease-1", "inst-started"));
    }
    const Catalog again{path.string()};
    EXPECT_EQ(ids(again.leases(Page::all())), Ids{"lease-1"});
    EXPECT_EQ(again.get(InstanceId{"inst-started"}).state, InstanceState::leased);
}

TEST_F(CatalogFileTest, RefusesASchemaThatIsNewerThanTheProgram)
{
    {
        const Catalog catalog{path.string()};
    }
    execute("PRAGMA user_version = 999");
    const Error error = expect_error(ErrorCode::conflict, [this] { Catalog{path.string()}; });
    EXPECT_TRUE(contains(error.what(), "schema version 999")) << error.what();
    EXPECT_FALSE(error.hint().empty());
}

TEST_F(CatalogFileTest, RefusesAFileThatIsNoDatabase)
{
    write_file(path, std::string(8192, 'x'));
    const Error error = expect_error(ErrorCode::corrupt, [this] { Catalog{path.string()}; });
    EXPECT_TRUE(contains(error.what(), path.string())) << error.what();
    EXPECT_TRUE(contains(error.hint(), "move the file away")) << error.hint();
}

TEST_F(CatalogFileTest, RefusesADatabaseWithDamagedPages)
{
    {
        Catalog catalog{path.string()};
        for (int i = 0; i < 300; ++i) {
            Operation row = operation("op-" + std::to_string(i));
            row.error = Error{ErrorCode::internal, std::string(500, 'e')};
            catalog.save(row);
        }
    }
    const auto size = std::filesystem::file_size(path);
    ASSERT_GT(size, 100'000U);
    std::fstream file{path, std::ios::in | std::ios::out | std::ios::binary};
    file.seekp(static_cast<std::streamoff>(size / 2));
    file << std::string(20'000, '\xA5');
    file.close();
    expect_error(ErrorCode::corrupt, [this] { Catalog{path.string()}; });
}

TEST_F(CatalogFileTest, RefusesATruncatedDatabase)
{
    {
        Catalog catalog{path.string()};
        for (int i = 0; i < 100; ++i) catalog.save(operation("op-" + std::to_string(i)));
    }
    std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
    expect_error(ErrorCode::corrupt, [this] { Catalog{path.string()}; });
}

TEST_F(CatalogFileTest, AWordThatItDoesNotKnowIsDamage)
{
    Catalog{path.string()}.save(instance("inst-1"));
    execute("UPDATE instance SET state = 'levitating'");
    const Error error = expect_error(ErrorCode::corrupt, [this] { Catalog{path.string()}; });
    EXPECT_TRUE(contains(error.cause(), "levitating")) << error.cause();
}

TEST_F(CatalogFileTest, DamageThatShowsLaterIsRememberedForHealthChecks)
{
    Operation ended = operation("op-1");
    ended.state = OperationState::succeeded;
    Catalog{path.string()}.save(ended);
    execute("UPDATE operation SET kind = 'levitate'");
    const Catalog catalog{path.string()};
    EXPECT_NO_THROW(catalog.ping());
    const Error error = expect_error(ErrorCode::corrupt, [&] { static_cast<void>(catalog.get(OperationId{"op-1"})); });
    EXPECT_EQ(error.cause(), "levitate");
    EXPECT_FALSE(error.hint().empty());
    expect_error(ErrorCode::corrupt, [&] { catalog.ping(); });
}

TEST_F(CatalogFileTest, ADamagedSchemaIsDamage)
{
    Catalog{path.string()}.save(instance("inst-1"));
    execute("ALTER TABLE checkpoint RENAME COLUMN image_id TO image_ie");
    expect_error(ErrorCode::corrupt, [this] { Catalog{path.string()}; });
}

TEST_F(CatalogFileTest, ADamagedOneIsMovedAsideAndAnotherMade)
{
    write_file(path, std::string(8192, 'x'));
    const OpenedCatalog opened = open_catalog(path.string());
    EXPECT_TRUE(opened.catalog->instances(Page::all()).empty());
    EXPECT_TRUE(opened.damaged.starts_with(path.string() + ".damaged-2")) << opened.damaged;
    EXPECT_FALSE(opened.damage.empty());
    EXPECT_EQ(std::filesystem::file_size(opened.damaged), 8192U);
    opened.catalog->save(instance("inst-1"));
}

TEST_F(CatalogFileTest, AGoodOneIsOpenedAsItIs)
{
    Catalog{path.string()}.save(instance("inst-1"));
    const OpenedCatalog opened = open_catalog(path.string());
    EXPECT_EQ(opened.damaged, "");
    EXPECT_TRUE(opened.catalog->find(InstanceId{"inst-1"}));
}

TEST_F(CatalogFileTest, MovesACheckpointFromStateToStateAndLeavesTheRestOfItsRow)
{
    Catalog catalog{path.string()};
    Checkpoint row = checkpoint("ckpt-1");
    row.state = CheckpointState::available;
    row.canary = "status 0";
    row.environment["kernel"] = "6.12";
    catalog.save(row);
    const Time at{Duration{5}};
    catalog.set_verified(row.id, at);
    EXPECT_EQ(catalog.transition(row.id, {CheckpointState::available}, CheckpointState::quarantined, "damaged").reason,
              "damaged");
    const Checkpoint moved = catalog.get(row.id);
    EXPECT_EQ(moved.state, CheckpointState::quarantined);
    EXPECT_EQ(moved.verified_at, at);
    EXPECT_EQ(moved.canary, "status 0");
    EXPECT_EQ(moved.environment.at("kernel"), "6.12");
    EXPECT_EQ(catalog.events_after(0, 10).back().state, "quarantined");
    expect_error(ErrorCode::conflict,
                 [&] { catalog.transition(row.id, {CheckpointState::available}, CheckpointState::quarantined); });
    expect_error(ErrorCode::not_found, [&] {
        catalog.transition(CheckpointId{"ckpt-2"}, {CheckpointState::available}, CheckpointState::quarantined);
    });
    EXPECT_NO_THROW(catalog.set_verified(CheckpointId{"ckpt-2"}, at));
}

TEST_F(CatalogFileTest, CannotBeOpenedWhereThereIsNoDirectory)
{
    expect_error(ErrorCode::internal, [this] { Catalog{(directory / "missing/catalog.db").string()}; });
}

TEST_F(CatalogFileTest, DoesNotFollowALinkInPlaceOfTheFile)
{
    {
        const Catalog catalog{path.string()};
    }
    std::filesystem::create_symlink(path, directory / "link.db");
    expect_error(ErrorCode::internal, [this] { Catalog{(directory / "link.db").string()}; });
}

TEST(DiskReserve, HoldsSpaceUntilItIsGivenUp)
{
    const test::TempDir directory;
    const std::filesystem::path path = directory / "reserve";
    const detail::DiskReserve reserve{path};
    EXPECT_FALSE(reserve.give_up());
    reserve.take();
    EXPECT_EQ(std::filesystem::file_size(path), std::uintmax_t{8} << 20U);
    reserve.take();
    EXPECT_TRUE(reserve.give_up());
    EXPECT_FALSE(std::filesystem::exists(path));
    detail::DiskReserve{""}.take();
    EXPECT_FALSE(detail::DiskReserve{""}.give_up());
    detail::DiskReserve{directory / "no/such/directory"}.take();
}

TEST(DiskReserve, IsTakenByTheCatalogAndTakenAgainWhenHistoryIsPruned)
{
    const test::TempDir directory;
    Catalog catalog{(directory / "catalog.sqlite").string()};
    const std::filesystem::path path = directory / "catalog.sqlite.reserve";
    EXPECT_TRUE(std::filesystem::exists(path));
    std::filesystem::remove(path);
    catalog.prune_history(10);
    EXPECT_TRUE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace warmd
