#include "daemon/service/recovery.h"

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
            if (state == CheckpointState::verifying) staged.publish();
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
    EXPECT_FALSE(catalog().find(CheckpointId{"ckpt-going"}));
    EXPECT_EQ(catalog().get(CheckpointId{"ckpt-busy"}).state, CheckpointState::dumping);
    EXPECT_EQ(catalog().get(kept.id).state, CheckpointState::available);
    EXPECT_EQ(files_in("checkpoints"), 2U);
    service().reconcile();
    EXPECT_EQ(catalog().get(CheckpointId{"ckpt-busy"}).state, CheckpointState::failed);
    EXPECT_EQ(files_in("checkpoints"), 1U);
}

TEST_F(RecoveryTest, AMissingTarballIsQuarantinedAndAnUnknownOneIsLeftAlone)
{
    const Checkpoint made = checkpoint();
    while_stopped([&made](Catalog&, TarballStore& files) {
        files.remove(made.id);
        files.stage(CheckpointId{"ckpt-unknown"}).publish();
    });
    EXPECT_EQ(catalog().get(made.id).state, CheckpointState::quarantined);
    EXPECT_EQ(files_in("checkpoints"), 1U);
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
