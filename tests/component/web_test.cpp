#include "tests/component/api_fixture.h"

namespace warmd {
namespace {

using WebTest = test::ApiFixture;

TEST_F(WebTest, TheDashboardIsThePageAtTheTop)
{
    const test::Reply page = get("/");
    EXPECT_EQ(page.status, 200);
    EXPECT_EQ(page.content_type, "text/html; charset=utf-8");
    EXPECT_NE(page.body.find("/web/app.js"), std::string::npos);
    EXPECT_NE(page.header("Content-Security-Policy").find("default-src 'none'"), std::string::npos);
    EXPECT_EQ(page.header("Content-Security-Policy").find("unsafe"), std::string::npos);
    EXPECT_EQ(page.header("X-Frame-Options"), "DENY");
    EXPECT_EQ(page.header("Cache-Control"), "no-cache");
}

TEST_F(WebTest, EveryFileThatThePageNamesIsServed)
{
    const std::string page = get("/").body;
    int count = 0;
    for (auto at = page.find("\"/web/"); at != std::string::npos; at = page.find("\"/web/", at + 1)) {
        const std::string path = page.substr(at + 1, page.find('"', at + 1) - at - 1);
        const test::Reply file = get(path);
        EXPECT_EQ(file.status, 200) << path;
        EXPECT_FALSE(file.body.empty()) << path;
        EXPECT_EQ(file.header("ETag").size(), 34U) << path;
        ++count;
    }
    EXPECT_GE(count, 5);
}

TEST_F(WebTest, OtherFilesAreNotFound)
{
    for (const char* path : {"/web/none.js", "/web/..%2Fstyle.css", "/web/%2Fetc%2Fpasswd", "/web/"}) {
        expect_problem(get(path), 404, "not_found");
    }
    expect_problem(get("/?what"), 400, "invalid_argument");
}

}  // namespace
}  // namespace warmd
