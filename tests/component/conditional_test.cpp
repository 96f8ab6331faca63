#include <string>

#include "tests/component/api_fixture.h"

namespace warmd {
namespace {

class ConditionalTest : public test::ApiFixture {
protected:
    static std::string warmed(const test::Reply& reply) { return reply.json().at("instance").get<std::string>(); }
};

TEST_F(ConditionalTest, AnswersHaveAnETagAsLongAsTheyAreTheSame)
{
    const test::Reply first = get("/v1/templates");
    EXPECT_EQ(first.header("ETag").size(), 34U) << first.header("ETag");
    EXPECT_EQ(first.header("Cache-Control"), "no-cache");
    EXPECT_EQ(get("/v1/templates").header("ETag"), first.header("ETag"));
    EXPECT_EQ(call("HEAD", "/v1/templates").header("ETag"), first.header("ETag"));

    const std::string before = get("/v1/instances").header("ETag");
    post("/v1/templates/quick/warm?wait=30s");
    EXPECT_NE(get("/v1/instances").header("ETag"), before);
}

TEST_F(ConditionalTest, WhatTheClientHasIsNotSentAgain)
{
    const std::string etag = get("/v1/templates").header("ETag");
    for (const std::string& list : {etag, "W/" + etag, "\"other\", " + etag, ",, \"x\" ,W/" + etag, std::string{"*"}}) {
        const test::Reply reply = get("/v1/templates", {{"If-None-Match", list}});
        EXPECT_EQ(reply.status, 304) << list;
        EXPECT_EQ(reply.body, "");
        EXPECT_EQ(reply.header("ETag"), etag);
        EXPECT_EQ(reply.header("Content-Type"), "");
        EXPECT_NE(reply.header("X-Request-Id"), "");
    }
    EXPECT_EQ(get("/v1/templates", {{"If-None-Match", "\"other\""}}).status, 200);
    EXPECT_EQ(get("/v1/templates/nobody", {{"If-None-Match", "*"}}).status, 404);
}

TEST_F(ConditionalTest, MalformedListsAreRefused)
{
    for (const char* const list : {"abc", "\"abc", "\"a\" \"b\"", "w/\"a\"", ",", "*, \"a\"", "\"a\" x"}) {
        const test::Reply reply = get("/v1/templates", {{"If-None-Match", list}});
        expect_problem(reply, 400, "invalid_argument");
        EXPECT_EQ(reply.json().value("field", ""), "If-None-Match") << list;
    }
    const std::string id = warmed(post("/v1/templates/quick/warm?wait=30s"));
    expect_problem(call("DELETE", "/v1/instances/" + id, {}, {{"If-Match", "abc"}}), 400, "invalid_argument");
}

TEST_F(ConditionalTest, AChangeIsMadeOnlyToWhatTheClientHasSeen)
{
    const std::string target = "/v1/instances/" + warmed(post("/v1/templates/quick/warm?wait=30s"));
    const std::string etag = get(target).header("ETag");
    const test::Reply refused = call("DELETE", target + "?wait=30s", {}, {{"If-Match", "\"other\""}});
    expect_problem(refused, 412, "precondition");
    EXPECT_NE(refused.json().value("hint", ""), "");
    EXPECT_EQ(call("DELETE", target, {}, {{"If-Match", "W/" + etag}}).status, 412);  // compared strongly
    EXPECT_EQ(call("DELETE", target, {}, {{"If-None-Match", "*"}}).status, 412);
    EXPECT_EQ(get(target).header("ETag"), etag);

    EXPECT_EQ(call("DELETE", target + "?wait=30s", {}, {{"If-Match", "\"other\", " + etag}}).status, 200);
    EXPECT_EQ(get(target).json().at("state"), "terminated");
    EXPECT_EQ(call("DELETE", target, {}, {{"If-Match", etag}}).status, 412);
}

TEST_F(ConditionalTest, AnActionIsComparedWithTheResourceThatItIsMadeTo)
{
    const std::string template_tag = get("/v1/templates/quick").header("ETag");
    EXPECT_EQ(call("POST", "/v1/templates/quick/warm?wait=30s", {}, {{"If-Match", template_tag}}).status, 200);
    const std::string checkpoint =
        "/v1/checkpoints/" +
        post("/v1/templates/quick/checkpoints?wait=30s").json().at("checkpoint").get<std::string>();
    EXPECT_EQ(call("POST", checkpoint + "/restore", {}, {{"If-Match", template_tag}}).status, 412);
    EXPECT_EQ(call("POST", checkpoint + "/restore?wait=30s", {}, {{"If-Match", get(checkpoint).header("ETag")}}).status,
              200);
    EXPECT_EQ(call("POST", checkpoint + "/restore?wait=30s", {}, {{"If-Match", "*"}}).status, 200);
    // What is not there is not found, whatever it should be like.
    EXPECT_EQ(call("POST", "/v1/checkpoints/ckpt-nobody/restore", {}, {{"If-Match", "*"}}).status, 404);
}

}  // namespace
}  // namespace warmd
