#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "tests/component/api_fixture.h"

namespace warmd {
namespace {

class RequestKeyTest : public test::ApiFixture {
protected:
    test::Reply post_with(const std::string& key, const std::string& target, const std::string& body = {})
    {
        return call("POST", target, body, {{"Idempotency-Key", key}});
    }
    static std::string id(const test::Reply& reply) { return reply.json().at("id").get<std::string>(); }

    std::size_t operations() { return get("/v1/operations?limit=1000").json().at("items").size(); }

    void restart_daemon()
    {
        stop_server();
        restart();
    }

    void checkpoint_quick() { post("/v1/templates/quick/checkpoints?wait=30s"); }
};

TEST_F(RequestKeyTest, ARepeatedRequestIsAnsweredWithWhatTheFirstBegan)
{
    const test::Reply first = post_with("k-1", "/v1/templates/quick/warm");
    EXPECT_EQ(first.status, 202);
    EXPECT_EQ(first.header("Idempotent-Replayed"), "");
    EXPECT_TRUE(eventually([&] { return get(first.header("Location")).json().at("state") == "succeeded"; }));

    const test::Reply again = post_with("k-1", "/v1/templates/quick/warm");
    EXPECT_EQ(again.status, 200);  // as it is by now
    EXPECT_EQ(id(again), id(first));
    EXPECT_EQ(again.header("Location"), first.header("Location"));
    EXPECT_EQ(again.header("Idempotent-Replayed"), "true");
    EXPECT_EQ(id(post_with("\"k-1\"", "/v1/templates/quick/warm")), id(first));  // quoted, it is the same key
    EXPECT_EQ(operations(), 1U);
    EXPECT_NE(id(post_with("k-2", "/v1/templates/quick/warm")), id(first));
}

TEST_F(RequestKeyTest, AnotherRequestMustNotHaveTheSameKey)
{
    post_with("k", "/v1/templates/quick/warm");
    for (const char* const target : {"/v1/templates/quick/checkpoints", "/v1/templates/quick/warm?wait=1ms"}) {
        const test::Reply reply = post_with("k", target);
        expect_problem(reply, 422, "key_reused");
        EXPECT_EQ(reply.json().value("field", ""), "Idempotency-Key");
    }
    expect_problem(post_with("k", "/v1/templates/quick/warm", "{}"), 422, "key_reused");
    EXPECT_EQ(operations(), 1U);
}

TEST_F(RequestKeyTest, WhatNothingCameOfMayBeSentAgain)
{
    expect_problem(post_with("k", "/v1/templates/quick/restore"), 404, "not_found");
    expect_problem(post_with("k", "/v1/templates/quick/restore?wait=x"), 400, "invalid_argument");
    checkpoint_quick();
    const test::Reply done = post_with("k", "/v1/templates/quick/restore?wait=30s");
    EXPECT_EQ(done.json().at("state"), "succeeded") << done.body;
    EXPECT_EQ(done.header("Idempotent-Replayed"), "");
}

TEST_F(RequestKeyTest, KeysOutliveARestart)
{
    checkpoint_quick();
    const std::string lease = R"({"ttl":"1h"})";
    const test::Reply warmed = post_with("k-warm", "/v1/templates/quick/warm?wait=30s");
    const test::Reply leased = post_with("k-lease", "/v1/pools/quick/leases", lease);
    EXPECT_EQ(leased.status, 201) << leased.body;
    restart_daemon();

    EXPECT_EQ(id(post_with("k-warm", "/v1/templates/quick/warm?wait=30s")), id(warmed));
    const test::Reply again = post_with("k-lease", "/v1/pools/quick/leases", lease);
    EXPECT_EQ(again.status, 201);
    EXPECT_EQ(id(again), id(leased));
    EXPECT_EQ(again.header("Location"), leased.header("Location"));
    EXPECT_EQ(again.header("Idempotent-Replayed"), "true");
    EXPECT_EQ(get("/v1/leases").json().at("items").size(), 1U);

    // It is told as it is by now, not as it was.
    EXPECT_EQ(call("DELETE", leased.header("Location")).status, 200);
    EXPECT_EQ(post_with("k-lease", "/v1/pools/quick/leases", lease).json().at("state"), "released");
}

TEST_F(RequestKeyTest, TheOperationOfAKilledDaemonIsToldToHaveBeenInterrupted)
{
    // What a kill leaves: the row and its key, which were written together.
    const Operation begun{.id = OperationId{new_id(kOperationPrefix)},
                          .kind = OperationKind::warm,
                          .template_name = TemplateName{"quick"},
                          .created_at = clock.now()};
    const test::Reply probe = post_with("probe", "/v1/templates/quick/warm?wait=30s");
    EXPECT_EQ(probe.status, 200);
    stop_server();
    const auto known = catalog().find(RequestKey{.caller = "uid 0", .key = "probe", .fingerprint = {}});
    ASSERT_TRUE(known);
    catalog().save(begun, RequestKey{.caller = "uid 0", .key = "k", .fingerprint = known->fingerprint});
    restart();

    const test::Reply reply = post_with("k", "/v1/templates/quick/warm?wait=30s");
    EXPECT_EQ(id(reply), begun.id.value());
    EXPECT_EQ(reply.json().at("error").at("code"), "interrupted");
    EXPECT_EQ(operations(), 2U);
}

TEST_F(RequestKeyTest, ManyAtOnceHaveOneEffect)
{
    checkpoint_quick();
    const std::size_t before = operations();
    std::vector<test::Reply> replies(64);
    {
        std::vector<std::jthread> clients;
        for (test::Reply& reply : replies) {
            clients.emplace_back([this, &reply] {
                do {
                    reply = post_with("k", "/v1/templates/quick/restore?wait=30s");
                } while (reply.status == 409);
            });
        }
    }
    EXPECT_EQ(operations(), before + 1);
    EXPECT_EQ(get("/v1/instances").json().at("items").size(), 1U);
    for (const test::Reply& reply : replies) {
        EXPECT_EQ(reply.status, 200) << reply.body;
        EXPECT_EQ(id(reply), id(replies.front()));
    }
    EXPECT_EQ(std::count_if(replies.begin(), replies.end(),
                            [](const test::Reply& reply) { return reply.header("Idempotent-Replayed").empty(); }),
              1);
}

TEST_F(RequestKeyTest, OneThatIsStillBeingDoneIsAConflict)
{
    // No checkpoint and not cold: the first waits for an instance that does not come.
    start_server();
    const std::string body = R"({"wait":"30s"})";
    test::Reply first;
    std::jthread waiting{[&] { first = post_with("k", "/v1/pools/quick/leases", body); }};
    EXPECT_TRUE(eventually([&] { return get("/v1/pools/quick").json().at("waiting") == 1; }));
    const test::Reply second = post_with("k", "/v1/pools/quick/leases", body);
    expect_problem(second, 409, "conflict");
    EXPECT_NE(second.header("Retry-After"), "");
    expect_problem(post_with("k", "/v1/pools/quick/leases", R"({"wait":"29s"})"), 422, "key_reused");

    checkpoint_quick();
    waiting.join();
    EXPECT_EQ(first.status, 201) << first.body;
    EXPECT_EQ(id(post_with("k", "/v1/pools/quick/leases", body)), id(first));
}

TEST_F(RequestKeyTest, OnlyKeysAreTakenAndOnlyWhereTheyMatter)
{
    const std::string longest(255, 'k');
    for (const std::string& key : {longest, "\"" + longest + "\"", std::string{R"("a \"quoted\" \\ key")"}}) {
        EXPECT_EQ(post_with(key, "/v1/templates/quick/warm?wait=30s").status, 200) << key;
    }
    for (const std::string& key :
         {longest + "k", std::string{"\"\""}, std::string{"\"open"}, std::string{"two words"}, std::string{"\"a\";b=1"},
          std::string{R"("bad \escape")"}, std::string{"caf\xc3\xa9"}}) {
        const test::Reply reply = post_with(key, "/v1/templates/quick/warm");
        expect_problem(reply, 400, "invalid_argument");
        EXPECT_EQ(reply.json().value("field", ""), "Idempotency-Key") << key;
    }
    EXPECT_EQ(operations(), 2U);  // the first two are the same key
    const std::string instance = get("/v1/instances").json().at("items").at(0).at("id").get<std::string>();
    const std::string command = R"({"command":["true"]})";
    expect_problem(post_with("k", "/v1/instances/" + instance + "/exec", command), 400, "invalid_argument");
    expect_problem(post_with("k", "/v1/templates/quick/run", command), 400, "invalid_argument");
    expect_problem(call("DELETE", "/v1/instances/" + instance, {}, {{"Idempotency-Key", "k"}}), 400,
                   "invalid_argument");
    EXPECT_EQ(get("/v1/templates", {{"Idempotency-Key", "k"}}).status, 200);  // it changes nothing anyway
}

TEST_F(RequestKeyTest, KeysAreForgottenAfterADayAndWithThemTheirOperations)
{
    options.history = 0;
    manual_time = true;
    const test::Reply first = post_with("k", "/v1/templates/quick/warm?wait=30s");
    const auto restored = [&] { return id(post_with("k", "/v1/templates/quick/warm?wait=30s")) == id(first); };
    service().reconcile();
    EXPECT_TRUE(restored());
    const Duration half_a_day = std::chrono::hours{12};
    manual_clock.sleep_for(half_a_day, {});
    service().reconcile();
    EXPECT_TRUE(restored());
    manual_clock.sleep_for(half_a_day + half_a_day, {});
    service().reconcile();
    EXPECT_EQ(get(first.header("Location")).status, 404);
    EXPECT_FALSE(restored());
}

}  // namespace
}  // namespace warmd
