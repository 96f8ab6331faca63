#include "daemon/host/primer.h"

#include <gtest/gtest.h>

#include <fstream>

#include "daemon/base/process.h"
#include "tests/support/service_fixture.h"

namespace warmd {
namespace {

class PrimerTest : public test::ServiceFixture {
protected:
    PrimerTest()
    {
        options.agent = WARMD_AGENT_PROGRAM;
        options.primed = directory.path() / "primed";
    }

    /// The daemon's maintenance, until it has primed.
    Priming maintain()
    {
        service();
        const std::jthread maintenance{[this](const std::stop_token& stop) { service().maintain(stop); }};
        const auto ended = [this] {
            const PrimingState state = service().status().priming.state;
            return state != PrimingState::pending && state != PrimingState::running;
        };
        EXPECT_TRUE(eventually(ended));
        return service().status().priming;
    }
};

TEST_F(PrimerTest, GoesFirstOncePerBootAndLeavesNothing)
{
    EXPECT_EQ(service().status().priming.state, PrimingState::pending);
    const Priming done = maintain();
    EXPECT_EQ(done.state, PrimingState::done) << done.reason;
    EXPECT_GT(done.elapsed, Duration::zero());
    EXPECT_EQ(engine.calls("checkpoint"), 1);
    EXPECT_EQ(engine.calls("restore"), 1);
    EXPECT_EQ(engine.calls("remove_image"), 1);
    EXPECT_TRUE(engine.container_names().empty());

    restart();
    EXPECT_EQ(service().status().priming.state, PrimingState::done);
    EXPECT_EQ(service().status().priming.elapsed, done.elapsed);
    maintain();
    EXPECT_EQ(engine.calls("checkpoint"), 1);
}

TEST_F(PrimerTest, ARecordOfAnotherBootDoesNotCount)
{
    std::ofstream{options.primed} << "some-other-boot 1000\n";
    EXPECT_EQ(maintain().state, PrimingState::done);
    std::string boot;
    std::ifstream{options.primed} >> boot;
    EXPECT_EQ(boot, boot_id());
}

TEST_F(PrimerTest, AFailureIsToldAndNotRepeatedAndPoolsFillAllTheSame)
{
    Template pooled = test::quick_template();
    pooled.pool.min_idle = 1;
    pooled.pool.max_size = 1;
    add(pooled);
    engine.fail_next("restore", Error{ErrorCode::engine_failed, "refused"}.with_cause("no libcriu"));
    checkpoint();
    const std::jthread maintenance{[this](const std::stop_token& stop) { service().maintain(stop); }};
    EXPECT_TRUE(eventually([this] { return service().status().priming.state == PrimingState::failed; }));
    EXPECT_EQ(service().status().priming.reason, "a checkpoint cannot be restored: refused: no libcriu");
    EXPECT_TRUE(eventually([this] {
        const auto pools = service().status().pools;
        return !pools.empty() && pools.front().idle == 1;
    }));
}

TEST_F(PrimerTest, WhatAProbeLeftBehindIsRemovedByTheNext)
{
    engine.fail_next("checkpoint", Error{ErrorCode::engine_failed, "refused"});
    engine.fail_next("remove", Error{ErrorCode::unavailable, "Podman went away"});
    Probe probe{engine, clock, WARMD_AGENT_PROGRAM};
    EXPECT_THROW(probe.run({}), Error);
    EXPECT_EQ(engine.container_names().size(), 1U);
    probe.run({});
    EXPECT_TRUE(engine.container_names().empty());
    EXPECT_EQ(engine.calls("import_program"), engine.calls("remove_image"));
}

TEST_F(PrimerTest, WithoutTheAgentItIsOff)
{
    options.agent = directory.path() / "no-such-agent";
    EXPECT_EQ(service().status().priming.state, PrimingState::off);
}

}  // namespace
}  // namespace warmd
