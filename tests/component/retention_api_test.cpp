#include <string>
#include <utility>

#include "tests/component/api_fixture.h"

namespace warmd {
namespace {

class RetentionApiTest : public test::ApiFixture {
protected:
    static std::string path_of(const CheckpointId& id) { return "/v1/checkpoints/" + id.value(); }
};

TEST_F(RetentionApiTest, PinsACheckpointAndTakesItBack)
{
    const Checkpoint made = checkpoint();
    EXPECT_EQ(get(path_of(made.id)).json().at("pinned"), false);
    EXPECT_EQ(get(path_of(made.id)).json().at("used_at"), nullptr);
    for (int i = 0; i < 2; ++i) {
        const test::Reply pinned = post(path_of(made.id) + "/pin");
        EXPECT_EQ(pinned.status, 200);
        EXPECT_EQ(pinned.json().at("id"), made.id.value());
        EXPECT_EQ(pinned.json().at("pinned"), true);
    }
    EXPECT_EQ(get("/v1/checkpoints").json().at("items").at(0).at("pinned"), true);
    expect_problem(call("DELETE", path_of(made.id)), 409, "conflict");
    EXPECT_EQ(call("DELETE", path_of(made.id) + "/pin").json().at("pinned"), false);
    EXPECT_EQ(call("DELETE", path_of(made.id) + "?wait=30s").json().at("state"), "succeeded");
    expect_problem(post(path_of(made.id) + "/pin"), 404, "not_found");
    expect_problem(call("DELETE", path_of(made.id) + "/pin"), 404, "not_found");
}

TEST_F(RetentionApiTest, APinIsAConditionalChangeOfItsCheckpoint)
{
    const Checkpoint made = checkpoint();
    const std::string seen = get(path_of(made.id)).header("ETag");
    EXPECT_EQ(call("POST", path_of(made.id) + "/pin", {}, {{"If-Match", seen}}).status, 200);
    expect_problem(call("DELETE", path_of(made.id) + "/pin", {}, {{"If-Match", seen}}), 412, "precondition");
    EXPECT_EQ(get(path_of(made.id)).json().at("pinned"), true);
}

TEST_F(RetentionApiTest, ADryRunSaysWhatAPruneThenDeletes)
{
    const Checkpoint first = checkpoint();
    const Checkpoint second = checkpoint();
    const test::Reply plan = post("/v1/prune", R"({"dry_run":true})");
    EXPECT_EQ(plan.status, 200);
    EXPECT_EQ(plan.json().at("bytes"), first.size_bytes);
    ASSERT_EQ(plan.json().at("deletions").size(), 1U);
    EXPECT_EQ(plan.json().at("deletions").at(0).at("checkpoint"), first.id.value());
    EXPECT_EQ(plan.json().at("deletions").at(0).at("reason"), "superseded");
    EXPECT_TRUE(catalog().find(first.id));

    EXPECT_EQ(post("/v1/prune?wait=30s", R"({"keep":2})").json().at("deletions"), Json::array());
    const test::Reply done = post("/v1/prune?wait=30s");
    EXPECT_EQ(done.status, 200);
    EXPECT_EQ(done.json().at("kind"), "prune");
    EXPECT_EQ(done.json().at("state"), "succeeded");
    EXPECT_EQ(done.json().at("deletions"), plan.json().at("deletions"));
    EXPECT_EQ(get("/v1/operations/" + done.json().at("id").get<std::string>()).json().at("deletions"),
              plan.json().at("deletions"));
    EXPECT_FALSE(catalog().find(first.id));
    EXPECT_TRUE(catalog().find(second.id));
}

TEST_F(RetentionApiTest, APruneIsRepeatedSafely)
{
    checkpoint();
    checkpoint();
    const httplib::Headers key{{"Idempotency-Key", "once"}};
    const test::Reply first = call("POST", "/v1/prune?wait=30s", "{}", key);
    const test::Reply second = call("POST", "/v1/prune?wait=30s", "{}", key);
    EXPECT_EQ(first.json().at("id"), second.json().at("id"));
    EXPECT_EQ(second.header("Idempotent-Replayed"), "true");
}

TEST_F(RetentionApiTest, AWrongPruneIsRefused)
{
    for (const char* const body :
         {R"({"keep":0})", R"({"keep":1001})", R"({"only":"ckpt-1"})", R"({"dry_run":1})", R"({"kept":1})", "[]"}) {
        expect_problem(post("/v1/prune", body), 400, "invalid_argument");
    }
    expect_problem(post("/v1/prune?dry_run=true"), 400, "invalid_argument");
}

TEST_F(RetentionApiTest, TheUsageIsByTemplate)
{
    add(test::quick_template("other"));
    EXPECT_EQ(get("/v1/df").json().at("templates"), Json::array());
    checkpoint();
    const Checkpoint made = checkpoint("other");
    const Json usage = get("/v1/df").json();
    ASSERT_EQ(usage.at("templates").size(), 2U);
    EXPECT_EQ(usage.at("templates").at(0).at("template"), "other");
    EXPECT_EQ(usage.at("templates").at(0).at("bytes"), made.size_bytes);
    EXPECT_GT(usage.at("unpacked_bytes"), 0);
    EXPECT_GT(usage.at("free_bytes"), 0);
}

TEST_F(RetentionApiTest, BelowTheFloorACheckpointIs507AndTheMetricsShowWhy)
{
    constexpr std::uint64_t kFloor = std::uint64_t{1} << 30U;
    const Instance instance = warm();
    store_options.min_free_bytes = kFloor;
    store_options.free = [] { return kFloor; };
    restart();
    for (const std::string& path :
         {std::string{"/v1/templates/quick/checkpoints"}, "/v1/instances/" + instance.id.value() + "/checkpoint"}) {
        const test::Reply refused = post(path);
        expect_problem(refused, 507, "no_space");
        EXPECT_NE(refused.json().at("detail").get<std::string>().find("bytes are missing"), std::string::npos);
        EXPECT_NE(refused.json().at("hint").get<std::string>().find("warmctl prune"), std::string::npos);
    }
    EXPECT_EQ(get("/v1/operations").json().at("items").size(), 1U) << "none was begun";
    EXPECT_EQ(get("/v1/df").json().at("min_free_bytes"), kFloor);
    const std::string metrics = get("/metrics").body;
    EXPECT_NE(metrics.find("warmd_store_min_free_bytes 1073741824\n"), std::string::npos) << metrics;
    EXPECT_NE(metrics.find(R"(warmd_store_bytes{what="reserved"} 0)"), std::string::npos);
    EXPECT_NE(metrics.find(R"(warmd_store_bytes{what="free"} 1073741824)"), std::string::npos);
}

TEST_F(RetentionApiTest, ATemplateShowsItsBounds)
{
    Template bounded = test::quick_template();
    bounded.retention = {.max_count = 3, .max_total_bytes = std::uint64_t{1} << 40U, .ttl = std::chrono::hours{720}};
    add(bounded);
    const Json shown = get("/v1/templates/quick").json().at("retention");
    EXPECT_EQ(shown, (Json{{"max_count", 3}, {"max_total_bytes", std::uint64_t{1} << 40U}, {"ttl", "720h"}}));
    EXPECT_EQ(get("/v1/templates").json().at("items").at(0).at("retention"), shown);
}

}  // namespace
}  // namespace warmd
