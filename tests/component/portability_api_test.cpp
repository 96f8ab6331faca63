#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "tests/component/api_fixture.h"
#include "tests/unit/expect_error.h"

namespace warmd {
namespace {

using namespace std::chrono_literals;
using test::contains;

/// What changes is the catalog's record or what the fake engine says of itself; the rest is the real server and
/// service.
class PortabilityApiTest : public test::ApiFixture {
protected:
    PortabilityApiTest() { engine.set_info(info()); }

    static EngineInfo info()
    {
        return {.version = "5.4.2",
                .api_version = "5.4.2",
                .runtime = "crun",
                .runtime_version = "1.21",
                .runtime_has_criu = true,
                .criu_version = "4.1.1",
                .kernel = "6.12.48",
                .architecture = "amd64",
                .storage_driver = "overlay"};
    }

    void set_template(RewarmPolicy rewarm, int min_idle = 0)
    {
        Template entry = test::quick_template();
        entry.rewarm = rewarm;
        entry.pool.min_idle = min_idle;
        add(entry);
    }

    /// Catalog and manifest then say that the checkpoint was made where `field` was `value`.
    void record(const Checkpoint& made, const std::string& field, const std::string& value)
    {
        Checkpoint changed = catalog().get(made.id);
        changed.environment[field] = value;
        catalog().save(changed);
        store().write_manifest(changed);
    }

    test::Reply restore(const Checkpoint& made, const std::string& query = "?wait=30s")
    {
        return post("/v1/checkpoints/" + made.id.value() + "/restore" + query);
    }

    int operations_of(const std::string& kind)
    {
        int count = 0;
        const Json operations = get("/v1/operations?limit=1000").json();
        for (const Json& operation : operations.at("items")) {
            count += operation.at("kind") == kind;
        }
        return count;
    }
};

TEST_F(PortabilityApiTest, ARestoreOfWhatDoesNotFitIsRefusedBeforeAnythingIsBegun)
{
    const std::vector<std::pair<std::string, std::string>> cases{{"criu", "4.2"},
                                                                 {"runtime", "runc"},
                                                                 {"architecture", "arm64"},
                                                                 {"cpu_flags", "a_flag_of_tomorrow"},
                                                                 {"xsave_size", "1000000"}};
    for (const auto& [field, value] : cases) {
        const Checkpoint made = checkpoint();
        record(made, field, value);
        const test::Reply reply = restore(made);
        expect_problem(reply, 422, "incompatible_host");
        const std::string detail = reply.json().at("detail");
        EXPECT_TRUE(contains(detail, made.id.value())) << detail;
        EXPECT_TRUE(contains(detail, field + " " + value)) << detail;
        EXPECT_TRUE(contains(reply.json().at("cause"), field + ": ")) << reply.body;
        EXPECT_TRUE(contains(reply.json().at("hint"), "warmctl checkpoint quick")) << reply.body;
        EXPECT_TRUE(contains(reply.json().at("hint"), "--force")) << reply.body;

        const Json shown = get("/v1/checkpoints/" + made.id.value()).json();
        EXPECT_EQ(shown.at("compatible"), false);
        ASSERT_EQ(shown.at("differences").size(), 1U) << shown;
        EXPECT_EQ(shown.at("differences").at(0).at("field"), field);
        EXPECT_EQ(shown.at("differences").at(0).at("recorded"), value);
        EXPECT_EQ(shown.at("differences").at(0).at("blocks"), true);
        EXPECT_EQ(get("/v1/checkpoints?limit=1").json().at("items").at(0).at("compatible"), false);
    }
    EXPECT_EQ(engine.calls("restore"), 0);
    EXPECT_EQ(operations_of("restore"), 0);
}

TEST_F(PortabilityApiTest, ByForceItIsTriedNevertheless)
{
    const Checkpoint made = checkpoint();
    record(made, "criu", "4.2");
    const test::Reply accepted = restore(made, "?force=true");
    EXPECT_EQ(accepted.status, 202) << accepted.body;
    const std::string operation = "/v1/operations/" + accepted.json().at("id").get<std::string>();
    const Json ended = get(operation + "?wait=30s").json();
    EXPECT_EQ(ended.at("state"), "succeeded") << ended;
    EXPECT_EQ(get("/v1/instances/" + ended.at("instance").get<std::string>()).json().at("state"), "idle");
    EXPECT_EQ(post("/v1/templates/quick/restore?force=true&path=archive&wait=30s").json().at("state"), "succeeded");
    expect_problem(restore(made, "?force=false"), 422, "incompatible_host");
    expect_problem(restore(made, "?force=yes"), 400, "invalid_argument");
}

TEST_F(PortabilityApiTest, AnotherKernelIsToldAndRestored)
{
    const Checkpoint made = checkpoint();
    record(made, "kernel", "6.1.0");
    const Json shown = get("/v1/checkpoints/" + made.id.value()).json();
    EXPECT_EQ(shown.at("compatible"), true);
    EXPECT_EQ(shown.at("differences").at(0).at("here"), "6.12.48");
    EXPECT_EQ(restore(made).json().at("state"), "succeeded");
}

TEST_F(PortabilityApiTest, AnOldRecordFits)
{
    const Checkpoint made = checkpoint();
    Checkpoint old = catalog().get(made.id);
    old.environment.clear();
    catalog().save(old);
    EXPECT_EQ(get("/v1/checkpoints/" + made.id.value()).json().at("compatible"), true);
    EXPECT_EQ(restore(made).json().at("state"), "succeeded");
}

TEST_F(PortabilityApiTest, AMissingImageIsNamedAndCannotBeForced)
{
    const Checkpoint made = checkpoint();
    engine.remove_image(test::kImage);
    for (const char* const query : {"?wait=30s", "?force=true"}) {
        const test::Reply reply = restore(made, query);
        expect_problem(reply, 422, "incompatible_host");
        EXPECT_TRUE(contains(reply.json().at("detail"), "image_id")) << reply.body;
        EXPECT_TRUE(contains(reply.json().at("hint"), "podman load")) << reply.body;
        EXPECT_FALSE(contains(reply.json().at("hint"), "--force")) << reply.body;
    }
    EXPECT_EQ(get("/v1/checkpoints/" + made.id.value()).json().at("compatible"), false);
    engine.add_image(test::kImage, made.image_id);
    EXPECT_EQ(restore(made).json().at("state"), "succeeded");
    EXPECT_EQ(get("/v1/checkpoints/" + made.id.value()).json().at("compatible"), true);
}

TEST_F(PortabilityApiTest, ImagesAreLookedForInTheBackgroundAsWell)
{
    const Checkpoint made = checkpoint();
    engine.remove_image(test::kImage);
    service().reconcile();
    EXPECT_EQ(get("/v1/checkpoints/" + made.id.value()).json().at("compatible"), false);
}

TEST_F(PortabilityApiTest, ARestoreAsksTheEngineForTheImageAndForNothingElse)
{
    const Checkpoint made = checkpoint();
    for (const std::string& target :
         {"/v1/checkpoints/" + made.id.value() + "/restore", std::string{"/v1/templates/quick/restore"}}) {
        const int info = engine.calls("info");
        const int images = engine.calls("find_image");
        EXPECT_EQ(post(target + "?wait=30s").json().at("state"), "succeeded");
        EXPECT_EQ(engine.calls("info"), info) << target;
        EXPECT_EQ(engine.calls("find_image"), images + 1) << target;
    }
}

TEST_F(PortabilityApiTest, WhereTheEngineDoesNotAnswerTheOperationTells)
{
    const Checkpoint made = checkpoint();
    engine.fail_next("find_image", Error{ErrorCode::unavailable, "Podman is away"});
    engine.fail_next("restore", Error{ErrorCode::unavailable, "Podman is still away"});
    const test::Reply reply = restore(made);
    EXPECT_EQ(reply.json().at("error").at("code"), "unavailable") << reply.body;
}

TEST_F(PortabilityApiTest, AHostThatHasChangedIsSeenWhenWarmdStartsAnew)
{
    const Checkpoint made = checkpoint();
    EngineInfo changed = info();
    changed.runtime = "runc";
    engine.set_info(changed);
    restart();
    const test::Reply reply = restore(made);
    expect_problem(reply, 422, "incompatible_host");
    EXPECT_TRUE(contains(reply.json().at("detail"), "runtime crun (here runc)")) << reply.body;
}

TEST_F(PortabilityApiTest, AHostThatHasChangedIsSeenAfterARestoreHasFailed)
{
    const Checkpoint made = checkpoint();
    EngineInfo changed = info();
    changed.criu_version = "4.0";
    engine.set_info(changed);
    const Error failure{ErrorCode::engine_failed, "criu cannot read it"};
    for (int i = 0; i < 2; ++i) engine.fail_next("restore", failure);  // linked, and then from the archive
    EXPECT_EQ(restore(made).json().at("state"), "failed");
    service().reconcile();
    expect_problem(restore(made), 422, "incompatible_host");
}

TEST_F(PortabilityApiTest, TheNewestThatFitsIsTaken)
{
    set_template(RewarmPolicy::automatic, 1);
    const Checkpoint older = checkpoint();
    const Checkpoint newer = checkpoint();
    record(newer, "criu", "4.2");
    EXPECT_TRUE(eventually([&] {
        const Json pool = get("/v1/pools/quick").json();
        return pool.at("checkpoint") == older.id.value() && pool.at("idle") == 1 && pool.at("held_back").is_null();
    })) << get("/v1/pools/quick").body;
    const test::Reply reply = post("/v1/templates/quick/restore?wait=30s");
    EXPECT_EQ(reply.json().at("checkpoint"), older.id.value()) << reply.body;
    EXPECT_EQ(operations_of("checkpoint"), 2) << "nothing was made: one fits";
}

TEST_F(PortabilityApiTest, WhereNoneFitsOneNewCheckpointIsMade)
{
    set_template(RewarmPolicy::automatic, 1);
    std::vector<Checkpoint> made{checkpoint(), checkpoint()};
    const Checkpoint newest = made.back();
    EngineInfo changed = info();
    changed.runtime = "runc";
    engine.set_info(changed);
    restart();
    EXPECT_TRUE(eventually([&] {
        const Json pool = get("/v1/pools/quick").json();
        return pool.at("idle") == 1 && pool.at("checkpoint") > newest.id.value();
    })) << get("/v1/pools/quick").body;
    EXPECT_EQ(operations_of("checkpoint"), 3);
    service().pools().step();
    EXPECT_EQ(operations_of("checkpoint"), 3) << "once is enough";
    EXPECT_EQ(post("/v1/templates/quick/restore?wait=30s").json().at("state"), "succeeded");
}

TEST_F(PortabilityApiTest, ATemplateWithoutAPoolGetsANewOneWhenItIsAskedFor)
{
    set_template(RewarmPolicy::automatic);
    const Checkpoint made = checkpoint();
    record(made, "criu", "4.2");
    service().pools().step();
    EXPECT_EQ(operations_of("checkpoint"), 1) << "nobody has asked for it";
    const test::Reply refused = post("/v1/templates/quick/restore?wait=30s");
    expect_problem(refused, 422, "incompatible_host");
    EXPECT_TRUE(contains(refused.json().at("hint"), "by itself")) << refused.body;
    EXPECT_TRUE(eventually(
        [&] { return post("/v1/templates/quick/restore?wait=30s").json().value("state", "") == "succeeded"; }));
    EXPECT_EQ(operations_of("checkpoint"), 2);
}

TEST_F(PortabilityApiTest, ARunIsServedColdMeanwhile)
{
    set_template(RewarmPolicy::automatic);
    const Checkpoint made = checkpoint();
    record(made, "criu", "4.2");
    engine.fail_next("checkpoint", Error{ErrorCode::engine_failed, "no new one"});
    const test::Reply reply = call("POST", "/v1/templates/quick/run", R"({"command":["echo","6"]})");
    EXPECT_TRUE(contains(reply.body, "no checkpoint fits this host: the application is being started")) << reply.body;
    EXPECT_TRUE(contains(reply.body, R"("path":"cold")")) << reply.body;
    EXPECT_TRUE(contains(reply.body, R"("data":"6\n")")) << reply.body;
}

TEST_F(PortabilityApiTest, ATemplateThatDoesNotAllowItGetsNoNewOne)
{
    set_template(RewarmPolicy::never, 1);
    const Checkpoint made = checkpoint();
    EXPECT_TRUE(eventually([&] { return get("/v1/pools/quick").json().at("idle") == 1; }));
    record(made, "criu", "4.2");
    service().pools().step();
    EXPECT_EQ(get("/v1/pools/quick").json().at("idle"), 1) << "what runs is as good as ever";
    EXPECT_EQ(post("/v1/pools/quick/leases", R"({"wait":"30s"})").status, 201);

    const test::Reply refused = post("/v1/pools/quick/leases", R"({"wait":"30s"})");
    expect_problem(refused, 422, "incompatible_host");
    EXPECT_TRUE(contains(refused.json().at("detail"), "criu 4.2 (here 4.1.1)")) << refused.body;
    const std::string held_back = get("/v1/pools/quick").json().at("held_back");
    EXPECT_TRUE(contains(held_back, "checkpoint.rewarm is \"never\"")) << held_back;
    expect_problem(post("/v1/templates/quick/restore?wait=30s"), 422, "incompatible_host");
    service().pools().step();
    EXPECT_EQ(operations_of("checkpoint"), 1);
}

/// Time passes by hand: the delays between attempts.
class RewarmTest : public PortabilityApiTest {
protected:
    RewarmTest() { manual_time = true; }

    void pass(Duration duration)
    {
        manual_clock.sleep_for(duration, {});
        service().pools().step();
        service().pools().step();
    }

    /// Lets seconds pass until one more is begun: a failure may be noted a little after its operation has ended.
    bool settles_soon(int checkpoints)
    {
        return eventually([&] {
                   if (operations_of("checkpoint") < checkpoints) pass(1s);
                   return operations_of("checkpoint") == checkpoints;
               }) &&
               settles(checkpoints);
    }

    bool settles(int checkpoints)
    {
        return eventually(
            [&] { return operations_of("checkpoint") == checkpoints && service().operations().active() == 0; });
    }
};

TEST_F(RewarmTest, IsTriedLessAndLessOftenWhileItFails)
{
    set_template(RewarmPolicy::automatic, 1);
    const Checkpoint made = checkpoint();
    EXPECT_TRUE(settles(1));
    for (int i = 0; i < 3; ++i) engine.fail_next("checkpoint", Error{ErrorCode::engine_failed, "criu says no"});
    record(made, "criu", "4.2");
    pass(0s);
    ASSERT_TRUE(settles(2));
    pass(29s);
    ASSERT_TRUE(settles(2));
    ASSERT_TRUE(settles_soon(3));
    pass(59s);
    ASSERT_TRUE(settles(3));
    ASSERT_TRUE(settles_soon(4));
    pass(119s);
    ASSERT_TRUE(settles(4));
    ASSERT_TRUE(settles_soon(5));
    EXPECT_TRUE(eventually([&] {
        service().pools().step();
        return get("/v1/pools/quick").json().at("checkpoint") > made.id.value();
    }));
    EXPECT_EQ(operations_of("checkpoint"), 5);
}

TEST_F(RewarmTest, IsNotBegunWhileSomebodyMakesOne)
{
    set_template(RewarmPolicy::automatic, 1);
    const Checkpoint made = checkpoint();
    EXPECT_TRUE(settles(1));
    engine.hang_next("checkpoint");
    const Operation by_hand = service().checkpoint(TemplateName{"quick"});
    EXPECT_TRUE(eventually([&] { return engine.calls("checkpoint") == 2; }));
    record(made, "criu", "4.2");
    pass(1h);
    EXPECT_EQ(operations_of("checkpoint"), 2);
    service().operations().cancel(by_hand.id);
    EXPECT_EQ(finish(by_hand).state, OperationState::cancelled);
    pass(0s);
    EXPECT_TRUE(settles(3));
}

TEST_F(RewarmTest, OneThatIsCancelledBeforeItBeginsCountsAsAFailure)
{
    options.operation_workers = 1;
    add(test::quick_template("other"));
    set_template(RewarmPolicy::automatic, 1);
    const Checkpoint made = checkpoint();
    EXPECT_TRUE(settles(1));
    engine.hang_next("checkpoint");
    const Operation before = service().checkpoint(TemplateName{"other"});
    EXPECT_TRUE(eventually([&] { return engine.calls("checkpoint") == 2; }));
    record(made, "criu", "4.2");
    pass(0s);
    ASSERT_EQ(operations_of("checkpoint"), 3);
    const auto queued = catalog().unfinished_operations();
    const auto found = std::find_if(queued.begin(), queued.end(), [](const Operation& one) {
        return one.kind == OperationKind::checkpoint && one.template_name == TemplateName{"quick"};
    });
    ASSERT_NE(found, queued.end());
    service().operations().cancel(found->id);
    service().operations().cancel(before.id);
    EXPECT_EQ(finish(*found).state, OperationState::cancelled);
    pass(0s);
    EXPECT_EQ(operations_of("checkpoint"), 3);
    pass(30s);
    EXPECT_TRUE(settles(4));
}

}  // namespace
}  // namespace warmd
