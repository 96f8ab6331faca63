#include "daemon/service/distribution.h"

#include <algorithm>
#include <string>

#include "tests/support/fake_registry.h"
#include "tests/support/keys.h"
#include "tests/support/service_fixture.h"
#include "tests/unit/expect_error.h"

namespace warmd {
namespace {

using test::contains;
using test::expect_error;

/// One host, and what it has in common with others: the registry. What another host has done is what this one did, and
/// forgot.
class DistributionTest : public test::ServiceFixture {
protected:
    DistributionTest()
    {
        options.trust.key = SigningKey::from_pem(test::kPrivateKey);
        options.trust.keys = {VerifyingKey::from_pem(test::kPublicKey)};
        options.registry = &registry;
    }

    void share(Distribute how)
    {
        Template from = test::quick_template();
        from.distribute = how;
        add(from);
    }

    Operation push(const CheckpointId& id) { return finish(service().push_checkpoint(id)); }
    Operation pull() { return finish(service().pull_checkpoint(TemplateName{"quick"})); }
    void forget(const CheckpointId& id)
    {
        EXPECT_EQ(finish(service().delete_checkpoint(id)).state, OperationState::succeeded);
    }
    Checkpoint pushed_and_forgotten()
    {
        const Checkpoint made = checkpoint();
        const Operation done = push(made.id);
        EXPECT_EQ(done.state, OperationState::succeeded) << (done.error ? done.error->what() : "");
        forget(made.id);
        return made;
    }
    std::string newest_tag()
    {
        for (const std::string& tag : registry.tags({})) {
            if (tag.starts_with("quick.") && !tag.ends_with(".warming")) return tag;
        }
        return {};
    }
    void expect_nothing_left()
    {
        EXPECT_EQ(files_in("checkpoints"), 0U);
        EXPECT_EQ(files_in("tmp"), 0U);
        EXPECT_EQ(files_in("unpacked"), 0U);
        EXPECT_EQ(store().ledger().reserved(), 0U);
    }
    Error pull_fails(ErrorCode code)
    {
        const Operation done = pull();
        EXPECT_EQ(done.state, OperationState::failed);
        expect_nothing_left();
        if (!done.error) return Error{ErrorCode::internal, "it did not fail"};
        EXPECT_EQ(to_string(done.error->code()), to_string(code)) << done.error->what() << done.error->cause();
        return *done.error;
    }

    test::FakeRegistry registry;
};

TEST_F(DistributionTest, ACheckpointComesBackAsItWas)
{
    const Checkpoint sent = pushed_and_forgotten();
    const Operation done = pull();
    ASSERT_EQ(done.state, OperationState::succeeded) << done.error->what() << done.error->cause();
    EXPECT_EQ(done.checkpoint, sent.id);
    const Checkpoint come = catalog().get(sent.id);
    EXPECT_EQ(come.state, CheckpointState::available);
    EXPECT_EQ(come.sha256, sent.sha256);
    EXPECT_EQ(come.size_bytes, sent.size_bytes);
    EXPECT_EQ(come.environment.at("signed_by"), test::kKeyId);
    const Operation restored = finish(service().restore(sent.id));
    EXPECT_EQ(restored.state, OperationState::succeeded);
    EXPECT_EQ(store().ledger().reserved(), 0U);
    EXPECT_EQ(files_in("tmp"), 0U);
}

TEST_F(DistributionTest, ItHasATagOfItsOwnAndOneOfItsTemplateAndKindOfHost)
{
    const Checkpoint made = pushed_and_forgotten();
    const auto tags = registry.tags({});
    EXPECT_EQ(tags,
              (std::vector<std::string>{made.id.value(), "quick.dddddddddddddddd." + class_of(made.environment)}));
    const Artifact artifact = decode_artifact(*registry.manifest(tags.at(0), {}));
    EXPECT_EQ(registry.manifest(tags.at(0), {}), registry.manifest(tags.at(1), {}));
    EXPECT_EQ(artifact.annotations.at("io.podman.annotations.checkpoint.rootfsImageID"), made.image_id);
    EXPECT_EQ(artifact.annotations.at("org.warmd.checkpoint.sha256"), made.sha256);
}

TEST_F(DistributionTest, ASecondPushOfTheSameSendsNothingButItsName)
{
    const Checkpoint made = checkpoint();
    push(made.id);
    const std::uint64_t once = registry.received_bytes();
    EXPECT_EQ(push(made.id).state, OperationState::succeeded);
    EXPECT_LT(registry.received_bytes() - once, 2000U);
}

TEST_F(DistributionTest, WhatTheRegistryHasLostIsSentAgain)
{
    const Checkpoint made = checkpoint();
    push(made.id);
    registry.lose_blobs();
    const Operation done = push(made.id);
    EXPECT_EQ(done.state, OperationState::succeeded) << (done.error ? done.error->what() : "");
    forget(made.id);
    EXPECT_EQ(pull().state, OperationState::succeeded);
}

TEST_F(DistributionTest, WhatWasTamperedWithIsRefused)
{
    pushed_and_forgotten();
    const std::string tag = newest_tag();
    registry.tamper(tag, 2);  // the first pack
    pull_fails(ErrorCode::invalid_archive);
    registry.tamper(tag, 2);
    registry.tamper(tag, 1);  // the index
    pull_fails(ErrorCode::invalid_archive);
    registry.tamper(tag, 1);
    EXPECT_EQ(pull().state, OperationState::succeeded) << "what was fetched damaged is not kept";
}

TEST_F(DistributionTest, WhatNobodyTrustedHasSignedIsRefused)
{
    pushed_and_forgotten();
    options.trust.keys = {VerifyingKey::from_pem(test::kOtherPublicKey)};
    restart();
    pull_fails(ErrorCode::untrusted);
}

TEST_F(DistributionTest, WithoutAKeyNothingIsPushed)
{
    options.trust.key.reset();
    const Operation done = push(checkpoint().id);
    ASSERT_TRUE(done.error);
    EXPECT_EQ(done.error->code(), ErrorCode::conflict);
    EXPECT_TRUE(registry.tags({}).empty());
}

TEST_F(DistributionTest, ARegistryThatGoesAwayInTheMiddleLeavesNothing)
{
    const Checkpoint sent = pushed_and_forgotten();
    for (const int blobs : {0, 1, 1}) {  // what has come stays: the last time it goes on from there
        registry.go_away(blobs);
        pull_fails(ErrorCode::unavailable);
    }
    registry.come_back();
    EXPECT_EQ(pull().checkpoint, sent.id);
}

TEST_F(DistributionTest, WhatDoesNotFitOrIsOfAnotherTemplateIsNotOffered)
{
    pushed_and_forgotten();
    engine.set_info({.version = "5.4.2", .runtime = "runc", .runtime_version = "1", .criu_version = "1.0"});
    restart();
    EXPECT_TRUE(contains(pull_fails(ErrorCode::not_found).what(), "that fits this host"));
}

TEST_F(DistributionTest, WithoutARegistryItIsAConflict)
{
    options.registry = nullptr;
    const Error error = expect_error(ErrorCode::conflict, [&] { service().pull_checkpoint(TemplateName{"quick"}); });
    EXPECT_TRUE(contains(error.hint(), "[registry]"));
}

TEST_F(DistributionTest, ATemplateThatPushesSharesWhatIsMade)
{
    share(Distribute::push);
    const Checkpoint made = checkpoint();
    EXPECT_TRUE(eventually([&] { return registry.tags({}).size() == 2; }));
    EXPECT_EQ(registry.tags({}).at(0), made.id.value());
}

TEST_F(DistributionTest, ATemplateThatPullsTakesWhatIsThereBeforeItWarms)
{
    const Checkpoint sent = pushed_and_forgotten();
    const int warmed = engine.calls("create");
    share(Distribute::both);
    restart();
    EXPECT_TRUE(eventually([&] {
        const auto found = catalog().find(sent.id);
        return found && found->state == CheckpointState::available;
    }));
    EXPECT_EQ(engine.calls("create"), warmed);
}

TEST_F(DistributionTest, WithNothingThereItWarmsByItselfAndShares)
{
    share(Distribute::both);
    service();
    EXPECT_TRUE(eventually([&] { return !newest_tag().empty(); }));
    EXPECT_EQ(catalog().checkpoints(Page::all()).size(), 1U);
}

TEST_F(DistributionTest, ATemplateThatIsNeverRewarmedIsPulledAllTheSame)
{
    Template from = test::quick_template();
    from.distribute = Distribute::pull;
    from.rewarm = RewarmPolicy::never;
    const Checkpoint sent = pushed_and_forgotten();
    const int warmed = engine.calls("create");
    add(from);
    restart();
    EXPECT_TRUE(eventually([&] { return catalog().newest_available(from.name, from.digest).has_value(); }));
    EXPECT_EQ(catalog().newest_available(from.name, from.digest)->id, sent.id);
    EXPECT_EQ(engine.calls("create"), warmed);
}

TEST_F(DistributionTest, WithTheRegistryAwayItWarmsByItself)
{
    registry.go_away();
    share(Distribute::both);
    service();
    EXPECT_TRUE(eventually([&] { return catalog().newest_available(TemplateName{"quick"}, std::string(64, 'd')); }));
}

TEST_F(DistributionTest, WhatAnotherHostIsWarmingIsWaitedFor)
{
    // The other host: it pushes, and its claim and its checkpoint are in the registry.
    const Checkpoint sent = pushed_and_forgotten();
    const std::string tag = newest_tag();
    const auto artifact = registry.manifest(tag, {});
    const test::TempDir elsewhere;
    OciLayout claim{elsewhere / "claim"};
    claim.set_artifact({.type = "application/vnd.warmd.claim.v1",
                        .layers = {claim.add("application/vnd.oci.empty.v1+json", "{}")},
                        .annotations = {{"org.warmd.claim.by", "another"},
                                        {"org.opencontainers.image.created", format_time(clock.now())}}},
                       "claim");
    registry.push(claim.directory(), "claim", tag + ".warming", {});
    registry.untag(tag);
    const int warmed = engine.calls("create");
    share(Distribute::both);
    restart();
    EXPECT_TRUE(eventually([&] {
        const auto all = service().operations().list(Page::all());
        return std::any_of(all.begin(), all.end(), [](const Operation& one) { return one.phase == "wait"; });
    }));
    EXPECT_EQ(engine.calls("create"), warmed);
    stop();  // what waits is told to end, and does
    EXPECT_EQ(engine.calls("create"), warmed);
}

TEST_F(DistributionTest, TwoWhoWarmAtOnceDoNoHarm)
{
    const Checkpoint first = checkpoint();
    const Checkpoint second = checkpoint();
    push(second.id);
    push(first.id);  // the older one last: its tag stands
    forget(first.id);
    forget(second.id);
    const Operation done = pull();
    EXPECT_EQ(done.checkpoint, first.id);
    EXPECT_EQ(catalog().get(first.id).sha256, first.sha256);
}

TEST(ClassOf, IsOfTheProcessorTheRuntimeAndCriuAlone)
{
    const Environment host{{"architecture", "amd64"}, {"cpu_flags", "a b"}, {"criu", "4.2"}, {"kernel", "6.1"}};
    Environment other = host;
    other["kernel"] = "6.2";
    EXPECT_EQ(class_of(host), class_of(other));
    other["cpu_flags"] = "a b c";
    EXPECT_NE(class_of(host), class_of(other));
    EXPECT_EQ(class_of(host).size(), 16U);
}

}  // namespace
}  // namespace warmd
