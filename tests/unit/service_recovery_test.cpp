#include "daemon/service/recovery.h"

#include <fstream>

#include "tests/support/service_fixture.h"

namespace warmd {
namespace {

class RecoveryTest : public test::ServiceFixture {
protected:
    /// The names of the checks that are not ok.
    std::string unready()
    {
        std::string names;
        for (const ReadinessCheck& check : service().readiness()) names += check.error ? check.name : "";
        return names;
    }

    /// Writes rows as a daemon leaves them that was killed.
    template <typename Change>
    void while_stopped(Change&& change)
    {
        stop();
        Catalog raw{(directory.path() / "catalog.sqlite").string()};
        TarballStore files{directory.path()};
        change(raw, files);
    }

    Instance row(const std::string& id, InstanceState state)
    {
        Instance instance;
        instance.id = InstanceId{id};
        instance.template_name = TemplateName{"quick"};
        instance.state = state;
        return instance;
    }
};

TEST_F(RecoveryTest, IdleInstancesOutliveARestart)
{
    const Instance before = warm();
    exec(before.id, "touch mine");
    restart();
    EXPECT_EQ(catalog().get(before.id).state, InstanceState::idle);
    EXPECT_EQ(exec(before.id, "ls mine"), "mine\n");
}

TEST_F(RecoveryTest, UnfinishedOperationsBecomeInterrupted)
{
    while_stopped([](Catalog& raw, TarballStore&) {
        Operation running;
        running.id = OperationId{"op-1"};
        running.state = OperationState::running;
        running.phase = "export";
        raw.save(running);
    });
    const Operation after = catalog().get(OperationId{"op-1"});
    EXPECT_EQ(after.state, OperationState::failed);
    EXPECT_EQ(after.error->code(), ErrorCode::interrupted);
    EXPECT_TRUE(after.finished_at);
}

TEST_F(RecoveryTest, HalfMadeCheckpointsFailAndTheirFilesGo)
{
    while_stopped([](Catalog& raw, TarballStore& files) {
        for (const CheckpointState state :
             {CheckpointState::pending, CheckpointState::dumping, CheckpointState::verifying}) {
            Checkpoint half;
            half.id = CheckpointId{"ckpt-" + std::string{to_string(state)}};
            half.template_name = TemplateName{"quick"};
            half.state = state;
            raw.save(half);
            StagedTarball staged = files.stage(half.id);
            staged.write("half");
            if (state == CheckpointState::verifying) staged.publish(half);
            else staged.write("more");
        }
    });
    for (const Checkpoint& after : catalog().checkpoints(Page::all())) {
        EXPECT_EQ(after.state, CheckpointState::failed) << after.id.value();
    }
    EXPECT_EQ(files_in("checkpoints"), 0U);
    EXPECT_EQ(files_in("tmp"), 0U);
}

TEST_F(RecoveryTest, ADeletionThatWasBegunIsFinished)
{
    const Checkpoint made = checkpoint();
    while_stopped([&made](Catalog& raw, TarballStore&) {
        Checkpoint deleting = made;
        deleting.state = CheckpointState::deleting;
        raw.save(deleting);
    });
    EXPECT_FALSE(catalog().find(made.id));
    EXPECT_EQ(files_in("checkpoints"), 0U);
}

TEST_F(RecoveryTest, ASweepMendsCheckpointsThatNobodyWorksOn)
{
    const Checkpoint kept = checkpoint();
    const auto left = [&](const std::string& id, CheckpointState state) {
        Checkpoint half = kept;
        half.id = CheckpointId{id};
        half.state = state;
        std::filesystem::copy_file(store().path_of(kept.id), store().path_of(half.id));
        catalog().save(half);
    };
    left("ckpt-half", CheckpointState::dumping);
    left("ckpt-going", CheckpointState::deleting);
    left("ckpt-busy", CheckpointState::dumping);
    reconcile_checkpoints(catalog(), store(), [](const CheckpointId& id) { return id.value() == "ckpt-busy"; });
    EXPECT_EQ(catalog().get(CheckpointId{"ckpt-half"}).state, CheckpointState::failed);
    EXPECT_EQ(catalog().get(CheckpointId{"ckpt-busy"}).state, CheckpointState::dumping);
    EXPECT_EQ(catalog().get(kept.id).state, CheckpointState::available);
    EXPECT_EQ(files_in("checkpoints"), 4U);
    service().reconcile();
    EXPECT_FALSE(catalog().find(CheckpointId{"ckpt-going"}));
    EXPECT_EQ(catalog().get(CheckpointId{"ckpt-busy"}).state, CheckpointState::failed);
    EXPECT_EQ(files_in("checkpoints"), 2U);
}

TEST_F(RecoveryTest, AMissingTarballIsQuarantinedAndItsManifestStays)
{
    const Checkpoint made = checkpoint();
    while_stopped([&made](Catalog&, TarballStore& files) { std::filesystem::remove(files.path_of(made.id)); });
    EXPECT_EQ(catalog().get(made.id).state, CheckpointState::quarantined);
    EXPECT_TRUE(store().read_manifest(made.id));
}

TEST_F(RecoveryTest, ATarballWithoutRowAndManifestIsLeftAlone)
{
    while_stopped([](Catalog&, TarballStore& files) {
        std::ofstream{files.path_of(CheckpointId{"ckpt-unknown"})} << "?";
        std::ofstream{files.path_of(CheckpointId{"ckpt-torn"})} << "?";
        std::ofstream{files.manifest_path_of(CheckpointId{"ckpt-torn"})} << "{\"format\":1";
    });
    EXPECT_TRUE(catalog().checkpoints(Page::all()).empty());
    EXPECT_EQ(files_in("checkpoints"), 3U);
}

TEST_F(RecoveryTest, ATarballWithAManifestAndWithoutARowGetsOne)
{
    const Checkpoint made = checkpoint();
    const Checkpoint cut = checkpoint();
    while_stopped([&](Catalog& raw, TarballStore& files) {
        for (const Checkpoint& each : {made, cut}) raw.erase(each.id);
        std::filesystem::resize_file(files.path_of(cut.id), 10);
    });
    const Checkpoint again = catalog().get(made.id);
    EXPECT_EQ(again.state, CheckpointState::available);
    EXPECT_EQ(again.sha256, made.sha256);
    EXPECT_EQ(again.environment, made.environment);
    EXPECT_EQ(catalog().get(cut.id).state, CheckpointState::quarantined);
    EXPECT_EQ(finish(service().restore(made.id)).state, OperationState::succeeded);
}

TEST_F(RecoveryTest, AManifestWithoutRowAndTarballIsRemoved)
{
    const Checkpoint made = checkpoint();
    while_stopped([&made](Catalog& raw, TarballStore& files) {
        raw.erase(made.id);
        std::filesystem::remove(files.path_of(made.id));
        std::ofstream{files.manifest_path_of(CheckpointId{"notes"})} << "{}";
    });
    EXPECT_FALSE(catalog().find(made.id));
    EXPECT_EQ(store().manifests(), std::vector<CheckpointId>{CheckpointId{"notes"}});
}

TEST_F(RecoveryTest, ACheckpointOfAnOlderWarmdGetsAManifest)
{
    const Checkpoint made = checkpoint();
    while_stopped([&made](Catalog&, TarballStore& files) { std::filesystem::remove(files.manifest_path_of(made.id)); });
    catalog();
    EXPECT_EQ(store().read_manifest(made.id)->sha256, made.sha256);
    while_stopped(
        [&made](Catalog&, TarballStore& files) { std::ofstream{files.manifest_path_of(made.id)} << "damaged"; });
    catalog();
    EXPECT_EQ(store().read_manifest(made.id)->sha256, made.sha256);
}

TEST_F(RecoveryTest, WhereRowAndManifestDifferTheManifestCounts)
{
    const Checkpoint made = checkpoint();
    while_stopped([&made](Catalog& raw, TarballStore&) {
        Checkpoint wrong = made;
        wrong.sha256[3] = wrong.sha256[3] == '0' ? '1' : '0';
        wrong.environment["kernel"] = "another";
        raw.save(wrong);
    });
    const Checkpoint mended = catalog().get(made.id);
    EXPECT_EQ(mended.state, CheckpointState::available);
    EXPECT_EQ(mended.sha256, made.sha256);
    EXPECT_EQ(mended.environment, made.environment);
    EXPECT_EQ(mended.phases, made.phases);
    EXPECT_EQ(mended.available_at, made.available_at);
}

TEST_F(RecoveryTest, FilesOfAFailedCheckpointThatCouldNotBeRemovedGoAtTheNextStart)
{
    const Checkpoint made = checkpoint();
    while_stopped([&made](Catalog& raw, TarballStore&) {
        Checkpoint failed = made;
        failed.state = CheckpointState::failed;
        raw.save(failed);
    });
    EXPECT_EQ(catalog().get(made.id).state, CheckpointState::failed);
    EXPECT_EQ(files_in("checkpoints"), 0U);
}

TEST_F(RecoveryTest, ContainersOfInstancesThatTheCatalogHasLostAreRemoved)
{
    const Instance lost = warm();
    stop();
    std::filesystem::remove(directory.path() / "catalog.sqlite");
    EXPECT_FALSE(catalog().find(lost.id));
    EXPECT_TRUE(engine.container_names().empty());
}

TEST_F(RecoveryTest, HalfMadeInstancesAreTerminatedWithTheirContainers)
{
    const Instance made = warm();
    while_stopped([&](Catalog& raw, TarballStore&) {
        Instance half = made;
        half.state = InstanceState::warming;
        raw.save(half);
        raw.save(row("inst-never-created", InstanceState::restoring));
    });
    EXPECT_EQ(catalog().get(made.id).state, InstanceState::terminated);
    EXPECT_EQ(catalog().get(InstanceId{"inst-never-created"}).state, InstanceState::terminated);
    EXPECT_TRUE(engine.container_names().empty());
}

TEST_F(RecoveryTest, IdleInstancesWhoseContainerEndedAreTerminated)
{
    const Instance made = warm();
    engine.kill_container(container_name(made.id));
    service().reconcile();
    EXPECT_EQ(catalog().get(made.id).state, InstanceState::terminated);
    EXPECT_TRUE(engine.container_names().empty());
}

TEST_F(RecoveryTest, WhatPodmanSaysHasEndedIsTerminatedAtOnceAndNotByTheNextSweep)
{
    const Instance made = warm();
    const Instance other = warm();
    const std::jthread maintenance{[this](const std::stop_token& stop) { service().maintain(stop); }};
    while (engine.calls("watch") == 0) std::this_thread::yield();
    const int sweeps = engine.calls("list");
    engine.kill_container(container_name(made.id));
    EXPECT_TRUE(eventually([&] { return catalog().get(made.id).state == InstanceState::terminated; }));
    EXPECT_EQ(engine.calls("list"), sweeps);
    EXPECT_EQ(catalog().get(other.id).state, InstanceState::idle);
}

TEST_F(RecoveryTest, OnlyContainersWithNameAndLabelOfWarmdAreRemoved)
{
    const auto create = [this](const std::string& name, const std::string& label) {
        ContainerSpec spec;
        spec.name = name;
        spec.image = test::kImage;
        if (!label.empty()) spec.labels = {{std::string{kInstanceLabel}, label}};
        engine.create(spec);
    };
    create("warmd-inst-orphan", "inst-orphan");
    create("by-hand", "inst-orphan");
    create("warmd-inst-unlabelled", "");
    create("somebody-elses", "");
    service();
    const std::vector<std::string> left = engine.container_names();
    EXPECT_EQ(std::set<std::string>(left.begin(), left.end()),
              (std::set<std::string>{"by-hand", "warmd-inst-unlabelled", "somebody-elses"}));
}

TEST_F(RecoveryTest, WithoutPodmanLongActionsWaitForIt)
{
    engine.fail_next("list", Error{ErrorCode::unavailable, "Podman does not listen"});
    try {
        service().warm(TemplateName{"quick"});
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::unavailable);
    }
    EXPECT_EQ(unready(), "recovered");
    service().reconcile();
    EXPECT_EQ(unready(), "");
    warm();
}

TEST_F(RecoveryTest, ASweepLeavesInstancesAloneThatAnOperationWorksOn)
{
    Template entry = test::quick_template("endless");
    entry.warm_up.initialised.file = "/go";
    add(entry);
    const Operation started = service().warm(TemplateName{"endless"});
    while (service().operations().get(started.id).phase != "init") std::this_thread::yield();
    service().reconcile();
    const InstanceId id = service().operations().get(started.id).instance;
    const Instance warming = catalog().get(id);
    ASSERT_EQ(warming.state, InstanceState::warming);
    ExecRequest touch;
    touch.command = {"touch", "go"};
    engine.exec(warming.container, touch, std::chrono::seconds{10}, [](ExecStream, std::string_view) {}, {});
    EXPECT_EQ(finish(started).state, OperationState::succeeded);
}

}  // namespace
}  // namespace warmd
