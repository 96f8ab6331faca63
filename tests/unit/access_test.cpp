#include "api/http/access.h"

#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <string>
#include <utility>
#include <vector>

#include "api/http/router.h"
#include "daemon/base/sha256.h"
#include "tests/unit/expect_error.h"

namespace warmd::http {
namespace {

using test::contains;
using Headers = std::map<std::string, std::string>;

const std::string kTokenOfRole[] = {"", "token-of-a-reader", "token-of-a-worker", "token-of-an-admin"};

AccessOptions options()
{
    AccessOptions result;
    result.callers = {{Role::read, {.users = {1001}, .groups = {2001}}},
                      {Role::exec, {.users = {1002}, .groups = {2002}}},
                      {Role::admin, {.users = {1003}, .groups = {2003}}}};
    for (const Role role : {Role::read, Role::exec, Role::admin}) {
        result.tokens.push_back({.name = "of-" + std::string{to_string(role)},
                                 .role = role,
                                 .sha256 = sha256_hex(kTokenOfRole[static_cast<int>(role)])});
    }
    result.hosts = {"build7.example"};
    result.origins = {"https://dash.example"};
    return result;
}

Peer user(uid_t uid, gid_t gid = 3000, std::vector<gid_t> groups = {})
{
    return {.via = Peer::Via::socket, .uid = uid, .gid = gid, .groups = std::move(groups)};
}

Peer over_tcp() { return {.via = Peer::Via::tcp, .address = "127.0.0.1"}; }

class AccessTest : public ::testing::Test {
protected:
    explicit AccessTest(AccessOptions access = options()) : router{std::move(access)}
    {
        spdlog::set_level(spdlog::level::off);
        const Handler handler = [this](const Request& request) {
            caller = request.caller;
            return Response::json({{"caller", describe_caller(request)}});
        };
        for (const Role role : {Role::none, Role::read, Role::exec, Role::admin}) {
            router.get("/" + std::string{to_string(role)}, handler, {.role = role});
            router.post("/" + std::string{to_string(role)}, handler, {.role = role});
        }
    }
    ~AccessTest() override { spdlog::set_level(spdlog::level::info); }

    Response ask(const Peer& peer, const std::string& method, const std::string& path, Headers headers = {})
    {
        caller = {};
        Request request;
        request.method = method;
        request.path = path;
        request.headers = std::move(headers);
        request.peer = peer;
        request.request_id = "req-1";
        return router.dispatch(std::move(request));
    }

    Response over_tcp_as(Role role, const std::string& method, const std::string& path, Headers headers = {})
    {
        headers.emplace("host", "127.0.0.1:8642");
        if (role != Role::none) headers.emplace("authorization", "Bearer " + kTokenOfRole[static_cast<int>(role)]);
        return ask(over_tcp(), method, path, std::move(headers));
    }

    static std::string member(const Response& response, const char* name)
    {
        return Json::parse(response.body).value(name, "");
    }

    Router router;
    Caller caller;  // as the handler saw it
};

/// All callers of the socket and of TCP with every route.
TEST_F(AccessTest, EachRoleIncludesThoseBeforeIt)
{
    const std::vector<std::pair<Peer, Role>> callers{
        {user(0), Role::admin},
        {user(1000), Role::none},
        {user(1001), Role::read},
        {user(1002), Role::exec},
        {user(1003), Role::admin},
        {user(1000, 2001), Role::read},
        {user(1000, 3000, {4, 2002}), Role::exec},
        {user(1000, 2003), Role::admin},
        {user(1000, 0, {0}), Role::none},               // the group root is not root
        {user(1001, 2001, {2002, 2003}), Role::admin},  // the highest counts
        {user(2003), Role::none},                       // a group's id is nobody's
    };
    for (const auto& [peer, role] : callers) {
        for (const Role needed : {Role::none, Role::read, Role::exec, Role::admin}) {
            for (const char* const method : {"GET", "POST", "HEAD"}) {
                const Response response = ask(peer, method, "/" + std::string{to_string(needed)});
                EXPECT_EQ(response.status, role >= needed ? 200 : 403)
                    << "uid " << peer.uid << " " << method << " " << to_string(needed);
                if (response.status != 200) continue;
                EXPECT_EQ(caller.role, role);
                EXPECT_EQ(caller.name, "uid " + std::to_string(peer.uid));
            }
        }
    }
    for (const Role role : {Role::none, Role::read, Role::exec, Role::admin}) {
        for (const Role needed : {Role::none, Role::read, Role::exec, Role::admin}) {
            const int refusal = role == Role::none ? 401 : 403;
            const Response response = over_tcp_as(role, "POST", "/" + std::string{to_string(needed)});
            EXPECT_EQ(response.status, role >= needed ? 200 : refusal) << to_string(role) << " " << to_string(needed);
            if (response.status == 200 && role != Role::none) {
                EXPECT_EQ(caller.name, "token of-" + std::string{to_string(role)});
            }
        }
    }
}

TEST_F(AccessTest, ARefusalSaysWhoAsksWhatItTakesAndWhatToDo)
{
    const Response nobody = ask(user(4'000'000'000), "POST", "/exec");
    EXPECT_EQ(member(nobody, "code"), "forbidden");
    EXPECT_EQ(member(nobody, "detail"), "uid 4000000000 has no role, and this needs exec");
    EXPECT_TRUE(contains(member(nobody, "hint"), "[access] in warmd.toml")) << nobody.body;
    EXPECT_EQ(member(ask(user(0), "GET", "/read"), "caller"), "uid 0 (root)");

    const Response reader = over_tcp_as(Role::read, "POST", "/admin");
    EXPECT_EQ(member(reader, "detail"), "token of-read has the role read, and this needs admin");
    EXPECT_TRUE(contains(member(reader, "hint"), "[tokens]")) << reader.body;
}

TEST_F(AccessTest, OnlyATokenThatIsKnownCountsOnTcp)
{
    const std::string good = kTokenOfRole[1];
    const std::string host = "127.0.0.1:8642";
    for (const std::string& header : {"Bearer " + good, "bearer " + good, "BEARER   " + good}) {
        EXPECT_EQ(ask(over_tcp(), "GET", "/read", {{"host", host}, {"authorization", header}}).status, 200) << header;
    }
    const std::vector<std::string> wrong{{},
                                         good,
                                         "Bearer",
                                         "Bearer ",
                                         "Bearer " + good + "x",
                                         "Bearer " + good.substr(1),
                                         "Basic " + good,
                                         "Bearer " + sha256_hex(good)};
    for (const std::string& header : wrong) {
        const Response response = ask(over_tcp(), "GET", "/read", {{"host", host}, {"authorization", header}});
        EXPECT_EQ(response.status, 401) << header;
        EXPECT_EQ(response.headers.at("WWW-Authenticate"), "Bearer realm=\"warmd\"");
        EXPECT_EQ(response.body.find(good), std::string::npos);
        EXPECT_EQ(ask(over_tcp(), "GET", "/none", {{"host", host}, {"authorization", header}}).status, 200) << header;
        EXPECT_EQ(caller.name, "");
    }
    // The uid of a TCP peer means nothing, a token on the socket neither.
    Peer peer = over_tcp();
    peer.uid = 1003;
    EXPECT_EQ(ask(peer, "GET", "/read", {{"host", host}}).status, 401);
    EXPECT_EQ(ask(user(1000), "GET", "/read", {{"authorization", "Bearer " + good}}).status, 403);
}

TEST_F(AccessTest, WithoutARoleNobodyFindsOutWhatThereIs)
{
    for (const char* const path : {"/nothing", "/read/more", "/admin"}) {
        EXPECT_EQ(ask(user(1000), "DELETE", path).status, 403) << path;
        EXPECT_EQ(over_tcp_as(Role::none, "DELETE", path).status, 401) << path;
    }
    EXPECT_EQ(ask(user(1001), "DELETE", "/nothing").status, 404);
    EXPECT_EQ(ask(user(1001), "DELETE", "/read").status, 405);
    EXPECT_EQ(ask(user(1000), "DELETE", "/none").status, 405);
    EXPECT_EQ(ask(user(1000), "OPTIONS", "*").status, 403);
}

TEST_F(AccessTest, OnTcpTheHostMustBeOneOfOurs)
{
    for (const char* const host : {"localhost", "localhost:1", "127.0.0.1", "127.0.0.1:8642", "[::1]", "[::1]:8642",
                                   "LocalHost:80", "build7.example", "build7.example:443"}) {
        EXPECT_EQ(over_tcp_as(Role::read, "GET", "/read", {{"host", host}}).status, 200) << host;
    }
    for (const char* const host :
         {"", "evil.example", "evil.example:8642", "localhost.evil.example", "127.0.0.1.evil.example",
          "localhost:80@evil", "evil.example:localhost", "127.0.0.2", "[::2]:8642", "[::1", "[::1]x", "::1",
          "build7.example.", "0.0.0.0", "localhost,evil.example"}) {
        for (const char* const path : {"/none", "/read", "/nothing"}) {
            const Response response = over_tcp_as(Role::admin, "GET", path, {{"host", host}});
            EXPECT_EQ(response.status, 421) << host << path;
            EXPECT_EQ(member(response, "code"), "misdirected");
        }
    }
}

TEST_F(AccessTest, OnTheSocketTheHostMayBeAnyNameThatNoForeignPageHas)
{
    for (const char* const host : {"", "warmd", "d", "localhost:8642", "127.0.0.1:8642", "build7.example"}) {
        EXPECT_EQ(ask(user(1001), "GET", "/read", {{"host", host}}).status, 200) << host;
    }
    // Through a tunnel to the socket a page that has its name resolve to this machine is no better than on TCP.
    for (const char* const host : {"evil.example", "evil.example:8642", "10.0.0.1"}) {
        for (const char* const method : {"GET", "POST", "DELETE"}) {
            EXPECT_EQ(ask(user(0), method, "/read", {{"host", host}, {"origin", std::string{"http://"} + host}}).status,
                      421)
                << method << host;
        }
    }
    EXPECT_EQ(ask(user(0), "POST", "/none", {{"host", "evil:80"}, {"origin", "http://evil:80"}}).status, 403);
}

TEST_F(AccessTest, PagesOfForeignOriginsAreRefused)
{
    struct Case {
        Headers headers;
        int get_none;
        int get_read;
        int post_none;
    };
    const std::vector<Case> cases{
        {{}, 200, 200, 200},  // no browser
        {{{"origin", "http://127.0.0.1:8642"}}, 200, 200, 200},
        {{{"origin", "http://127.0.0.1:8642"}, {"sec-fetch-site", "same-origin"}}, 200, 200, 200},
        {{{"sec-fetch-site", "none"}, {"sec-fetch-mode", "navigate"}}, 200, 200, 200},
        {{{"origin", "http://127.0.0.1"}}, 403, 403, 403},  // another port is another origin
        {{{"origin", "http://localhost:8642"}}, 403, 403, 403},
        {{{"origin", "http://evil.example"}}, 403, 403, 403},
        {{{"origin", "null"}}, 403, 403, 403},
        {{{"origin", "127.0.0.1:8642"}}, 403, 403, 403},
        {{{"origin", "file://127.0.0.1:8642"}}, 403, 403, 403},
        {{{"origin", "http://dash.example"}}, 403, 403, 403},  // configured with another scheme
        {{{"origin", "https://dash.example.evil"}}, 403, 403, 403},
        {{{"sec-fetch-site", "cross-site"}}, 403, 403, 403},
        {{{"sec-fetch-site", "same-site"}}, 403, 403, 403},
        {{{"sec-fetch-site", "what"}}, 403, 403, 403},
        {{{"sec-fetch-site", "cross-site"}, {"sec-fetch-mode", "no-cors"}}, 403, 403, 403},
        // A link to the dashboard, but not to what it shows.
        {{{"sec-fetch-site", "cross-site"}, {"sec-fetch-mode", "navigate"}}, 200, 403, 403},
        {{{"origin", "http://evil.example"}, {"sec-fetch-site", "cross-site"}, {"sec-fetch-mode", "navigate"}},
         403,
         403,
         403},
        // The page came over https and this is http: to the browser that is another site.
        {{{"origin", "https://127.0.0.1:8642"}, {"sec-fetch-site", "cross-site"}}, 403, 403, 403},
    };
    for (const auto& [headers, get_none, get_read, post_none] : cases) {
        const std::string words = Json(headers).dump();
        EXPECT_EQ(over_tcp_as(Role::admin, "GET", "/none", headers).status, get_none) << words;
        EXPECT_EQ(over_tcp_as(Role::admin, "GET", "/read", headers).status, get_read) << words;
        EXPECT_EQ(over_tcp_as(Role::admin, "POST", "/none", headers).status, post_none) << words;
        const Response response = over_tcp_as(Role::admin, "POST", "/admin", headers);
        EXPECT_EQ(response.status, post_none) << words;
        EXPECT_FALSE(response.headers.contains("Access-Control-Allow-Origin")) << words;
        // A socket that somebody forwards to a port is no way around it.
        Headers on_socket = headers;
        on_socket.emplace("host", "127.0.0.1:8642");
        EXPECT_EQ(ask(user(0), "GET", "/read", on_socket).status, get_read) << words;
    }
}

TEST_F(AccessTest, PagesOfConfiguredOriginsOnlyRead)
{
    const Headers page{{"origin", "https://dash.example"}, {"sec-fetch-site", "cross-site"}};
    const Response read = over_tcp_as(Role::admin, "GET", "/read", page);
    EXPECT_EQ(read.status, 200);
    EXPECT_EQ(caller.role, Role::read);
    EXPECT_EQ(read.headers.at("Access-Control-Allow-Origin"), "https://dash.example");
    EXPECT_EQ(read.headers.at("Vary"), "Origin");
    EXPECT_TRUE(contains(read.headers.at("Access-Control-Expose-Headers"), "ETag"));
    EXPECT_FALSE(read.headers.contains("Access-Control-Allow-Credentials"));

    const Response refused = over_tcp_as(Role::admin, "POST", "/exec", page);
    EXPECT_EQ(refused.status, 403);
    EXPECT_TRUE(contains(member(refused, "hint"), "only read")) << refused.body;
    // The page is to see why.
    EXPECT_EQ(refused.headers.at("Access-Control-Allow-Origin"), "https://dash.example");
    EXPECT_EQ(over_tcp_as(Role::none, "GET", "/read", page).status, 401);
    EXPECT_EQ(over_tcp_as(Role::none, "GET", "/none", page).status, 200);
    EXPECT_EQ(over_tcp_as(Role::none, "GET", "/none").headers.at("Vary"), "Origin");

    // Served by a proxy under a name of ours it is no foreign page at all.
    EXPECT_EQ(ask(user(0), "POST", "/admin", {{"origin", "https://build7.example"}, {"host", "build7.example"}}).status,
              200);
}

TEST_F(AccessTest, PreflightsAreForConfiguredOriginsAlone)
{
    Headers asks{{"origin", "https://dash.example"}, {"access-control-request-method", "GET"}};
    const Response response = over_tcp_as(Role::none, "OPTIONS", "/read", asks);
    EXPECT_EQ(response.status, 204);
    EXPECT_EQ(response.body, "");
    EXPECT_EQ(response.headers.at("Access-Control-Allow-Origin"), "https://dash.example");
    EXPECT_EQ(response.headers.at("Access-Control-Allow-Methods"), "GET, HEAD");
    EXPECT_TRUE(contains(response.headers.at("Access-Control-Allow-Headers"), "Authorization"));

    EXPECT_EQ(over_tcp_as(Role::none, "OPTIONS", "/read", {{"origin", "https://dash.example"}}).status, 401);
    asks["origin"] = "https://evil.example";
    EXPECT_EQ(over_tcp_as(Role::none, "OPTIONS", "/read", asks).status, 403);
    asks["origin"] = "https://dash.example";
    asks["host"] = "evil.example";
    EXPECT_EQ(over_tcp_as(Role::none, "OPTIONS", "/read", asks).status, 421);
}

class ClosedAccessTest : public AccessTest {
protected:
    ClosedAccessTest() : AccessTest{AccessOptions{}} {}
};

TEST_F(ClosedAccessTest, NobodyButRootIsLetInUnlessItIsSaid)
{
    EXPECT_EQ(ask(user(0), "POST", "/admin").status, 200);
    EXPECT_EQ(ask(user(1000, 0), "GET", "/read").status, 403);
    EXPECT_EQ(over_tcp_as(Role::admin, "GET", "/read").status, 401);
    EXPECT_FALSE(ask(user(0), "GET", "/read").headers.contains("Vary"));
}

}  // namespace
}  // namespace warmd::http
