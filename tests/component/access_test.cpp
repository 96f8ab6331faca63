#include <grp.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "daemon/base/sha256.h"
#include "tests/component/api_fixture.h"

namespace warmd {
namespace {

const std::string kToken = "3f1c5a7be2d94f60a8c3b1d2e4f5061728394a5b6c7d8e9f0a1b2c3d4e5f6071";
const std::string kWrong = "9d1c5a7be2d94f60a8c3b1d2e4f5061728394a5b6c7d8e9f0a1b2c3d4e5f6071";

/// All that is logged, at every level, while it lives.
class LogCapture {
public:
    LogCapture() : previous_{spdlog::default_logger()}
    {
        auto logger = std::make_shared<spdlog::logger>("capture",
                                                       std::make_shared<spdlog::sinks::ostream_sink_mt>(text_, true));
        logger->set_level(spdlog::level::trace);
        spdlog::set_default_logger(std::move(logger));
    }
    ~LogCapture() { spdlog::set_default_logger(previous_); }
    LogCapture(const LogCapture&) = delete;
    LogCapture& operator=(const LogCapture&) = delete;

    [[nodiscard]] std::string text() const { return text_.str(); }

private:
    std::ostringstream text_;
    std::shared_ptr<spdlog::logger> previous_;
};

class AccessApiTest : public test::ApiFixture {
protected:
    AccessApiTest()
    {
        tcp = "127.0.0.1:0";
        access.tokens.push_back({.name = "ci", .role = Role::exec, .sha256 = sha256_hex(kToken)});
        access.origins = {"https://dash.example"};
    }

    test::Reply with_token(const std::string& method, const std::string& target, const std::string& token,
                           httplib::Headers headers = {})
    {
        if (!token.empty()) headers.emplace("Authorization", "Bearer " + token);
        return send_over_tcp(method, target, {}, std::move(headers));
    }
};

TEST_F(AccessApiTest, TheKernelSaysWhoCallsOnTheSocket)
{
    const Json me = get("/v1/whoami").json();
    EXPECT_EQ(me.at("role"), "admin");
    EXPECT_EQ(me.at("via"), "socket");
    EXPECT_TRUE(me.at("name").get<std::string>().starts_with("uid " + std::to_string(::getuid()))) << me.dump();
}

/// Users of this machine, each a process of its own.
class UsersApiTest : public AccessApiTest {
protected:
    static constexpr uid_t kUser = 61000;
    static constexpr gid_t kReaders = 61001;
    static constexpr gid_t kWorkers = 61002;

    UsersApiTest()
    {
        access.callers = {{Role::read, {.users = {}, .groups = {kReaders}}},
                          {Role::exec, {.users = {}, .groups = {kWorkers}}}};
        socket_for_everybody = true;
        start_server();
        // The store has made it its owner's.
        std::filesystem::permissions(directory.path(), std::filesystem::perms{0711});
    }

    /// The first line of the answer to `user`, a member of `groups`.
    [[nodiscard]] std::string ask_as(uid_t user, const std::vector<gid_t>& groups, const std::string& method,
                                     const std::string& target) const
    {
        const std::string request = method + " " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        socket_path().copy(static_cast<char*>(address.sun_path), sizeof(address.sun_path) - 1);
        std::array<int, 2> pipe{};
        if (::pipe(pipe.data()) != 0) return "no pipe";
        const pid_t child = ::fork();
        if (child == 0) {  // has one thread: system calls only
            std::array<char, 4096> answer{};
            const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
            const bool is_user = ::setgroups(groups.size(), groups.data()) == 0 && ::setgid(user) == 0 &&
                                 ::setuid(user) == 0;
            // NOLINTNEXTLINE(*-reinterpret-cast): the way of the sockets API
            if (!is_user || ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
                ::write(fd, request.data(), request.size()) < 0) {
                ::_exit(1);
            }
            const ssize_t size = ::read(fd, answer.data(), answer.size());
            ::_exit(size > 0 && ::write(pipe[1], answer.data(), static_cast<std::size_t>(size)) == size ? 0 : 1);
        }
        ::close(pipe[1]);
        std::string answer(4096, '\0');
        const ssize_t size = ::read(pipe[0], answer.data(), answer.size());
        ::close(pipe[0]);
        ::waitpid(child, nullptr, 0);
        answer.resize(static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
        return answer.substr(0, answer.find("\r\n"));
    }
};

TEST_F(UsersApiTest, EachUserMayDoWhatItsGroupsMay)
{
    if (::getuid() != 0) GTEST_SKIP() << "only root can be others";
    struct Case {
        uid_t user;
        std::vector<gid_t> groups;
        std::array<int, 5> expected;
    };
    // 404: it was let in, and there is no such thing.
    const std::vector<Case> cases{{kUser, {}, {200, 403, 403, 403, 403}},
                                  {kUser, {kReaders}, {200, 200, 403, 403, 404}},
                                  {kUser, {5, kWorkers}, {200, 200, 404, 403, 404}},
                                  {0, {}, {200, 200, 404, 404, 404}}};
    const std::array<std::pair<const char*, const char*>, 5> requests{{{"GET", "/healthz"},
                                                                       {"GET", "/v1/status"},
                                                                       {"POST", "/v1/leases/lease-1/heartbeat"},
                                                                       {"DELETE", "/v1/instances/inst-1"},
                                                                       {"GET", "/nothing"}}};
    for (const auto& [user, groups, expected] : cases) {
        for (std::size_t i = 0; i < requests.size(); ++i) {
            const auto& [method, target] = requests[i];
            const std::string line = ask_as(user, groups, method, target);
            EXPECT_TRUE(line.starts_with("HTTP/1.1 " + std::to_string(expected[i]))) << user << " " << target << line;
        }
    }
}

TEST_F(AccessApiTest, CallersOfTcpShowAToken)
{
    EXPECT_EQ(with_token("GET", "/v1/whoami", kToken).json(),
              Json::parse(R"({"role":"exec","name":"token ci","via":"tcp"})"));
    EXPECT_EQ(with_token("GET", "/v1/status", kToken).status, 200);
    const test::Reply small = with_token("POST", "/v1/templates/octave/warm", kToken);
    expect_problem(small, 403, "forbidden");
    EXPECT_EQ(small.json().at("detail"), "token ci has the role exec, and this needs admin");

    for (const std::string& token : {std::string{}, kWrong, kToken + "0", sha256_hex(kToken)}) {
        const test::Reply refused = with_token("GET", "/v1/status", token);
        expect_problem(refused, 401, "unauthenticated");
        EXPECT_EQ(refused.header("WWW-Authenticate"), "Bearer realm=\"warmd\"");
        EXPECT_EQ(with_token("GET", "/v1/whoami", token).json(),
                  Json::parse(R"({"role":"none","name":"","via":"tcp"})"));
        EXPECT_EQ(with_token("GET", "/", token).status, 200);
        EXPECT_EQ(with_token("GET", "/nothing", token).status, 401);
    }
}

TEST_F(AccessApiTest, ForeignHostsAndPagesAreRefused)
{
    const std::string own = with_token("GET", "/healthz", {}).status == 200 ? tcp : std::string{};
    for (const char* path : {"/healthz", "/v1/status", "/nothing"}) {
        expect_problem(with_token("GET", path, kToken, {{"Host", "evil.example"}}), 421, "misdirected");
    }
    EXPECT_EQ(with_token("GET", "/v1/status", kToken, {{"Host", "localhost:1"}}).status, 200);
    expect_problem(with_token("GET", "/v1/status", kToken, {{"Origin", "http://evil.example"}}), 403, "forbidden");
    EXPECT_EQ(with_token("GET", "/v1/status", kToken, {{"Origin", "http://" + own}}).status, 200);

    const httplib::Headers page{{"Origin", "https://dash.example"}};
    EXPECT_EQ(with_token("GET", "/v1/status", kToken, page).header("Access-Control-Allow-Origin"),
              "https://dash.example");
    const test::Reply changes = with_token("POST", "/v1/pools/octave/leases", kToken, page);
    expect_problem(changes, 403, "forbidden");
}

TEST_F(AccessApiTest, ABrowserIsToldThatAConfiguredPageMayRead)
{
    start_server();
    const std::size_t colon = tcp.rfind(':');
    httplib::Client client{tcp.substr(0, colon), std::stoi(tcp.substr(colon + 1))};
    const httplib::Result result = client.Options("/v1/status", {{"Origin", "https://dash.example"},
                                                                 {"Access-Control-Request-Method", "GET"},
                                                                 {"Access-Control-Request-Headers", "authorization"}});
    ASSERT_TRUE(result);
    EXPECT_EQ(result->status, 204);
    EXPECT_EQ(result->get_header_value("Access-Control-Allow-Origin"), "https://dash.example");
    EXPECT_EQ(result->body, "");
}

TEST_F(AccessApiTest, TokensAreInNoLogAndNoAnswer)
{
    const LogCapture log;
    std::string answers;
    for (const std::string& token : {kToken, kWrong}) {
        for (const char* target : {"/v1/whoami", "/v1/status", "/nothing"}) {
            for (const char* method : {"GET", "POST"}) {
                const test::Reply reply = with_token(method, target, token);
                answers += reply.body;
                for (const auto& [name, value] : reply.headers) answers.append(name).append(value);
            }
        }
    }
    stop_server();
    EXPECT_NE(log.text().find("/v1/status"), std::string::npos);  // something is logged at all
    for (const std::string& token : {kToken, kWrong}) {
        for (const std::string& secret : {token, token.substr(0, 16), sha256_hex(token)}) {
            EXPECT_EQ(log.text().find(secret), std::string::npos);
            EXPECT_EQ(answers.find(secret), std::string::npos);
        }
    }
}

TEST_F(AccessApiTest, TheSocketLetsEverybodyConnectOnlyWhereUsersOutsideTheGroupHaveRoles)
{
    for (const bool everybody : {false, true}) {
        const auto listeners = http::open_listeners({.socket_path = socket_path(), .for_everybody = everybody});
        struct stat status {};
        ASSERT_EQ(::stat(socket_path().c_str(), &status), 0);
        EXPECT_EQ(status.st_mode & 07777U, everybody ? 0666U : 0660U);
    }
}

/// The role of each route stands in two documents.
TEST_F(AccessApiTest, TheDocumentsSayWhichRoleEachRouteNeeds)
{
    const std::map<std::string, Role> roles = http::make_router(service()).roles();
    std::map<std::string, Role> described;
    for (const auto& [path, item] : api().document().at("paths").items()) {
        for (const auto& [method, operation] : item.items()) {
            if (method == "parameters") continue;
            std::string name = method + " " + path;
            std::transform(name.begin(), name.begin() + static_cast<std::ptrdiff_t>(method.size()), name.begin(),
                           [](char c) { return static_cast<char>(c - 'a' + 'A'); });
            const auto role = role_from_string(operation.value("x-required-role", ""));
            ASSERT_TRUE(role) << name << " has no x-required-role";
            described[name] = *role;
            EXPECT_EQ(operation.contains("security"), role == Role::none) << name;
        }
    }
    EXPECT_EQ(described, roles);

    std::map<std::string, Role> told;
    std::ifstream file{WARMD_SOURCE_DIR "/docs/access.md"};
    for (std::string line; std::getline(file, line);) {
        const std::size_t end = line.find("` | ");
        const auto role = line.starts_with("| `") && end != std::string::npos && line.find(" /") < end
                              ? role_from_string(line.substr(end + 4, line.rfind(" |") - end - 4))
                              : std::nullopt;
        if (role) told[line.substr(3, end - 3)] = *role;
    }
    EXPECT_EQ(told, roles);
}

}  // namespace
}  // namespace warmd
