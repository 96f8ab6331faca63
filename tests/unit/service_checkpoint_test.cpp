#include <fstream>
#include <set>
#include <vector>

#include "tests/support/service_fixture.h"
#include "tests/unit/expect_error.h"

namespace warmd {
namespace {

using test::contains;
using test::expect_error;

class CheckpointTest : public test::ServiceFixture {
protected:
    void expect_no_trace()
    {
        EXPECT_EQ(files_in("checkpoints"), 0U);
        EXPECT_EQ(files_in("tmp"), 0U);
        EXPECT_FALSE(catalog().newest_available(TemplateName{"quick"}, test::quick_template().digest));
    }
};

TEST_F(CheckpointTest, OfATemplateWarmsDumpsPublishesAndRemovesTheSource)
{
    const Checkpoint made = checkpoint();
    EXPECT_EQ(made.state, CheckpointState::available);
    EXPECT_EQ(made.sha256.size(), 64U);
    EXPECT_EQ(made.size_bytes, std::filesystem::file_size(store().path_of(made.id)));
    EXPECT_EQ(made.image_id, std::string(64, 'a'));
    EXPECT_EQ(made.environment.at("runtime"), "fake");
    EXPECT_FALSE(made.environment.at("cpu_model").empty());
    EXPECT_EQ(made.phases.back().name, "publish");
    EXPECT_EQ(made.phases.front().name, "create");
    EXPECT_TRUE(engine.container_names().empty());
    const Instance source = catalog().get(made.source);
    EXPECT_EQ(source.state, InstanceState::terminated);
    EXPECT_NE(source.reason.find(made.id.value()), std::string::npos);
    EXPECT_EQ(files_in("tmp"), 0U);
}

TEST_F(CheckpointTest, OfAnInstanceKeepsWhatWasDoneInIt)
{
    const Instance source = warm();
    exec(source.id, "echo kept > state");
    const Operation done = finish(service().checkpoint(source.id));
    ASSERT_EQ(done.state, OperationState::succeeded);
    const Operation restored = finish(service().restore(done.checkpoint));
    ASSERT_EQ(restored.state, OperationState::succeeded);
    EXPECT_EQ(exec(restored.instance, "cat state"), "kept\n");
    EXPECT_EQ(catalog().get(restored.instance).checkpoint, done.checkpoint);
}

TEST_F(CheckpointTest, OneThatFailsLeavesNothingButItsRow)
{
    engine.fail_next("checkpoint", Error{ErrorCode::engine_failed, "criu failed"});
    const Operation done = finish(service().checkpoint(TemplateName{"quick"}));
    EXPECT_EQ(done.state, OperationState::failed);
    EXPECT_EQ(done.error->code(), ErrorCode::engine_failed);
    EXPECT_EQ(catalog().get(done.checkpoint).state, CheckpointState::failed);
    EXPECT_EQ(catalog().get(done.checkpoint).reason, "criu failed");
    expect_no_trace();
    EXPECT_TRUE(engine.container_names().empty());
}

TEST_F(CheckpointTest, AStreamThatBreaksOffIsNotPublishedAndTheInstanceIsBroughtBack)
{
    const Instance source = warm();
    engine.fail_checkpoint_after(1000);
    const Operation done = finish(service().checkpoint(source.id));
    EXPECT_EQ(done.state, OperationState::failed);
    expect_no_trace();
    EXPECT_EQ(catalog().get(source.id).state, InstanceState::idle);
    EXPECT_EQ(engine.calls("resume"), 1);
    EXPECT_EQ(exec(source.id, "echo alive"), "alive\n");
}

TEST_F(CheckpointTest, AHostileExportIsNotPublishedAndTheInstanceIsBroughtBack)
{
    const Instance source = warm();
    engine.plant("../../etc/cron.d/evil");
    const Operation done = finish(service().checkpoint(source.id));
    EXPECT_EQ(done.state, OperationState::failed);
    ASSERT_TRUE(done.error);
    EXPECT_EQ(done.error->code(), ErrorCode::invalid_archive);
    EXPECT_TRUE(contains(done.error->what(), "../../etc/cron.d/evil has .. in it")) << done.error->what();
    expect_no_trace();
    EXPECT_EQ(catalog().get(source.id).state, InstanceState::idle);
    EXPECT_EQ(exec(source.id, "echo alive"), "alive\n");
}

TEST_F(CheckpointTest, AnInstanceThatCannotBeBroughtBackIsTerminated)
{
    const Instance source = warm();
    engine.fail_checkpoint_after(1000);
    engine.fail_next("resume", Error{ErrorCode::engine_failed, "no images"});
    finish(service().checkpoint(source.id));
    EXPECT_EQ(catalog().get(source.id).state, InstanceState::terminated);
    EXPECT_TRUE(engine.container_names().empty());
}

TEST_F(CheckpointTest, IsRefusedWhileACommandRunsAndTheInstanceStaysUsable)
{
    const Instance source = warm();
    const auto admission = service().exec().admit(source.id);
    const Operation done = finish(service().checkpoint(source.id));
    EXPECT_EQ(done.state, OperationState::failed);
    EXPECT_EQ(done.error->code(), ErrorCode::conflict);
    EXPECT_EQ(catalog().get(source.id).state, InstanceState::idle);
    EXPECT_EQ(engine.calls("checkpoint"), 0);
}

TEST_F(CheckpointTest, OfATerminatedInstanceIsRefusedAtOnce)
{
    const Instance source = warm();
    ASSERT_EQ(finish(service().terminate(source.id)).state, OperationState::succeeded);
    EXPECT_THROW(service().checkpoint(source.id), Error);
    EXPECT_THROW(service().exec().admit(source.id), Error);
}

TEST_F(CheckpointTest, ASourceThatCannotBeRemovedDoesNotSpoilTheCheckpoint)
{
    engine.fail_next("remove", Error{ErrorCode::timeout, "Podman hangs"});
    const Checkpoint made = checkpoint();
    EXPECT_EQ(made.state, CheckpointState::available);
    EXPECT_EQ(engine.container_names().size(), 1U);
    service().reconcile();
    EXPECT_TRUE(engine.container_names().empty());
    EXPECT_EQ(catalog().get(made.source).state, InstanceState::terminated);
}

TEST_F(CheckpointTest, CancellingADumpInProgressTakesItBack)
{
    engine.hang_next("checkpoint");
    const Operation started = service().checkpoint(TemplateName{"quick"});
    while (engine.calls("checkpoint") == 0) std::this_thread::yield();
    service().operations().cancel(started.id);
    EXPECT_EQ(finish(started).state, OperationState::cancelled);
    expect_no_trace();
    EXPECT_TRUE(engine.container_names().empty());
}

TEST_F(CheckpointTest, DeletingRemovesRowAndFile)
{
    const Checkpoint made = checkpoint();
    ASSERT_EQ(finish(service().delete_checkpoint(made.id)).state, OperationState::succeeded);
    EXPECT_FALSE(catalog().find(made.id));
    expect_no_trace();
    EXPECT_THROW(service().restore(made.id), Error);
}

TEST_F(CheckpointTest, OfManyDeletionsAtOnceOneSucceeds)
{
    options.operation_workers = 4;
    for (int round = 0; round < 20; ++round) {
        const Checkpoint made = checkpoint();
        std::vector<Operation> deletions;
        std::set<ErrorCode> codes;
        for (int i = 0; i < 4; ++i) {
            try {
                deletions.push_back(service().delete_checkpoint(made.id));
            } catch (const Error& error) {  // it is gone already
                codes.insert(error.code());
            }
        }
        int succeeded = 0;
        for (const Operation& deletion : deletions) {
            const Operation ended = finish(deletion);
            succeeded += static_cast<int>(ended.state == OperationState::succeeded);
            if (ended.error) codes.insert(ended.error->code());
        }
        EXPECT_EQ(succeeded, 1);
        for (const ErrorCode code : codes) {
            EXPECT_TRUE(code == ErrorCode::conflict || code == ErrorCode::not_found) << to_string(code);
        }
        EXPECT_FALSE(catalog().find(made.id));
    }
}

TEST_F(CheckpointTest, OneMadeBeforeTheTemplateChangedIsRestoredByItsIdOnly)
{
    const Checkpoint made = checkpoint();
    Template changed = test::quick_template();
    changed.digest = std::string(64, 'e');
    add(changed);
    restart();
    EXPECT_THROW(service().restore_newest(TemplateName{"quick"}), Error);
    EXPECT_EQ(finish(service().restore(made.id)).state, OperationState::succeeded);
}

class RestoreTest : public CheckpointTest {
protected:
    static std::vector<std::string> phase_names(const Operation& operation)
    {
        std::vector<std::string> names;
        for (const Phase& phase : operation.phases) names.push_back(phase.name);
        return names;
    }
};

TEST_F(RestoreTest, MakesIndependentInstances)
{
    const Checkpoint made = checkpoint();
    const Operation first = finish(service().restore(made.id));
    const Operation second = finish(service().restore_newest(TemplateName{"quick"}));
    ASSERT_EQ(first.state, OperationState::succeeded);
    ASSERT_EQ(second.state, OperationState::succeeded);
    exec(first.instance, "echo mine > state");
    EXPECT_EQ(exec(second.instance, "cat state 2> /dev/null || echo none"), "none\n");
    EXPECT_EQ(catalog().get(second.instance).origin, Origin::restore);
}

TEST_F(RestoreTest, TakesTheNewestAvailableCheckpointOfTheTemplate)
{
    checkpoint();
    const Checkpoint newer = checkpoint();
    engine.fail_next("checkpoint", Error{ErrorCode::engine_failed, "no luck"});
    finish(service().checkpoint(TemplateName{"quick"}));
    EXPECT_EQ(service().restore_newest(TemplateName{"quick"}).checkpoint, newer.id);
}

TEST_F(RestoreTest, WithoutACheckpointSaysHowToMakeOne)
{
    try {
        service().restore_newest(TemplateName{"quick"});
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::not_found);
        EXPECT_NE(error.hint().find("/v1/templates/quick/checkpoints"), std::string::npos);
    }
}

TEST_F(RestoreTest, ATarballOfTheWrongSizeNeverReachesTheEngine)
{
    const Checkpoint made = checkpoint();
    std::filesystem::resize_file(store().path_of(made.id), made.size_bytes - 1);
    const Operation done = finish(service().restore(made.id));
    EXPECT_EQ(done.error->code(), ErrorCode::corrupt);
    EXPECT_EQ(engine.calls("restore"), 0);
}

TEST_F(RestoreTest, AnImageThatHasGoneIsNamedBeforeAnythingIsTried)
{
    const Checkpoint made = checkpoint();
    engine.remove_image(test::kImage);
    const Error error = expect_error(ErrorCode::incompatible_host, [&] { service().restore(made.id); });
    EXPECT_TRUE(contains(error.what(), "image_id aaaaaaaaaaaa (not here)")) << error.what();
    EXPECT_TRUE(contains(error.cause(), test::kImage)) << error.cause();
    EXPECT_TRUE(contains(error.hint(), "podman load")) << error.hint();
    EXPECT_EQ(engine.calls("restore"), 0);
    expect_error(ErrorCode::incompatible_host, [&] { service().restore(made.id, {.force = true}); });
    engine.add_image(test::kImage, made.image_id);
    EXPECT_EQ(finish(service().restore(made.id)).state, OperationState::succeeded);
}

TEST_F(RestoreTest, IsLinkedToTheImagesThatTheExportUnpacked)
{
    const Checkpoint made = checkpoint();
    const Operation done = finish(service().restore(made.id));
    EXPECT_EQ(catalog().get(done.instance).path, InstancePath::linked);
    EXPECT_EQ(phase_names(done), (std::vector<std::string>{"restore", "verify"}));
}

TEST_F(RestoreTest, UnpacksAgainWhatWasDropped)
{
    const Checkpoint made = checkpoint();
    store().unpacked().drop(made.id);
    const Operation done = finish(service().restore(made.id));
    EXPECT_EQ(catalog().get(done.instance).path, InstancePath::linked);
    EXPECT_EQ(phase_names(done), (std::vector<std::string>{"unpack", "restore", "verify"}));
}

TEST_F(RestoreTest, AChangedTarballIsFoundBeforeItIsUnpacked)
{
    const Checkpoint made = checkpoint();
    store().unpacked().drop(made.id);
    std::fstream{store().path_of(made.id), std::ios::in | std::ios::out | std::ios::binary}.seekp(700).put('X');
    const Operation done = finish(service().restore(made.id));
    EXPECT_EQ(done.error->code(), ErrorCode::corrupt);
    EXPECT_EQ(engine.calls("restore"), 0);
    EXPECT_EQ(files_in("tmp"), 0U);
}

TEST_F(RestoreTest, FallsBackToTheTarballAndStaysWithIt)
{
    const Checkpoint made = checkpoint();
    engine.fail_next("restore", Error{ErrorCode::engine_failed, "no links here"});
    for (const int calls : {2, 3}) {
        const Operation done = finish(service().restore(made.id));
        EXPECT_EQ(done.state, OperationState::succeeded);
        EXPECT_EQ(catalog().get(done.instance).path, InstancePath::archive);
        EXPECT_EQ(engine.calls("restore"), calls);
    }
}

TEST_F(RestoreTest, ACheckpointThatCannotBeRestoredAtAllSaysNothingOfLinks)
{
    const Checkpoint made = checkpoint();
    for (int i = 0; i < 2; ++i) engine.fail_next("restore", Error{ErrorCode::engine_failed, "no luck"});
    EXPECT_EQ(finish(service().restore(made.id)).state, OperationState::failed);
    const Operation done = finish(service().restore(made.id));
    EXPECT_EQ(catalog().get(done.instance).path, InstancePath::linked);
}

TEST_F(RestoreTest, OneThatFailsLeavesNoContainer)
{
    const Checkpoint made = checkpoint();
    for (const char* const step : {"restore", "inspect"}) {
        engine.fail_next(step, Error{ErrorCode::engine_failed, "no luck"});
        const Operation done = finish(service().restore(made.id, {.path = InstancePath::linked}));
        EXPECT_EQ(done.state, OperationState::failed) << step;
        EXPECT_EQ(catalog().get(done.instance).state, InstanceState::terminated) << step;
        EXPECT_TRUE(engine.container_names().empty()) << step;
    }
}

TEST_F(RestoreTest, AnApplicationThatEndsAtOnceIsAFailure)
{
    const Checkpoint made = checkpoint();
    engine.end_next_restored();
    const Operation done = finish(service().restore(made.id));
    ASSERT_EQ(done.state, OperationState::failed);
    EXPECT_EQ(done.error->code(), ErrorCode::not_ready);
    EXPECT_NE(done.error->cause().find("exited with 7"), std::string::npos);
    EXPECT_TRUE(engine.container_names().empty());
}

}  // namespace
}  // namespace warmd
