#include "tests/support/service_fixture.h"

namespace warmd {
namespace {

using namespace std::chrono_literals;

class WarmTest : public test::ServiceFixture {
protected:
    Operation fail_to_warm(const Template& entry)
    {
        add(entry);
        const Operation done = finish(service().warm(entry.name));
        EXPECT_EQ(done.state, OperationState::failed);
        EXPECT_TRUE(engine.container_names().empty()) << "a container was left";
        if (!done.instance.empty()) {
            EXPECT_EQ(catalog().get(done.instance).state, InstanceState::terminated);
        }
        return done;
    }
};

TEST_F(WarmTest, GoesThroughItsPhasesAndEndsIdle)
{
    const Instance instance = warm();
    EXPECT_EQ(instance.state, InstanceState::idle);
    EXPECT_EQ(instance.origin, Origin::warm);
    std::vector<std::string> names;
    for (const Phase& phase : instance.phases) names.push_back(phase.name);
    EXPECT_EQ(names, (std::vector<std::string>{"create", "start", "init", "ready"}));
    const auto container = engine.inspect(container_name(instance.id));
    ASSERT_TRUE(container);
    EXPECT_EQ(container->labels, container_labels(instance));
    EXPECT_EQ(container->id, instance.container);
}

TEST_F(WarmTest, WaitsForTheFileThatTheApplicationWrites)
{
    Template entry = test::quick_template("writer");
    entry.command = {"sh", "-c", "sleep 0.2; mkdir -p run; touch run/ready; while :; do sleep 0.05; done"};
    entry.warm_up.initialised.file = "/run/ready";
    add(entry);
    const Instance instance = warm("writer");
    EXPECT_TRUE(engine.file_exists(instance.container, "/run/ready"));
    EXPECT_GE(instance.phases.at(2).elapsed, 100ms);
}

TEST_F(WarmTest, RepeatsTheProbeUntilItSucceeds)
{
    Template entry = test::quick_template("probed");
    entry.warm_up.ready.exec = {"sh", "-c", "echo x >> tries; test $(wc -l < tries) -ge 3"};
    add(entry);
    const Instance instance = warm("probed");
    EXPECT_EQ(exec(instance.id, "wc -l < tries"), "3\n");
}

TEST_F(WarmTest, WaitsUntilTcpConnectionsAreGoneAndStayGone)
{
    engine.set_open_tcp_connections({2, 1, 0, 1, 0});
    Template entry = test::quick_template("networked");
    entry.warm_up.quiet_for = 300ms;  // longer than a busy machine takes between two looks
    add(entry);
    warm("networked");
    EXPECT_GT(engine.calls("open_tcp_connections"), 5);
}

TEST_F(WarmTest, DoesNotAskForConnectionsWhereQuiescenceIsOff)
{
    engine.set_open_tcp_connections({1, 1, 1});
    Template entry = test::quick_template("loud");
    entry.warm_up.tcp_quiescence = false;
    add(entry);
    warm("loud");
    EXPECT_EQ(engine.calls("open_tcp_connections"), 0);
}

TEST_F(WarmTest, AMissingImageNamesTheCommandThatBringsIt)
{
    Template entry = test::quick_template("imageless");
    entry.image = "localhost/nowhere:latest";
    const Operation done = fail_to_warm(entry);
    EXPECT_EQ(done.error->code(), ErrorCode::not_found);
    EXPECT_NE(done.error->hint().find("podman pull localhost/nowhere:latest"), std::string::npos);
    EXPECT_TRUE(done.instance.empty());
}

TEST_F(WarmTest, AnApplicationThatEndsIsReportedWithItsLastWords)
{
    Template entry = test::quick_template("dying");
    entry.command = {"sh", "-c", "echo licence refused; exit 3"};
    entry.warm_up.initialised.file = "/never";
    const Operation done = fail_to_warm(entry);
    EXPECT_EQ(done.error->code(), ErrorCode::not_ready);
    EXPECT_NE(done.error->cause().find("exited with 3"), std::string::npos) << done.error->cause();
    EXPECT_NE(done.error->cause().find("licence refused"), std::string::npos) << done.error->cause();
}

TEST_F(WarmTest, AnApplicationThatEndsAfterItsConditionsIsNotWarm)
{
    Template entry = test::quick_template("short");
    entry.command = {"sh", "-c", "sleep 0.05"};
    entry.warm_up.quiet_for = 1s;  // in which its end shows on a busy machine, too
    const Operation done = fail_to_warm(entry);
    EXPECT_EQ(done.error->code(), ErrorCode::not_ready);
}

TEST_F(WarmTest, AConditionThatNeverComesTrueEndsWithItsTimeAndWhatWasMissing)
{
    Template entry = test::quick_template("stuck");
    entry.warm_up.initialised.exec = {"sh", "-c", "echo still loading; exit 1"};
    entry.warm_up.initialised.timeout = 400ms;  // in which a busy machine, too, has run it once
    const Operation done = fail_to_warm(entry);
    EXPECT_EQ(done.error->code(), ErrorCode::not_ready);
    EXPECT_NE(done.error->cause().find("still loading"), std::string::npos) << done.error->cause();
    EXPECT_NE(done.error->hint().find("warm.initialised.timeout"), std::string::npos) << done.error->hint();
}

TEST_F(WarmTest, EveryStepOfTheEngineMayFailWithoutLeavingAContainer)
{
    for (const char* const step : {"find_image", "create", "start", "inspect", "open_tcp_connections"}) {
        engine.fail_next(step, Error{ErrorCode::engine_failed, "no luck"}.with_cause(step));
        const Operation done = finish(service().warm(TemplateName{"quick"}));
        EXPECT_EQ(done.state, OperationState::failed) << step;
        EXPECT_EQ(done.error->cause(), step);
        EXPECT_TRUE(engine.container_names().empty()) << step;
    }
    warm();
}

TEST_F(WarmTest, CancellingRemovesTheContainer)
{
    Template entry = test::quick_template("endless");
    entry.warm_up.initialised.file = "/never";
    add(entry);
    const Operation started = service().warm(TemplateName{"endless"});
    while (service().operations().get(started.id).phase != "init") std::this_thread::yield();
    service().operations().cancel(started.id);
    const Operation done = finish(started);
    EXPECT_EQ(done.state, OperationState::cancelled);
    EXPECT_TRUE(engine.container_names().empty());
    EXPECT_EQ(catalog().get(done.instance).state, InstanceState::terminated);
}

}  // namespace
}  // namespace warmd
