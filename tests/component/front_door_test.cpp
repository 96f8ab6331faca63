#include "api/http/front_door.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "api/http/listeners.h"
#include "api/http/server.h"
#include "daemon/base/json.h"
#include "daemon/base/unique_fd.h"
#include "tests/support/temp_dir.h"

namespace warmd::http {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kPatience = 20s;  // before a test gives up

/// A client that sends just the bytes that the test says.
class RawClient {
public:
    explicit RawClient(const std::string& socket_path) : socket_{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)}
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        socket_path.copy(address.sun_path, sizeof address.sun_path - 1);
        connected_ = ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    }
    explicit RawClient(std::uint16_t port) : socket_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)}
    {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        connected_ = ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    }

    [[nodiscard]] bool connected() const { return connected_; }

    bool send(std::string_view bytes) const
    {
        while (!bytes.empty()) {
            const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent <= 0) return false;
            bytes.remove_prefix(static_cast<std::size_t>(sent));
        }
        return true;
    }

    /// The next answer; its status is 0 when the connection ends before.
    struct Answer {
        int status = 0;
        std::string head;
        std::string body;
    };
    Answer receive()
    {
        Answer answer;
        std::size_t end = 0;
        while ((end = unread_.find("\r\n\r\n")) == std::string::npos) {
            if (!read_more()) return answer;
        }
        answer.head = unread_.substr(0, end + 2);
        unread_.erase(0, end + 4);
        answer.status = std::stoi(answer.head.substr(9, 3));
        const std::size_t length = answer.head.find("Content-Length: ");
        const std::size_t size = length == std::string::npos ? 0 : std::stoul(answer.head.substr(length + 16));
        while (unread_.size() < size && read_more()) {
        }
        answer.body = unread_.substr(0, size);
        unread_.erase(0, size);
        return answer;
    }

    /// Everything up to the end of the connection.
    std::string receive_all()
    {
        while (read_more()) {
        }
        return std::exchange(unread_, {});
    }

    /// True once bytes wait to be read, the connection has ended, or after a long time.
    void wait() const
    {
        pollfd ready{.fd = socket_.get(), .events = POLLIN, .revents = 0};
        ::poll(&ready, 1, static_cast<int>(kPatience.count()));
    }

    void close() { socket_.reset(); }
    void end() const { ::shutdown(socket_.get(), SHUT_WR); }

private:
    bool read_more()
    {
        wait();
        std::vector<char> bytes(65536);
        const ssize_t count = ::recv(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
        if (count > 0) unread_.append(bytes.data(), static_cast<std::size_t>(count));
        return count > 0;
    }

    UniqueFd socket_;
    bool connected_ = false;
    std::string unread_;
};

/// Something that a test waits for.
class Flag {
public:
    void set()
    {
        const std::scoped_lock lock{mutex_};
        set_ = true;
        changed_.notify_all();
    }
    bool wait()
    {
        std::unique_lock lock{mutex_};
        return changed_.wait_for(lock, kPatience, [this] { return set_; });
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool set_ = false;
};

const std::string kPing = "GET /ping HTTP/1.1\r\nHost: test\r\n\r\n";
const std::string kHold = "GET /hold HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A server with routes that do what a front door has to cope with.
class FrontDoorTest : public ::testing::Test {
protected:
    FrontDoorTest() { spdlog::set_level(spdlog::level::off); }
    ~FrontDoorTest() override
    {
        stop();
        spdlog::set_level(spdlog::level::info);
    }

    void start(const std::string& tcp = {})
    {
        const RouteOptions open{.role = Role::none};
        const RouteOptions lengthy{.role = Role::none, .pace = Pace::lengthy};
        Router router;
        router.get(
            "/ping",
            [](const Request&) {
                return Response::json({{"pong", true}});
            },
            open);
        router.post(
            "/echo",
            [](const Request& request) {
                return Response::json({{"size", request.body.size()}});
            },
            open);
        router.post(
            "/json",
            [](const Request& request) {
                return Response::json({{"got", request.json()}});
            },
            open);
        router.get(
            "/peer",
            [](const Request& request) {
                return Response::json({{"uid", request.peer.uid},
                                       {"gid", request.peer.gid},
                                       {"tcp", request.peer.via == Peer::Via::tcp},
                                       {"address", request.peer.address}});
            },
            open);
        router.get(
            "/big",
            [](const Request&) {
                return Response::json({{"big", std::string(8'000'000, 'x')}});
            },
            open);
        // Until it is released or to stop.
        router.get(
            "/hold",
            [this](const Request& request) {
                held.set();
                const std::stop_callback wake{request.stop, [this] { stopped.set(); }};
                while (!request.stop.stop_requested() && !released) std::this_thread::yield();
                return Response::json({{"held", true}});
            },
            lengthy);
        router.get(
            "/stream",
            [](const Request& request) {
                Response response;
                response.content_type = "text/plain";
                response.stream = [stop = request.stop](const StreamWriter& write) {
                    while (!stop.stop_requested() && write(std::string(1000, 'y'))) {
                    }
                };
                return response;
            },
            lengthy);
        std::vector<UniqueFd> listeners = open_listeners({.socket_path = path(), .socket_group = {}, .tcp = tcp});
        if (!tcp.empty()) {
            const std::string address = bound_address(listeners.back());
            port = static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
        }
        server = std::make_unique<Server>(std::move(listeners), options, std::move(router));
        thread = std::jthread{[this] { server->run(); }};
    }

    void stop()
    {
        if (!server) return;
        server->stop();
        thread.join();
        server.reset();
    }

    [[nodiscard]] std::string path() const { return (directory.path() / "door.sock").string(); }
    [[nodiscard]] RawClient connect() const { return RawClient{path()}; }

    /// Of a request on a connection of its own.
    [[nodiscard]] RawClient::Answer ask(const std::string& request) const
    {
        RawClient client = connect();
        client.send(request);
        return client.receive();
    }

    test::TempDir directory;
    FrontDoorOptions options;
    std::unique_ptr<Server> server;
    std::jthread thread;
    std::uint16_t port = 0;
    Flag held;
    Flag stopped;
    std::atomic<bool> released = false;
};

TEST_F(FrontDoorTest, AConnectionServesManyRequests)
{
    start();
    RawClient client = connect();
    for (int i = 0; i < 100; ++i) {
        ASSERT_TRUE(client.send(kPing));
        EXPECT_EQ(client.receive().status, 200);
    }
}

TEST_F(FrontDoorTest, RequestsSentAtOnceAreAnsweredInTheirOrder)
{
    start();
    RawClient client = connect();
    std::string all;
    for (int i = 0; i < 50; ++i) {
        const std::string body(static_cast<std::size_t>(i), 'b');
        all += "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: " + std::to_string(i) + "\r\n\r\n" + body;
    }
    ASSERT_TRUE(client.send(all));
    for (int i = 0; i < 50; ++i) EXPECT_EQ(Json::parse(client.receive().body).at("size"), i);
}

TEST_F(FrontDoorTest, ARequestMayArriveByteByByte)
{
    start();
    RawClient client = connect();
    for (const char byte : std::string{"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nbody"}) {
        ASSERT_TRUE(client.send({&byte, 1}));
    }
    EXPECT_EQ(Json::parse(client.receive().body).at("size"), 4);
}

TEST_F(FrontDoorTest, AHeldBackBodyIsAskedFor)
{
    start();
    RawClient client = connect();
    ASSERT_TRUE(client.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"));
    EXPECT_EQ(client.receive().status, 100);
    ASSERT_TRUE(client.send("body"));
    EXPECT_EQ(client.receive().status, 200);
}

TEST_F(FrontDoorTest, ConnectionsEndWhereTheClientSaysSo)
{
    start();
    for (const char* const request :
         {"GET /ping HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", "GET /ping HTTP/1.0\r\n\r\n"}) {
        RawClient client = connect();
        ASSERT_TRUE(client.send(request));
        EXPECT_NE(client.receive_all().find("200 OK"), std::string::npos);
    }
}

TEST_F(FrontDoorTest, AStreamIsChunkedAndForOldClientsEndsWithTheConnection)
{
    start();
    RawClient client = connect();
    ASSERT_TRUE(client.send("GET /stream HTTP/1.1\r\nHost: t\r\n\r\n"));
    EXPECT_NE(client.receive().head.find("Transfer-Encoding: chunked"), std::string::npos);
    RawClient old = connect();
    ASSERT_TRUE(old.send("GET /stream HTTP/1.0\r\n\r\n"));
    EXPECT_EQ(old.receive().head.find("Transfer-Encoding"), std::string::npos);
}

// Each is a request that hides a second one, GET /ping, from one of two parsers. The second must not be answered.
TEST_F(FrontDoorTest, NothingIsSmuggled)
{
    start();
    for (const std::string& probe : {
             "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 44\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" +
                 kPing,
             "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n" + kPing,
             "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding : chunked\r\nContent-Length: 0\r\n\r\n" + kPing,
             "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\nContent-Length: 36\r\n\r\n" + kPing,
             "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 36\r\nContent-Length: 0\r\n\r\n" + kPing,
             "POST /echo HTTP/1.1\r\nHost: t\r\nX: a\nContent-Length: 36\r\n\r\n" + kPing,
             "POST /echo HTTP/1.1\r\nHost: t\r\nX: a\r\n Content-Length: 36\r\n\r\n" + kPing,
             "GET /ping HTTP/1.1\r\nHost: t\r\nContent-Length: 36\r\n\r\n" + kPing,
             "GET /ping HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + kPing,
         }) {
        RawClient client = connect();
        ASSERT_TRUE(client.send(probe));
        const std::string answers = client.receive_all();
        EXPECT_NE(answers.find("HTTP/1.1 4"), std::string::npos) << probe;
        EXPECT_EQ(answers.find("pong"), std::string::npos) << probe;
        EXPECT_EQ(answers.find("HTTP/1.1", 1), std::string::npos) << probe;
        EXPECT_NE(answers.find("application/problem+json"), std::string::npos) << probe;
    }
    EXPECT_EQ(ask(kPing).status, 200);
}

TEST_F(FrontDoorTest, BombsAndFloodsAreRefusedBeforeTheyAreRead)
{
    start();
    const auto status = [this](const std::string& request) {
        const RawClient::Answer answer = ask(request);
        if (answer.status >= 400) {
            EXPECT_EQ(Json::parse(answer.body).at("status"), answer.status) << answer.body;
        }
        return answer.status;
    };
    // What a small body can become, and a body that was not announced in full.
    EXPECT_EQ(
        status("POST /json HTTP/1.1\r\nHost: t\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x01"),
        415);
    EXPECT_EQ(status("POST /json HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n"), 411);
    EXPECT_EQ(status("POST /json HTTP/1.1\r\nHost: t\r\nContent-Length: 104857600\r\n\r\n"), 413);
    // 300,000 headers; one of 64 MB.
    std::string flood = "GET /ping HTTP/1.1\r\nHost: t\r\n";
    for (int i = 0; i < 300'000; ++i) flood += "a:b\r\n";
    EXPECT_EQ(status(flood + "\r\n"), 431);
    EXPECT_EQ(status("GET /ping HTTP/1.1\r\nHost: t\r\nX: " + std::string(64'000'000, 'x') + "\r\n\r\n"), 431);
    EXPECT_EQ(status("GET /" + std::string(1'000'000, 'x') + " HTTP/1.1\r\nHost: t\r\n\r\n"), 414);
    // JSON that is deeper than any parser's stack.
    for (const std::string& bracket : {std::string{"["}, std::string{"{\"a\":"}}) {
        std::string deep;
        while (deep.size() < 200'000) deep += bracket;
        EXPECT_EQ(status("POST /json HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: " +
                         std::to_string(deep.size()) + "\r\n\r\n" + deep),
                  400);
    }
    EXPECT_EQ(ask(kPing).status, 200);
}

TEST_F(FrontDoorTest, SlowClientsKeepNobodyWaiting)
{
    options.complete_within = 2s;
    start();
    std::vector<RawClient> slow;
    for (int i = 0; i < 200; ++i) {
        slow.push_back(connect());
        ASSERT_TRUE(slow.back().send("GET /ping HT"));
    }
    const auto began = std::chrono::steady_clock::now();
    for (int i = 0; i < 100; ++i) EXPECT_EQ(ask(kPing).status, 200);
    EXPECT_LT(std::chrono::steady_clock::now() - began, 2s);
    // None is forgotten: all are told, and closed.
    for (RawClient& client : slow) EXPECT_NE(client.receive_all().find("408 Request Timeout"), std::string::npos);
}

TEST_F(FrontDoorTest, IdleConnectionsAreClosedWithoutAWord)
{
    options.idle = 300ms;
    start();
    RawClient client = connect();
    EXPECT_EQ(client.receive_all(), "");
}

TEST_F(FrontDoorTest, AClientThatDoesNotReadKeepsNoWorker)
{
    options.workers = 1;
    start();
    RawClient lazy = connect();
    ASSERT_TRUE(lazy.send("GET /big HTTP/1.1\r\nHost: t\r\n\r\n"));
    lazy.wait();
    for (int i = 0; i < 10; ++i) EXPECT_EQ(ask(kPing).status, 200);
    const RawClient::Answer answer = lazy.receive();
    EXPECT_EQ(answer.body.size(), std::string{R"({"big":""})"}.size() + 8'000'001);
}

TEST_F(FrontDoorTest, AClientThatDoesNotReadAStreamIsGivenUp)
{
    options.read_within = 200ms;
    options.streams = 1;
    start();
    RawClient lazy = connect();
    ASSERT_TRUE(lazy.send("GET /stream HTTP/1.1\r\nHost: t\r\n\r\n"));
    lazy.wait();
    // Its thread is free again once it has been.
    RawClient::Answer answer;
    do {
        answer = ask("GET /stream HTTP/1.1\r\nHost: t\r\n\r\n");
    } while (answer.status == 503);
    EXPECT_EQ(answer.status, 200);
}

TEST_F(FrontDoorTest, LengthyRequestsBeyondTheBoundAreToldWhenToTryAgain)
{
    options.streams = 1;
    start();
    RawClient holder = connect();
    ASSERT_TRUE(holder.send(kHold));
    ASSERT_TRUE(held.wait());
    RawClient second = connect();
    ASSERT_TRUE(second.send(kHold));
    const RawClient::Answer refused = second.receive();
    EXPECT_EQ(refused.status, 503);
    EXPECT_NE(refused.head.find("Retry-After: "), std::string::npos);
    // The connection goes on, brief requests are not concerned, and the first is answered.
    ASSERT_TRUE(second.send(kPing));
    EXPECT_EQ(second.receive().status, 200);
    released = true;
    EXPECT_EQ(holder.receive().status, 200);
}

TEST_F(FrontDoorTest, ConnectionsBeyondTheBoundAreToldWhenToTryAgain)
{
    options.connections = 3;
    start();
    std::vector<RawClient> clients;
    for (int i = 0; i < 3; ++i) {
        clients.push_back(connect());
        ASSERT_TRUE(clients.back().send(kPing));
        ASSERT_EQ(clients.back().receive().status, 200);
    }
    EXPECT_EQ(connect().receive().status, 503);
    clients.pop_back();
    RawClient::Answer answer;
    do {
        answer = ask(kPing);
    } while (answer.status != 200);  // once the closed one has been noticed
    EXPECT_EQ(answer.status, 200);
}

TEST_F(FrontDoorTest, ARequestIsToldThatItsClientIsGone)
{
    start();
    RawClient client = connect();
    ASSERT_TRUE(client.send(kHold));
    ASSERT_TRUE(held.wait());
    client.close();
    EXPECT_TRUE(stopped.wait());
}

TEST_F(FrontDoorTest, AClientThatEndsItsSideOfAUnixSocketStillGetsItsAnswer)
{
    start();
    RawClient client = connect();
    ASSERT_TRUE(client.send(kHold));
    ASSERT_TRUE(held.wait());
    client.end();
    released = true;
    EXPECT_EQ(client.receive().status, 200);
}

TEST_F(FrontDoorTest, StoppingAnswersWhatIsInProgressAndClosesTheRest)
{
    start();
    RawClient idle = connect();
    ASSERT_TRUE(idle.send(kPing));
    EXPECT_EQ(idle.receive().status, 200);
    RawClient holder = connect();
    ASSERT_TRUE(holder.send(kHold));
    ASSERT_TRUE(held.wait());
    std::future<void> stopping = std::async(std::launch::async, [this] { stop(); });
    EXPECT_EQ(holder.receive().status, 200);
    EXPECT_EQ(idle.receive_all(), "");
    ASSERT_EQ(stopping.wait_for(kPatience), std::future_status::ready);
    EXPECT_FALSE(connect().connected());
}

TEST_F(FrontDoorTest, WhoHasConnectedBeforeAStopIsStillAnswered)
{
    start();
    RawClient begun = connect();
    ASSERT_TRUE(begun.send(kPing.substr(0, 1)));
    RawClient fresh = connect();
    // Both are in when one that connected after them is served.
    RawClient holder = connect();
    ASSERT_TRUE(holder.send(kHold));
    ASSERT_TRUE(held.wait());
    std::future<void> stopping = std::async(std::launch::async, [this] { stop(); });
    EXPECT_EQ(holder.receive().status, 200);  // it was asked to be brief: the server stops
    ASSERT_TRUE(fresh.send(kPing));
    ASSERT_TRUE(begun.send(kPing.substr(1)));
    EXPECT_EQ(fresh.receive().status, 200);
    EXPECT_EQ(begun.receive().status, 200);
    ASSERT_EQ(stopping.wait_for(kPatience), std::future_status::ready);
}

TEST_F(FrontDoorTest, AFailingAcceptEndsNothing)
{
    start();
    RawClient client = connect();
    ASSERT_TRUE(client.send(kPing));
    EXPECT_EQ(client.receive().status, 200);
    rlimit limit{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
    // No descriptor is left to accept the next one with.
    UniqueFd next{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    const rlimit none{.rlim_cur = 3, .rlim_max = limit.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path().copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::connect(next.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_TRUE(client.send(kPing));
    EXPECT_EQ(client.receive().status, 200);  // those that are connected are served
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
    ASSERT_EQ(::send(next.get(), kPing.data(), kPing.size(), MSG_NOSIGNAL), static_cast<ssize_t>(kPing.size()));
    pollfd ready{.fd = next.get(), .events = POLLIN, .revents = 0};
    EXPECT_EQ(::poll(&ready, 1, static_cast<int>(kPatience.count())), 1);
    EXPECT_EQ(ask(kPing).status, 200);
}

TEST_F(FrontDoorTest, TheKernelSaysWhoIsThere)
{
    start("127.0.0.1:0");
    const std::string request = "GET /peer HTTP/1.1\r\nHost: localhost\r\nREMOTE_ADDR: 1.2.3.4\r\n\r\n";
    Json peer = Json::parse(ask(request).body);
    EXPECT_EQ(peer.at("uid"), ::getuid());
    EXPECT_EQ(peer.at("gid"), ::getgid());
    EXPECT_EQ(peer.at("tcp"), false);
    RawClient client{port};
    ASSERT_TRUE(client.send(request));
    peer = Json::parse(client.receive().body);
    EXPECT_EQ(peer.at("tcp"), true);
    EXPECT_EQ(peer.at("address"), "127.0.0.1");
}

TEST_F(FrontDoorTest, AClientOfTcpThatIsGoneIsNoticed)
{
    start("127.0.0.1:0");
    RawClient client{port};
    ASSERT_TRUE(client.send(kHold));
    ASSERT_TRUE(held.wait());
    client.close();
    EXPECT_TRUE(stopped.wait());
}

}  // namespace
}  // namespace warmd::http
