#include "api/http/router.h"

#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "api/http/error_response.h"
#include "daemon/base/error.h"
#include "daemon/base/id.h"
#include "tests/unit/expect_error.h"

namespace warmd::http {
namespace {

using test::contains;
using test::expect_error;

/// A handler that answers with the words.
Handler says(const std::string& words)
{
    return [words](const Request&) { return Response::json({{"words", words}}); };
}

class RouterTest : public ::testing::Test {
protected:
    RouterTest()
    {
        spdlog::set_level(spdlog::level::off);
        router.get("/v1/things", says("list"));
        router.get("/v1/things/special", says("special"));
        router.get("/v1/things/{id}", [](const Request& request) {
            return Response::json({{"words", request.id<InstanceId>("id").value()}});
        });
        router.del("/v1/things/{id}", says("deleted"));
        router.post("/v1/things/{id}/parts/{part}", [](const Request& request) {
            return Response::json(
                {{"words", request.id<InstanceId>("id").value() + "/" + request.id<InstanceId>("part").value()}}, 202);
        });
    }
    ~RouterTest() override { spdlog::set_level(spdlog::level::info); }

    [[nodiscard]] Response ask(const std::string& method, const std::string& path) const
    {
        Request request;
        request.method = method;
        request.path = path;
        request.request_id = "req-1";
        return router.dispatch(std::move(request));
    }
    [[nodiscard]] std::string words(const std::string& method, const std::string& path) const
    {
        const Response response = ask(method, path);
        return std::to_string(response.status) + " " + Json::parse(response.body).value("words", "");
    }

    Router router;
};

void expect_problem(const Response& response, int status, const std::string& code)
{
    EXPECT_EQ(response.status, status) << response.body;
    EXPECT_EQ(response.content_type, "application/problem+json");
    const Json problem = Json::parse(response.body);
    EXPECT_EQ(problem.at("status"), status);
    EXPECT_EQ(problem.at("code"), code);
    EXPECT_EQ(problem.at("type"), "urn:warmd:problem:" + code);
    EXPECT_EQ(problem.at("request_id"), "req-1");
    EXPECT_FALSE(problem.at("detail").get<std::string>().empty());
}

TEST_F(RouterTest, FindsTheHandlerOfAPath)
{
    EXPECT_EQ(words("GET", "/v1/things"), "200 list");
    EXPECT_EQ(ask("GET", "/v1/things").content_type, "application/json");
}

TEST_F(RouterTest, HandsParametersToTheHandler)
{
    EXPECT_EQ(words("GET", "/v1/things/inst-1"), "200 inst-1");
    EXPECT_EQ(words("POST", "/v1/things/inst-1/parts/p2"), "202 inst-1/p2");
}

TEST_F(RouterTest, TakesTheFirstOfTwoRoutesThatMatch)
{
    EXPECT_EQ(words("GET", "/v1/things/special"), "200 special");
    EXPECT_EQ(words("DELETE", "/v1/things/special"), "200 deleted");
}

TEST_F(RouterTest, AnswersHeadLikeGet)
{
    const Response head = ask("HEAD", "/v1/things/inst-1");
    EXPECT_EQ(head.status, 200);
    EXPECT_EQ(head.content_type, "application/json");
}

TEST_F(RouterTest, PutsTheRequestIdOnEveryAnswer)
{
    EXPECT_EQ(ask("GET", "/v1/things").headers.at("X-Request-Id"), "req-1");
    EXPECT_EQ(ask("GET", "/nowhere").headers.at("X-Request-Id"), "req-1");
    EXPECT_EQ(ask("POST", "/v1/things").headers.at("X-Request-Id"), "req-1");
}

TEST_F(RouterTest, AnUnknownPathIsNotFound)
{
    for (const char* const path : {"/", "", "/v1", "/v1/", "/v1/thing", "/v1/things/", "/v1/things/a/b", "//v1/things",
                                   "/V1/things", "/v1/things/a/parts/b/", "/v1/things/../things"}) {
        SCOPED_TRACE(path);
        expect_problem(ask("GET", path), 404, "not_found");
    }
}

TEST_F(RouterTest, APathWithoutItsSlashIsNotFound) { expect_problem(ask("GET", "xv1/things"), 404, "not_found"); }

TEST_F(RouterTest, AMethodThatTheResourceDoesNotDoIsNotAllowedAndTheAllowedAreNamed)
{
    const Response response = ask("POST", "/v1/things/inst-1");
    expect_problem(response, 405, "method_not_allowed");
    EXPECT_EQ(response.headers.at("Allow"), "DELETE, GET");
    const Response head = ask("HEAD", "/v1/things/inst-1/parts/p");
    expect_problem(head, 405, "method_not_allowed");
    EXPECT_EQ(head.headers.at("Allow"), "POST");
    expect_problem(ask("PATCH", "/v1/things"), 405, "method_not_allowed");
    expect_problem(ask("get", "/v1/things"), 405, "method_not_allowed");
}

TEST_F(RouterTest, WhatCannotBeAnIdIsNotFound)
{
    for (const char* const id : {"A", "..", "a b", "%00", "a\nb"}) {
        SCOPED_TRACE(id);
        expect_problem(ask("GET", std::string{"/v1/things/"} + id), 404, "not_found");
    }
    expect_problem(ask("GET", "/v1/things/" + std::string(64, 'a')), 404, "not_found");
}

TEST_F(RouterTest, WritesAHostilePathWithoutItsControlCharacters)
{
    const Response response = ask("GET", "/v1/\x1B[31m\xFF");
    expect_problem(response, 404, "not_found");
    EXPECT_FALSE(contains(response.body, "\x1B"));
    EXPECT_FALSE(contains(response.body, "\\u001b"));
}

TEST_F(RouterTest, AnErrorOfTheHandlerIsAProblemDocument)
{
    router.get("/error", [](const Request&) -> Response {
        throw Error{ErrorCode::conflict, "it is taken"}
            .with_hint("take another")
            .with_field("name")
            .with_cause("below");
    });
    const Response response = ask("GET", "/error");
    expect_problem(response, 409, "conflict");
    const Json problem = Json::parse(response.body);
    EXPECT_EQ(problem.at("detail"), "it is taken");
    EXPECT_EQ(problem.at("hint"), "take another");
    EXPECT_EQ(problem.at("field"), "name");
    EXPECT_EQ(problem.at("cause"), "below");
}

TEST_F(RouterTest, AnyOtherExceptionIsAnInternalErrorThatTellsNothing)
{
    router.get("/bug", [](const Request&) -> Response { throw std::logic_error{"s3cr3t detail"}; });
    router.get("/parameter",
               [](const Request& request) { return Response::json(request.id<InstanceId>("absent").value()); });
    for (const char* const path : {"/bug", "/parameter"}) {
        const Response response = ask("GET", path);
        expect_problem(response, 500, "internal");
        EXPECT_FALSE(contains(response.body, "s3cr3t"));
        EXPECT_FALSE(contains(response.body, "map::at"));
    }
}

TEST_F(RouterTest, EvenWhatIsNoExceptionClassIsAnInternalError)
{
    router.get("/bug", [](const Request&) -> Response { throw 42; });
    Response response;
    ASSERT_NO_THROW(response = ask("GET", "/bug"));
    expect_problem(response, 500, "internal");
}

TEST_F(RouterTest, ListsItsRoutesInTheirOrder)
{
    EXPECT_EQ(router.routes(),
              (std::vector<std::string>{"GET /v1/things", "GET /v1/things/special", "GET /v1/things/{id}",
                                        "DELETE /v1/things/{id}", "POST /v1/things/{id}/parts/{part}"}));
}

Request request_with(const std::string& body, const std::string& content_type = "application/json")
{
    Request request;
    request.body = body;
    request.headers["content-type"] = content_type;
    return request;
}

TEST(Request, AnEmptyBodyIsAnEmptyObjectWhateverItsType)
{
    EXPECT_EQ(request_with("", "").json(), Json::object());
    EXPECT_EQ(request_with("", "text/plain").json(), Json::object());
}

TEST(Request, ReadsABodyOfJson)
{
    EXPECT_EQ(request_with(R"({"a": 1})").json().at("a"), 1);
    EXPECT_EQ(request_with("{}", "application/json; charset=utf-8").json(), Json::object());
}

TEST(Request, TakesTheMediaTypeInAnyCaseAndWithSpaces)
{
    EXPECT_NO_THROW(static_cast<void>(request_with("{}", "Application/JSON").json()));
    EXPECT_NO_THROW(static_cast<void>(request_with("{}", "application/json ; charset=utf-8").json()));
}

TEST(Request, RefusesABodyOfAnotherType)
{
    for (const char* const type : {"", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"}) {
        SCOPED_TRACE(type);
        expect_error(ErrorCode::unsupported_media, [&] { static_cast<void>(request_with("{}", type).json()); });
    }
}

TEST(Request, RefusesMalformedJson)
{
    expect_error(ErrorCode::invalid_argument, [] { static_cast<void>(request_with("{").json()); });
}

TEST(Request, RefusesQueryParametersThatAreNotKnown)
{
    Request request;
    request.query = {{"limit", "5"}, {"wiat", "1s"}};
    const Error error = expect_error(ErrorCode::invalid_argument, [&] { request.allow_query({"limit", "wait"}); });
    EXPECT_EQ(error.field(), "wiat");
    EXPECT_NO_THROW(request.allow_query({"limit", "wiat"}));
    EXPECT_NO_THROW(Request{}.allow_query({}));
}

TEST(Request, ExpectsNoBodyOrAnEmptyObject)
{
    EXPECT_NO_THROW(request_with("").expect_no_body());
    EXPECT_NO_THROW(request_with("{}").expect_no_body());
    EXPECT_EQ(
        expect_error(ErrorCode::invalid_argument, [] { request_with(R"({"force": true})").expect_no_body(); }).field(),
        "force");
    expect_error(ErrorCode::invalid_argument, [] { request_with("[]").expect_no_body(); });
}

TEST(ErrorResponse, EveryCodeHasItsStatus)
{
    const std::vector<std::pair<ErrorCode, int>> statuses{
        {ErrorCode::invalid_argument, 400},  {ErrorCode::not_found, 404},       {ErrorCode::method_not_allowed, 405},
        {ErrorCode::conflict, 409},          {ErrorCode::cancelled, 409},       {ErrorCode::unauthenticated, 401},
        {ErrorCode::forbidden, 403},         {ErrorCode::misdirected, 421},     {ErrorCode::precondition, 412},
        {ErrorCode::key_reused, 422},        {ErrorCode::too_large, 413},       {ErrorCode::unsupported_media, 415},
        {ErrorCode::internal, 500},          {ErrorCode::corrupt, 500},         {ErrorCode::interrupted, 500},
        {ErrorCode::engine_failed, 502},     {ErrorCode::not_ready, 502},       {ErrorCode::busy, 503},
        {ErrorCode::unavailable, 503},       {ErrorCode::timeout, 504},         {ErrorCode::no_space, 507},
        {ErrorCode::incompatible_host, 422}, {ErrorCode::invalid_archive, 422}, {ErrorCode::untrusted, 403}};
    EXPECT_EQ(statuses.size(), static_cast<std::size_t>(ErrorCode::internal) + 1);
    for (const auto& [code, status] : statuses) EXPECT_EQ(http_status(code), status) << to_string(code);
}

TEST(ErrorResponse, SaysWhenToTryAgainWhereThatMayHelp)
{
    EXPECT_TRUE(error_response(Error{ErrorCode::busy, "full"}, "r").headers.contains("Retry-After"));
    EXPECT_FALSE(error_response(Error{ErrorCode::conflict, "taken"}, "r").headers.contains("Retry-After"));
}

TEST(ErrorResponse, SurvivesWordsThatAreNotUtf8)
{
    const Response response = error_response(Error{ErrorCode::engine_failed, "words \xFF"}, "r");
    EXPECT_TRUE(contains(response.body, "words \xEF\xBF\xBD"));
}

}  // namespace
}  // namespace warmd::http
