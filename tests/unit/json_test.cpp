#include "daemon/base/json.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/unit/expect_error.h"

namespace warmd {
namespace {

using test::contains;
using test::expect_error;

std::string nested(int levels, const std::string& inside)
{
    const auto count = static_cast<std::size_t>(levels);
    return std::string(count, '[') + inside + std::string(count, ']');
}

/// What reading `document` with `read` throws.
template <typename Read>
Error refusal(const char* document, Read&& read)
{
    const Json json = parse_json(document);
    JsonObject object{json};
    return expect_error(ErrorCode::invalid_argument, [&] { read(object); });
}

TEST(ParseJson, ReadsADocument) { EXPECT_EQ(parse_json(R"({"a": [1, 2.5, "x", null, true]})").at("a").size(), 5U); }

TEST(ParseJson, RefusesMalformedText)
{
    for (const char* const text :
         {"", "{", "}", "{\"a\":}", "[1,]", "{'a': 1}", "nul", "1 2", "\"\\x\"", "\"\xFF\"", "1e999", "NaN"}) {
        SCOPED_TRACE(text);
        const Error error = expect_error(ErrorCode::invalid_argument, [&] { parse_json(text); });
        EXPECT_STREQ(error.what(), "malformed JSON");
        EXPECT_FALSE(error.cause().empty());
    }
}

TEST(ParseJson, AllowsSixtyFourLevels)
{
    EXPECT_NO_THROW(parse_json(nested(64, "")));
    EXPECT_NO_THROW(parse_json(nested(64, "1")));
    EXPECT_NO_THROW(parse_json(nested(63, R"({"a": 1})")));
}

TEST(ParseJson, RefusesSixtyFiveLevels)
{
    expect_error(ErrorCode::invalid_argument, [] { parse_json(nested(65, "1")); });
    expect_error(ErrorCode::invalid_argument, [] { parse_json(nested(64, R"({"a": 1})")); });
}

TEST(ParseJson, RefusesSixtyFiveLevelsWithNothingInTheInnermost)
{
    expect_error(ErrorCode::invalid_argument, [] { parse_json(nested(65, "")); });
}

TEST(ParseJson, RefusesAMillionLevelsWithoutOverflowingTheStack)
{
    expect_error(ErrorCode::invalid_argument, [] { parse_json(nested(1'000'000, "")); });
    expect_error(ErrorCode::invalid_argument, [] { parse_json(std::string(1'000'000, '[')); });
}

TEST(DumpJson, ReplacesBytesThatAreNotUtf8) { EXPECT_EQ(dump_json(Json(std::string{"a\xFFz"})), "\"a\xEF\xBF\xBDz\""); }

TEST(JsonObject, ReadsEveryKindOfMember)
{
    const Json json = parse_json(
        R"({"t": "text", "i": -5, "b": true, "list": ["x", "y"], "map": {"k": "v"}, "o": {"inner": 1}})");
    JsonObject object{json};
    EXPECT_EQ(object.text("t"), "text");
    EXPECT_EQ(object.integer("i"), -5);
    EXPECT_EQ(object.optional_boolean("b"), true);
    EXPECT_EQ(object.texts("list"), (std::vector<std::string>{"x", "y"}));
    EXPECT_EQ(object.text_map("map"), (std::map<std::string, std::string>{{"k", "v"}}));
    ASSERT_NE(object.child("o"), nullptr);
    EXPECT_EQ(object.child("o")->at("inner"), 1);
    EXPECT_NO_THROW(object.finish());
}

TEST(JsonObject, TakesNullForAbsent)
{
    const Json json = parse_json(R"({"t": null, "i": null, "b": null, "list": null, "map": null, "o": null})");
    JsonObject object{json};
    EXPECT_FALSE(object.optional_text("t"));
    EXPECT_FALSE(object.optional_integer("i"));
    EXPECT_FALSE(object.optional_boolean("b"));
    EXPECT_TRUE(object.texts("list").empty());
    EXPECT_TRUE(object.text_map("map").empty());
    EXPECT_EQ(object.child("o"), nullptr);
    EXPECT_EQ(object.child("absent"), nullptr);
    EXPECT_NO_THROW(object.finish());
}

TEST(JsonObject, NamesTheMissingMember)
{
    for (const auto& read : {+[](JsonObject& object) { object.text("wanted"); },
                             +[](JsonObject& object) { static_cast<void>(object.integer("wanted")); }}) {
        const Error error = refusal("{}", read);
        EXPECT_STREQ(error.what(), "wanted is missing");
        EXPECT_EQ(error.field(), "wanted");
    }
}

TEST(JsonObject, NamesTheMemberOfTheWrongType)
{
    const auto field_of = [](const char* document, auto read) { return refusal(document, read).field(); };
    EXPECT_EQ(field_of(R"({"a": 1})", [](JsonObject& o) { o.text("a"); }), "a");
    EXPECT_EQ(field_of(R"({"b": "1"})", [](JsonObject& o) { o.integer("b"); }), "b");
    EXPECT_EQ(field_of(R"({"c": 1})", [](JsonObject& o) { o.optional_boolean("c"); }), "c");
    EXPECT_EQ(field_of(R"({"d": "x"})", [](JsonObject& o) { o.texts("d"); }), "d");
    EXPECT_EQ(field_of(R"({"e": ["x", 1]})", [](JsonObject& o) { o.texts("e"); }), "e");
    EXPECT_EQ(field_of(R"({"f": []})", [](JsonObject& o) { o.text_map("f"); }), "f");
    EXPECT_EQ(field_of(R"({"g": {"PATH": 1}})", [](JsonObject& o) { o.text_map("g"); }), "g.PATH");
}

TEST(JsonObject, TakesNoFractionAndNoOverflowForAWholeNumber)
{
    const auto read = [](JsonObject& object) { object.integer("n"); };
    for (const char* const document :
         {R"({"n": 3.7})", R"({"n": 3.0})", R"({"n": 9223372036854775808})", R"({"n": 1e30})", R"({"n": true})"}) {
        SCOPED_TRACE(document);
        EXPECT_STREQ(refusal(document, read).what(), "n must be a whole number");
    }
    const Json largest = parse_json(R"({"n": 9223372036854775807})");
    EXPECT_EQ(JsonObject{largest}.integer("n"), INT64_MAX);
    const Json smallest = parse_json(R"({"n": -9223372036854775808})");
    EXPECT_EQ(JsonObject{smallest}.integer("n"), INT64_MIN);
}

TEST(JsonObject, RefusesMembersThatNobodyAskedFor)
{
    const Error error = refusal(R"({"known": "x", "typo": null})", [](JsonObject& object) {
        object.text("known");
        object.finish();
    });
    EXPECT_STREQ(error.what(), "typo is not known here");
    EXPECT_EQ(error.field(), "typo");
}

TEST(JsonObject, PutsItsPathBeforeTheMember)
{
    const Json json = parse_json(R"({"timeout": 5})");
    JsonObject object{json, "warm.ready"};
    EXPECT_EQ(object.path_of("timeout"), "warm.ready.timeout");
    const Error error = expect_error(ErrorCode::invalid_argument, [&] { object.text("timeout"); });
    EXPECT_EQ(error.field(), "warm.ready.timeout");
    EXPECT_TRUE(contains(error.what(), "warm.ready.timeout must be a string")) << error.what();
}

TEST(JsonObject, IsMadeOfAnObjectOnly)
{
    for (const char* const document : {"[]", "1", "\"x\"", "null"}) {
        SCOPED_TRACE(document);
        const Json json = parse_json(document);
        const Error outer = expect_error(ErrorCode::invalid_argument, [&] { JsonObject{json}; });
        EXPECT_STREQ(outer.what(), "the document must be a JSON object");
        const Error inner = expect_error(ErrorCode::invalid_argument, [&] { JsonObject(json, "error"); });
        EXPECT_EQ(inner.field(), "error");
    }
}

}  // namespace
}  // namespace warmd
