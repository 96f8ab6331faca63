#include <set>
#include <string>
#include <vector>

#include "tests/component/api_fixture.h"

namespace warmd {
namespace {

class OpenApiTest : public test::ApiFixture {
protected:
    /// Calls `fn` with each object in `node` that is the value of a `content`, a media type's in it, and where that is.
    template <typename Fn>
    void each_media_type(const Json& node, const std::string& where, Fn&& fn)
    {
        if (!node.is_structured()) return;
        for (const auto& [name, child] : node.items()) {
            const std::string place = where + "/" + name;
            if (name == "content" && child.is_object()) {
                for (const auto& [media, content] : child.items()) fn(media, content, place + "/" + media);
            } else if (name != "schemas") {
                each_media_type(child, place, fn);
            }
        }
    }
};

TEST_F(OpenApiTest, TheDaemonServesTheDocumentThatStandsInTheSources)
{
    const test::Reply reply = call("GET", "/openapi.json");
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.content_type, "application/json");
    EXPECT_EQ(reply.json(), api().document());
    EXPECT_EQ(get("/openapi.json", {{"If-None-Match", reply.header("ETag")}}).status, 304);
}

TEST_F(OpenApiTest, EveryBodyHasAnExampleThatIsAsItsSchemaSays)
{
    int examples = 0;
    each_media_type(api().document(), "", [&](const std::string& media, const Json& content, const std::string& where) {
        ASSERT_TRUE(content.contains("schema")) << where;
        std::vector<Json> shown;
        if (content.contains("example")) shown.push_back(content.at("example"));
        if (content.contains("examples")) {
            for (const auto& [name, example] : content.at("examples").items()) shown.push_back(example.at("value"));
        }
        EXPECT_FALSE(shown.empty()) << where;
        for (const Json& example : shown) {
            ++examples;
            if (media == "text/event-stream" || media == "text/plain" || media == "text/html") continue;
            EXPECT_EQ(api().check_schema(content.at("schema"), example), "") << where;
        }
    });
    EXPECT_GT(examples, 40);
}

TEST_F(OpenApiTest, EveryOperationDocumentsWhatCanGoWrongWithAnyRequest)
{
    int operations = 0;
    for (const auto& [path, item] : api().document().at("paths").items()) {
        for (const auto& [method, operation] : item.items()) {
            if (method == "parameters") continue;
            ++operations;
            std::set<std::string> wanted{"400", "408", "413", "414", "421", "431", "500", "503"};
            if (!operation.contains("security")) wanted.insert({"401", "403"});  // somebody's, not anybody's
            if (path.find('{') != std::string::npos) wanted.insert("404");
            if (method != "get") wanted.insert({"411", "412", "415", "507"});
            for (const std::string& status : wanted) {
                EXPECT_TRUE(operation.at("responses").contains(status)) << method << " " << path << " " << status;
            }
            EXPECT_FALSE(operation.at("responses").contains("default")) << method << " " << path;
        }
    }
    EXPECT_GE(operations, 29);
}

}  // namespace
}  // namespace warmd
