#include <sys/socket.h>
#include <sys/un.h>

#include <sstream>
#include <string>
#include <vector>

#include "api/contract/documents.h"
#include "daemon/base/unique_fd.h"
#include "tests/component/api_fixture.h"

namespace warmd {
namespace {

constexpr const char* kThree = R"({"command":["sh","-c","echo out; echo err >&2; exit 3"]})";

class PoolsApiTest : public test::ApiFixture {
protected:
    void make_checkpoint()
    {
        const test::Reply reply = post("/v1/templates/quick/checkpoints?wait=30s");
        EXPECT_EQ(reply.json().at("state"), "succeeded") << reply.body;
    }

    Json acquire(const std::string& body = "{}")
    {
        const test::Reply reply = post("/v1/pools/quick/leases", body);
        EXPECT_EQ(reply.status, 201) << reply.body;
        EXPECT_EQ(reply.header("Location"), "/v1/leases/" + reply.json().at("id").get<std::string>());
        return reply.json();
    }

    test::Reply post_for_document(const std::string& target, const std::string& body)
    {
        return call("POST", target, body, "application/json", "application/json");
    }

    static std::vector<contract::ExecFrame> frames(const test::Reply& reply)
    {
        EXPECT_EQ(reply.status, 200) << reply.body;
        EXPECT_EQ(reply.content_type, "application/x-ndjson");
        std::vector<contract::ExecFrame> result;
        std::istringstream lines{reply.body};
        for (std::string line; std::getline(lines, line);) {
            contract::ExecFrame frame = contract::decode_frame(line);
            if (frame.type != contract::FrameType::keepalive) result.push_back(std::move(frame));
        }
        return result;
    }

    static std::string joined(const std::vector<contract::ExecFrame>& frames, contract::FrameType type)
    {
        std::string text;
        for (const contract::ExecFrame& frame : frames) text += frame.type == type ? frame.data : "";
        return text;
    }

    bool is_ended(const InstanceId& id)
    {
        return eventually([&] { return catalog().get(id).state == InstanceState::terminated; });
    }
};

TEST_F(PoolsApiTest, ALeaseIsAcquiredUsedRenewedAndReleased)
{
    Template entry = test::quick_template();
    entry.pool.min_idle = 1;
    add(entry);
    make_checkpoint();
    EXPECT_TRUE(eventually([&] { return get("/v1/pools/quick").json().at("idle") == 1; }));
    const Json pools = get("/v1/pools").json().at("items");
    ASSERT_EQ(pools.size(), 1U);
    EXPECT_EQ(pools.at(0).at("template"), "quick");
    EXPECT_EQ(pools.at(0).at("min_idle"), 1);

    const Json lease = acquire(R"({"wait":"10s","ttl":"30s"})");
    EXPECT_EQ(lease.at("path"), "pool");
    EXPECT_EQ(lease.at("state"), "active");
    EXPECT_EQ(lease.at("ttl"), "30s");
    const std::string target = "/v1/leases/" + lease.at("id").get<std::string>();
    EXPECT_EQ(get(target).json().at("instance"), lease.at("instance"));
    EXPECT_EQ(get("/v1/leases?limit=10").json().at("items").size(), 1U);
    EXPECT_GE(post(target + "/heartbeat").json().at("expires_at"), lease.at("expires_at"));

    const auto streamed = frames(post(target + "/exec", kThree));
    ASSERT_FALSE(streamed.empty());
    EXPECT_EQ(streamed.front().type, contract::FrameType::start);
    EXPECT_EQ(joined(streamed, contract::FrameType::out), "out\n");
    EXPECT_EQ(joined(streamed, contract::FrameType::err), "err\n");
    EXPECT_EQ(streamed.back().result.exit_status, 3);
    const Json document = post_for_document(target + "/exec", kThree).json();
    EXPECT_EQ(document.at("exit_status"), 3);
    EXPECT_EQ(document.at("stdout"), "out\n");

    const Json released = call("DELETE", target).json();
    EXPECT_EQ(released.at("state"), "released");
    EXPECT_FALSE(released.at("ended_at").is_null());
    EXPECT_TRUE(is_ended(InstanceId{lease.at("instance").get<std::string>()}));
    EXPECT_EQ(call("DELETE", target).json(), released);
    expect_problem(post(target + "/heartbeat"), 409, "conflict");
    expect_problem(post(target + "/exec", kThree), 409, "conflict");
    EXPECT_EQ(get("/v1/leases").json().at("items").size(), 0U);
    EXPECT_EQ(get("/v1/leases?all=true").json().at("items").size(), 1U);
    EXPECT_EQ(get(target).json(), released);
}

TEST_F(PoolsApiTest, ALeaseNeedsNoBodyAndNoPool)
{
    make_checkpoint();
    const test::Reply reply = post("/v1/pools/quick/leases");
    EXPECT_EQ(reply.status, 201) << reply.body;
    EXPECT_EQ(reply.json().at("path"), "linked");
    EXPECT_EQ(reply.json().at("ttl"), "1m");
}

TEST_F(PoolsApiTest, WhenNoInstanceComesInTimeThePoolIsBusyAndSaysWhy)
{
    const test::Reply reply = post("/v1/pools/quick/leases", R"({"wait":"1s"})");
    expect_problem(reply, 503, "busy");
    EXPECT_FALSE(reply.json().at("hint").get<std::string>().empty());
    EXPECT_NE(reply.json().at("cause").get<std::string>().find("no available checkpoint"), std::string::npos);
    EXPECT_FALSE(reply.header("Retry-After").empty());
    const Json cold = acquire(R"({"cold":true})");
    EXPECT_EQ(cold.at("path"), "cold");
}

TEST_F(PoolsApiTest, AStreamedRunTellsItsWayAndPassesTheExitStatusOn)
{
    const auto cold = frames(post("/v1/templates/quick/run", kThree));
    ASSERT_GE(cold.size(), 4U);
    EXPECT_EQ(cold.at(0).type, contract::FrameType::progress);
    EXPECT_EQ(cold.at(0).path, InstancePath::cold);
    EXPECT_FALSE(cold.at(0).data.empty());
    EXPECT_EQ(cold.at(1).type, contract::FrameType::start);
    EXPECT_EQ(cold.at(1).path, InstancePath::cold);
    EXPECT_EQ(joined(cold, contract::FrameType::out), "out\n");
    EXPECT_EQ(joined(cold, contract::FrameType::err), "err\n");
    EXPECT_EQ(cold.back().type, contract::FrameType::exit);
    EXPECT_EQ(cold.back().result.exit_status, 3);
    EXPECT_TRUE(is_ended(cold.at(1).instance));

    make_checkpoint();
    const auto restored = frames(post("/v1/templates/quick/run", kThree));
    ASSERT_GE(restored.size(), 4U);
    EXPECT_EQ(restored.at(0).path, InstancePath::linked);
    EXPECT_EQ(restored.at(1).path, InstancePath::linked);
    EXPECT_NE(restored.at(1).instance, cold.at(1).instance);
    EXPECT_EQ(restored.back().result.exit_status, 3);
    EXPECT_TRUE(is_ended(restored.at(1).instance));
    EXPECT_TRUE(get("/v1/leases").json().at("items").empty());
}

TEST_F(PoolsApiTest, ARunFromThePoolBeginsWithItsStart)
{
    Template entry = test::quick_template();
    entry.pool.min_idle = 1;
    add(entry);
    make_checkpoint();
    EXPECT_TRUE(eventually([&] { return get("/v1/pools/quick").json().at("idle") == 1; }));
    const auto run = frames(post("/v1/templates/quick/run", kThree));
    ASSERT_FALSE(run.empty());
    EXPECT_EQ(run.front().type, contract::FrameType::start);
    EXPECT_EQ(run.front().path, InstancePath::pool);
}

TEST_F(PoolsApiTest, ARunCanBeAnsweredInOneDocument)
{
    make_checkpoint();
    const test::Reply reply = post_for_document("/v1/templates/quick/run", kThree);
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.content_type, "application/json");
    EXPECT_EQ(reply.json().at("exit_status"), 3);
    EXPECT_EQ(reply.json().at("stdout"), "out\n");
    EXPECT_EQ(reply.json().at("stderr"), "err\n");
    EXPECT_NE(reply.header("Server-Timing").find("exec;"), std::string::npos);
    EXPECT_TRUE(eventually([&] { return engine.container_names().empty(); }));
}

TEST_F(PoolsApiTest, ARunThatGetsNoInstanceSaysWhyInItsOwnForm)
{
    for (int i = 0; i < 2; ++i) engine.fail_next("create", Error{ErrorCode::engine_failed, "no luck"});
    const auto streamed = frames(post("/v1/templates/quick/run", kThree));
    ASSERT_EQ(streamed.size(), 2U);
    EXPECT_EQ(streamed.at(0).type, contract::FrameType::progress);
    EXPECT_EQ(streamed.at(1).type, contract::FrameType::error);
    EXPECT_EQ(streamed.at(1).error.code(), ErrorCode::not_ready);
    const test::Reply document = post_for_document("/v1/templates/quick/run", kThree);
    EXPECT_EQ(document.json().at("code"), "not_ready") << document.body;
    EXPECT_NE(document.json().at("cause").get<std::string>().find("no luck"), std::string::npos);
}

TEST_F(PoolsApiTest, ARestoreTakesTheWayThatItIsAskedFor)
{
    make_checkpoint();
    const std::string checkpoint = get("/v1/checkpoints").json().at("items").at(0).at("id");
    for (const std::string way : {"linked", "archive"}) {
        for (const std::string from : {"/v1/templates/quick", "/v1/checkpoints/"}) {
            const std::string target = from == "/v1/templates/quick" ? from : from + checkpoint;
            const test::Reply reply = post(target + "/restore?wait=30s&path=" + way);
            ASSERT_EQ(reply.status, 200) << reply.body;
            const std::string id = reply.json().at("instance");
            EXPECT_EQ(get("/v1/instances/" + id).json().at("path"), way);
            EXPECT_EQ(get("/v1/instances/" + id).json().at("pooled"), false);
        }
    }
    for (const char* const way : {"pool", "cold", "", "sideways"}) {
        const test::Reply reply = post(std::string{"/v1/templates/quick/restore?path="} + way);
        expect_problem(reply, 400, "invalid_argument");
        EXPECT_EQ(reply.json().at("field"), "path");
    }
}

TEST_F(PoolsApiTest, BadRequestsNameTheirField)
{
    expect_problem(get("/v1/pools/nobody"), 404, "not_found");
    expect_problem(post("/v1/pools/nobody/leases"), 404, "not_found");
    expect_problem(post("/v1/templates/nobody/run", kThree), 404, "not_found");
    expect_problem(get("/v1/leases/lease-nobody"), 404, "not_found");
    expect_problem(call("DELETE", "/v1/leases/lease-nobody"), 404, "not_found");
    expect_problem(post("/v1/leases/lease-nobody/heartbeat"), 404, "not_found");
    expect_problem(post("/v1/leases/lease-nobody/exec", kThree), 404, "not_found");
    struct Case {
        const char* target;
        const char* body;
        const char* field;
    };
    for (const Case& c : {Case{"/v1/pools/quick/leases", R"({"ttl":"0s"})", "ttl"},
                          Case{"/v1/pools/quick/leases", R"({"ttl":"25h"})", "ttl"},
                          Case{"/v1/pools/quick/leases", R"({"ttl":60})", "ttl"},
                          Case{"/v1/pools/quick/leases", R"({"wait":"11m"})", "wait"},
                          Case{"/v1/pools/quick/leases", R"({"wait":"-1s"})", "wait"},
                          Case{"/v1/pools/quick/leases", R"({"cold":"yes"})", "cold"},
                          Case{"/v1/pools/quick/leases", R"({"count":2})", "count"},
                          Case{"/v1/templates/quick/run", R"({"wait":"1s"})", "command"},
                          Case{"/v1/templates/quick/run", R"({"command":["true"],"wait":"11m"})", "wait"},
                          Case{"/v1/templates/quick/run", R"({"command":["true"],"ttl":"1m"})", "ttl"}}) {
        const test::Reply reply = post(c.target, c.body);
        expect_problem(reply, 400, "invalid_argument");
        EXPECT_EQ(reply.json().value("field", ""), c.field) << c.body;
    }
    for (const char* const target : {"/v1/pools?limit=1", "/v1/pools/quick?wait=1s", "/v1/leases?all=perhaps",
                                     "/v1/leases?limit=0", "/v1/leases/lease-nobody?x=1"}) {
        expect_problem(get(target), 400, "invalid_argument");
    }
    expect_problem(call("POST", "/v1/pools/quick/leases", "{}", "text/plain"), 415, "unsupported_media");
    EXPECT_TRUE(engine.container_names().empty()) << "nothing was begun";
}

TEST_F(PoolsApiTest, AClientThatVanishesDuringARunTakesItsInstanceWithIt)
{
    make_checkpoint();
    InstanceId id;
    {
        const UniqueFd client{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        socket_path().copy(address.sun_path, sizeof address.sun_path - 1);
        ASSERT_EQ(::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
        const std::string body = R"({"command":["sh","-c","while :; do echo more; sleep 0.02; done"]})";
        const std::string request = "POST /v1/templates/quick/run HTTP/1.1\r\nHost: test\r\nContent-Type: "
                                    "application/json\r\nContent-Length: " +
                                    std::to_string(body.size()) + "\r\n\r\n" + body;
        ASSERT_EQ(::send(client.get(), request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
        ASSERT_TRUE(eventually([&] {
            const auto leases = service().pools().leases(Page::all(), false);
            if (leases.empty()) return false;
            id = leases.front().instance;
            return service().exec().busy(id);
        }));
    }
    EXPECT_TRUE(is_ended(id));
    EXPECT_TRUE(service().pools().leases(Page::all(), false).empty());
    EXPECT_FALSE(service().exec().busy(id));
    EXPECT_TRUE(eventually([&] { return engine.container_names().empty(); }));
}

}  // namespace
}  // namespace warmd
