#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <atomic>
#include <sstream>

#include "api/contract/documents.h"
#include "daemon/base/unique_fd.h"
#include "tests/component/api_fixture.h"

namespace warmd {
namespace {

class ApiTest : public test::ApiFixture {
protected:
    std::string made(const std::string& target, const std::string& member)
    {
        const test::Reply reply = post(target + "?wait=30s");
        EXPECT_EQ(reply.status, 200) << reply.body;
        EXPECT_EQ(reply.json().at("state"), "succeeded") << reply.body;
        return reply.json().at(member);
    }
};

TEST_F(ApiTest, DoesTheMainJob)
{
    EXPECT_EQ(get("/v1/templates").json().at("items").size(), 1U);
    EXPECT_EQ(get("/v1/templates/quick").json().at("image"), test::kImage);
    const std::string checkpoint = made("/v1/templates/quick/checkpoints", "checkpoint");
    EXPECT_EQ(get("/v1/checkpoints/" + checkpoint).json().at("state"), "available");
    EXPECT_EQ(get("/v1/checkpoints?template=quick").json().at("items").size(), 1U);
    EXPECT_EQ(get("/v1/checkpoints?template=other").json().at("items").size(), 0U);
    EXPECT_TRUE(get("/v1/checkpoints/" + checkpoint).json().at("verified_at").is_null());
    EXPECT_EQ(made("/v1/checkpoints/" + checkpoint + "/verify", "checkpoint"), checkpoint);
    EXPECT_TRUE(get("/v1/checkpoints/" + checkpoint).json().at("verified_at").is_string());
    const Json verified = post("/v1/checkpoints/" + checkpoint + "/verify?restore=true&wait=30s").json();
    EXPECT_EQ(verified.at("kind"), "verify_checkpoint");
    EXPECT_EQ(verified.at("state"), "succeeded");
    EXPECT_EQ(get("/v1/instances").json().at("items").size(), 0U);
    EXPECT_EQ(get("/v1/status").json().at("catalog"),
              Json::parse(R"({"rebuilt_checkpoints": 0, "damaged_file": null})"));
    const std::string first = made("/v1/checkpoints/" + checkpoint + "/restore", "instance");
    const std::string second = made("/v1/templates/quick/restore", "instance");
    EXPECT_EQ(get("/v1/instances").json().at("items").size(), 2U);

    const test::Reply exec = post("/v1/instances/" + first + "/exec",
                                  R"({"command":["sh","-c","echo out; echo err >&2; exit 3"]})");
    EXPECT_EQ(exec.status, 200);
    std::istringstream lines{exec.body};
    std::string out;
    std::string err;
    int status = -1;
    for (std::string line; std::getline(lines, line);) {
        const contract::ExecFrame frame = contract::decode_frame(line);
        if (frame.type == contract::FrameType::out) out += frame.data;
        if (frame.type == contract::FrameType::err) err += frame.data;
        if (frame.type == contract::FrameType::exit) status = frame.result.exit_status;
    }
    EXPECT_EQ(out, "out\n");
    EXPECT_EQ(err, "err\n");
    EXPECT_EQ(status, 3);

    EXPECT_EQ(get("/v1/instances/" + first + "/logs?lines=5").status, 200);
    made("/v1/instances/" + second + "/checkpoint", "checkpoint");
    EXPECT_EQ(call("DELETE", "/v1/instances/" + first + "?wait=30s").json().at("state"), "succeeded");
    EXPECT_EQ(get("/v1/instances").json().at("items").size(), 0U);
    EXPECT_EQ(get("/v1/instances?all=true").json().at("items").size(), 4U);
    EXPECT_EQ(call("DELETE", "/v1/checkpoints/" + checkpoint + "?wait=30s").json().at("state"), "succeeded");
    expect_problem(get("/v1/checkpoints/" + checkpoint), 404, "not_found");
    EXPECT_EQ(get("/v1/status").json().at("checkpoints").at("available"), 1);
}

TEST_F(ApiTest, ALongActionIsAcceptedAndFollowed)
{
    Template slow = test::quick_template("slow");
    slow.warm_up.initialised.file = "/go";
    slow.warm_up.initialised.timeout = std::chrono::seconds{30};
    add(slow);
    const test::Reply accepted = post("/v1/templates/slow/warm");
    EXPECT_EQ(accepted.status, 202);
    const std::string location = accepted.header("Location");
    EXPECT_EQ(location, "/v1/operations/" + accepted.json().at("id").get<std::string>());
    EXPECT_EQ(accepted.header("Retry-After"), "1");
    while (get(location).json().at("phase") != "init") std::this_thread::yield();
    EXPECT_EQ(get(location + "?wait=20ms").json().at("state"), "running");
    EXPECT_EQ(call("DELETE", location + "?wait=10s").json().at("state"), "cancelled");
    expect_problem(call("DELETE", location), 409, "conflict");
    EXPECT_EQ(get(location).json().at("error").at("code"), "cancelled");
}

TEST_F(ApiTest, AFailedActionCarriesItsErrorAndStillAnswers200)
{
    engine.fail_next("create", Error{ErrorCode::engine_failed, "no luck"}.with_cause("crun says no"));
    const test::Reply reply = post("/v1/templates/quick/warm?wait=30s");
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.json().at("state"), "failed");
    EXPECT_EQ(reply.json().at("error").at("cause"), "crun says no");
}

TEST_F(ApiTest, ListsComeInPages)
{
    for (int i = 0; i < 5; ++i) made("/v1/templates/quick/warm", "instance");
    std::set<std::string> seen;
    std::string target = "/v1/instances?limit=2";
    int pages = 0;
    while (true) {
        const Json page = get(target).json();
        for (const Json& item : page.at("items")) EXPECT_TRUE(seen.insert(item.at("id")).second);
        ++pages;
        if (page.at("next_cursor").is_null()) break;
        target = "/v1/instances?limit=2&cursor=" + page.at("next_cursor").get<std::string>();
    }
    EXPECT_EQ(seen.size(), 5U);
    EXPECT_EQ(pages, 3);
}

TEST_F(ApiTest, BadRequestsAreProblemsThatNameTheField)
{
    const std::string exec = "/v1/instances/" + made("/v1/templates/quick/warm", "instance") + "/exec";
    expect_problem(post("/v1/templates/nobody/warm"), 404, "not_found");
    expect_problem(get("/v1/instances/inst-nobody"), 404, "not_found");
    expect_problem(get("/v1/operations/op-nobody"), 404, "not_found");
    expect_problem(get("/v1/checkpoints/..%2F..%2Fetc"), 404, "not_found");
    expect_problem(get("/v1/checkpoints/UPPER"), 404, "not_found");
    expect_problem(get("/nothing"), 404, "not_found");
    expect_problem(post(exec, "{"), 400, "invalid_argument");
    expect_problem(post(exec, "[]"), 400, "invalid_argument");
    expect_problem(post(exec, R"({"command":[]})"), 400, "invalid_argument");
    expect_problem(post(exec, std::string(200'000, '[')), 400, "invalid_argument");
    expect_problem(post(exec, std::string(2'000'000, ' ')), 413, "too_large");
    expect_problem(call("POST", exec, R"({"command":["true"]})", "text/plain"), 415, "unsupported_media");
    expect_problem(call("POST", exec, "x", "multipart/form-data; boundary=x"), 415, "unsupported_media");
    const test::Reply field = post(exec, R"({"command":["true"],"env":{"A":1}})");
    expect_problem(field, 400, "invalid_argument");
    EXPECT_EQ(field.json().at("field"), "env.A");
    const test::Reply unknown = post(exec, R"({"command":["true"],"shell":true})");
    expect_problem(unknown, 400, "invalid_argument");
    EXPECT_EQ(unknown.json().at("field"), "shell");
    const test::Reply method = call("DELETE", "/v1/templates");
    expect_problem(method, 405, "method_not_allowed");
    EXPECT_EQ(method.header("Allow"), "GET");
    for (const char* const target : {"/v1/instances?limit=0", "/v1/instances?limit=x", "/v1/instances?colour=red",
                                     "/v1/instances?all=perhaps", "/v1/operations?cursor=%00"}) {
        expect_problem(get(target), 400, "invalid_argument");
    }
    EXPECT_EQ(get("/healthz").status, 200);
}

TEST_F(ApiTest, ExecInATerminatedInstanceIsAConflictBeforeAnyStreamBegins)
{
    const std::string id = made("/v1/templates/quick/warm", "instance");
    call("DELETE", "/v1/instances/" + id + "?wait=30s");
    expect_problem(post("/v1/instances/" + id + "/exec", R"({"command":["true"]})"), 409, "conflict");
}

TEST_F(ApiTest, AnExecThatTheEngineFailsEndsWithAnErrorFrame)
{
    const std::string id = made("/v1/templates/quick/warm", "instance");
    engine.fail_next("exec", Error{ErrorCode::timeout, "Podman hangs"});
    const test::Reply reply = post("/v1/instances/" + id + "/exec", R"({"command":["true"]})");
    const std::string lines = reply.body.substr(0, reply.body.size() - 1);
    EXPECT_EQ(contract::decode_frame(lines.substr(0, lines.find('\n'))).type, contract::FrameType::start);
    const contract::ExecFrame frame = contract::decode_frame(lines.substr(lines.rfind('\n') + 1));
    EXPECT_EQ(frame.type, contract::FrameType::error);
    EXPECT_EQ(frame.error.code(), ErrorCode::timeout);
}

TEST_F(ApiTest, StatusCountsAnewAfterEveryEvent)
{
    const Json before = get("/v1/status").json();
    EXPECT_EQ(before.at("last_event"), catalog().last_event());
    EXPECT_EQ(before.at("store").at("free_bytes").get<std::uint64_t>() % (16U << 20U), 0U);
    EXPECT_GE(before.at("store").at("total_bytes"), before.at("store").at("free_bytes"));
    made("/v1/templates/quick/warm", "instance");
    const test::Reply after = get("/v1/status");
    EXPECT_EQ(after.json().at("instances").at("live"), before.at("instances").at("live").get<int>() + 1);
    EXPECT_EQ(after.json().at("last_event"), catalog().last_event());
    EXPECT_EQ(get("/v1/status", {{"If-None-Match", after.header("ETag")}}).status, 304);
}

TEST_F(ApiTest, ReadinessSaysWhatIsMissingAndHealthDoesNotCare)
{
    EXPECT_EQ(get("/readyz").status, 200);
    engine.fail_next("info", Error{ErrorCode::unavailable, "Podman does not listen"}.with_hint("start it"));
    const test::Reply reply = get("/readyz");
    EXPECT_EQ(reply.status, 503);
    EXPECT_EQ(reply.json().at("status"), "unready");
    EXPECT_EQ(reply.json().at("checks").at(0),
              (Json{{"name", "podman"}, {"ok", false}, {"reason", "Podman does not listen"}, {"hint", "start it"}}));
    for (std::size_t i = 1; i < 4; ++i) EXPECT_TRUE(reply.json().at("checks").at(i).at("ok"));
    const Error told = contract::decode_problem(reply.body, reply.status);  // what clients make of it
    EXPECT_EQ(told.code(), ErrorCode::unavailable);
    EXPECT_EQ(told.what(), std::string{"Podman does not listen"});
    EXPECT_EQ(told.hint(), "start it");
    EXPECT_FALSE(reply.header("Retry-After").empty());
    EXPECT_EQ(get("/healthz").status, 200);
}

TEST_F(ApiTest, TheDoctorTellsWhatItFinds)
{
    const Json document = get("/v1/doctor").json();
    EXPECT_EQ(document.at("findings").at(0).at("check"), "podman");
    EXPECT_EQ(document.at("findings").at(0).at("status"), "ok");
    EXPECT_EQ(document.at("findings").at(1).at("check"), "podman_version");
    EXPECT_EQ(document.at("findings").at(1).at("status"), "problem") << "the fake is Podman 0.0";
    EXPECT_EQ(document.at("status"), "problem");
    EXPECT_EQ(document.at("environment").at("runtime"), engine.info().runtime);
    EXPECT_EQ(get("/v1/doctor?deep=1").status, 400);
    EXPECT_EQ(get("/v1/status").json().at("priming").at("state"), "off");
}

TEST_F(ApiTest, AClientThatVanishesTakesItsCommandWithIt)
{
    const std::string id = made("/v1/templates/quick/warm", "instance");
    {
        const UniqueFd client{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        socket_path().copy(address.sun_path, sizeof address.sun_path - 1);
        ASSERT_EQ(::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
        const std::string body = R"({"command":["sh","-c","echo $$ > pid; while :; do echo more; sleep 0.02; done"]})";
        const std::string request = "POST /v1/instances/" + id +
                                    "/exec HTTP/1.1\r\nHost: test\r\nContent-Type: "
                                    "application/json\r\nContent-Length: " +
                                    std::to_string(body.size()) + "\r\n\r\n" + body;
        ASSERT_EQ(::send(client.get(), request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
        // The head is sent before the command has run at all: only its own words say that it has written its pid.
        std::string answer;
        std::array<char, 256> part{};
        while (answer.find("more") == std::string::npos) {
            const ssize_t got = ::recv(client.get(), part.data(), part.size(), 0);
            ASSERT_GT(got, 0) << answer;
            answer.append(part.data(), static_cast<std::size_t>(got));
        }
        EXPECT_TRUE(service().exec().busy(InstanceId{id}));
    }
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{20};
    while (service().exec().busy(InstanceId{id}) && std::chrono::steady_clock::now() < deadline)
        std::this_thread::yield();
    EXPECT_FALSE(service().exec().busy(InstanceId{id}));
    EXPECT_EQ(exec(InstanceId{id}, "kill -0 $(cat pid) 2> /dev/null && echo alive; true"), "");
}

TEST_F(ApiTest, ManyClientsAtOnceEachGetTheirOwnAnswer)
{
    const std::string id = made("/v1/templates/quick/warm", "instance");
    std::atomic<int> good = 0;
    std::vector<std::jthread> clients;
    for (int i = 0; i < 8; ++i) {
        clients.emplace_back([this, i, &good, id] {
            const std::string word = "word" + std::to_string(i);
            const test::Reply reply = post("/v1/instances/" + id + "/exec", R"({"command":["echo",")" + word + "\"]}");
            if (reply.body.find(word) != std::string::npos) ++good;
        });
    }
    clients.clear();
    EXPECT_EQ(good, 8);
}

TEST_F(ApiTest, TheSocketIsForItsOwnerAndGroupOnly)
{
    start_server();
    struct stat status {};
    ASSERT_EQ(::stat(socket_path().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0660U);
}

TEST_F(ApiTest, AStaleSocketIsReplaced)
{
    start_server();
    stop_server();
    restart();
    start_server();
    EXPECT_EQ(get("/healthz").status, 200);
}

}  // namespace
}  // namespace warmd
