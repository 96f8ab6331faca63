// What PodmanEngine makes of a Podman that is down, hangs, breaks off or talks nonsense. A scripted server
// stands in for it: the real one cannot be asked to misbehave.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <chrono>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "daemon/base/error.h"
#include "daemon/base/unique_fd.h"
#include "daemon/podman/podman_engine.h"
#include "tests/support/temp_dir.h"

namespace warmd {
namespace {

using namespace std::chrono_literals;

/// One connection of the server: reads the request's head, then does what the script says.
class Connection {
public:
    explicit Connection(UniqueFd fd) : fd_{std::move(fd)} {}

    std::string read_head()
    {
        std::string head;
        char byte = 0;
        while (!head.ends_with("\r\n\r\n") && ::recv(fd_.get(), &byte, 1, 0) == 1) head += byte;
        return head;
    }
    void send(const std::string& bytes) { ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL); }
    /// Returns when the client has gone.
    void wait_for_hang_up()
    {
        char byte = 0;
        while (::recv(fd_.get(), &byte, 1, 0) > 0) {
        }
    }
    [[nodiscard]] bool writable(const std::string& bytes)
    {
        return ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) > 0;
    }

private:
    UniqueFd fd_;
};

std::string reply(const std::string& status, const std::string& body)
{
    return "HTTP/1.1 " + status + "\r\nLibpod-API-Version: 5.4.2\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body;
}

class PodmanFaults : public testing::Test {
protected:
    PodmanFaults()
    {
        listener_ = UniqueFd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        socket_path().copy(address.sun_path, sizeof address.sun_path - 1);
        if (::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
            ::listen(listener_.get(), 16) != 0) {
            throw system_error("listen", errno);
        }
    }

    ~PodmanFaults() override
    {
        ::shutdown(listener_.get(), SHUT_RDWR);  // wakes accept()
        server_.join();
    }

    /// Answers the negotiation as Podman does and everything else by `script`.
    void serve(std::function<void(Connection&, const std::string& head)> script)
    {
        server_ = std::jthread{[this, script = std::move(script)] {
            while (true) {
                UniqueFd client{::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)};
                if (!client.valid()) return;
                Connection connection{std::move(client)};
                const std::string head = connection.read_head();
                {
                    const std::scoped_lock lock{mutex_};
                    heads_.push_back(head);
                }
                if (head.starts_with("GET /libpod/_ping")) connection.send(reply("200 OK", "OK"));
                else script(connection, head);
            }
        }};
    }

    Error error_of(const std::function<void()>& fn)
    {
        try {
            fn();
        } catch (const Error& error) {
            return error;
        }
        ADD_FAILURE() << "nothing was thrown";
        return Error{ErrorCode::internal, ""};
    }

    [[nodiscard]] std::string socket_path() const { return (directory_.path() / "podman.sock").string(); }

    std::vector<std::string> heads()
    {
        const std::scoped_lock lock{mutex_};
        return heads_;
    }

    test::TempDir directory_;
    podman::PodmanEngine engine{
        {.socket_path = socket_path(), .call_timeout = 300ms, .spool_directory = directory_.path().string()}};

private:
    UniqueFd listener_;
    std::mutex mutex_;
    std::vector<std::string> heads_;
    std::jthread server_;
};

TEST_F(PodmanFaults, SaysWhoItIsAndUsesTheVersionThatWasNegotiated)
{
    serve([](Connection& connection, const std::string&) { connection.send(reply("404 Not Found", "{}")); });
    EXPECT_FALSE(engine.inspect("nobody"));
    const auto seen = heads();
    ASSERT_EQ(seen.size(), 2U);
    EXPECT_TRUE(seen[1].starts_with("GET /v5.4.2/libpod/containers/nobody/json HTTP/1.1\r\n")) << seen[1];
    EXPECT_NE(seen[1].find("\r\nHost: podman\r\n"), std::string::npos) << seen[1];
}

TEST_F(PodmanFaults, ASocketThatIsNotThereIsUnavailableWithTheCommandThatStartsIt)
{
    serve({});
    podman::PodmanEngine nowhere{{.socket_path = (directory_.path() / "missing.sock").string(), .call_timeout = 300ms}};
    const Error error = error_of([&] { nowhere.info(); });
    EXPECT_EQ(error.code(), ErrorCode::unavailable);
    EXPECT_NE(error.hint().find("systemctl start podman.socket"), std::string::npos);
}

TEST_F(PodmanFaults, OneThatHangsIsATimeout)
{
    serve([](Connection& connection, const std::string&) { connection.wait_for_hang_up(); });
    const auto began = std::chrono::steady_clock::now();
    EXPECT_EQ(error_of([&] { engine.inspect("x"); }).code(), ErrorCode::timeout);
    EXPECT_LT(std::chrono::steady_clock::now() - began, 5s);
}

TEST_F(PodmanFaults, OneThatDripsForeverIsATimeoutToo)
{
    serve([](Connection& connection, const std::string&) {
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while (connection.writable("1\r\n \r\n")) std::this_thread::yield();
    });
    const ErrorCode code = error_of([&] { engine.inspect("x"); }).code();
    EXPECT_TRUE(code == ErrorCode::timeout || code == ErrorCode::unavailable) << to_string(code);
}

TEST_F(PodmanFaults, OneThatBreaksOffIsUnavailable)
{
    serve([answers = std::deque<std::string>{"", "HTTP/1.1 200",
                                             "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"}](
              Connection& connection, const std::string&) mutable {
        connection.send(answers.front());
        answers.pop_front();
    });
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(error_of([&] { engine.inspect("x"); }).code(), ErrorCode::unavailable) << i;
    }
}

TEST_F(PodmanFaults, GarbageIsNoAnswer)
{
    serve([](Connection& connection, const std::string&) { connection.send("\x16\x03\x01 I am not HTTP\r\n\r\n"); });
    EXPECT_EQ(error_of([&] { engine.inspect("x"); }).code(), ErrorCode::unavailable);
}

TEST_F(PodmanFaults, NonsenseInJsonIsAnEngineFailureThatQuotesIt)
{
    serve([](Connection& connection, const std::string&) { connection.send(reply("200 OK", "{\"Id\": 7}")); });
    const Error error = error_of([&] { engine.inspect("x"); });
    EXPECT_EQ(error.code(), ErrorCode::engine_failed);
    EXPECT_NE(error.cause().find("{\"Id\": 7}"), std::string::npos) << error.cause();
}

TEST_F(PodmanFaults, ARefusalKeepsPodmansWords)
{
    serve([](Connection& connection, const std::string&) {
        connection.send(
            reply("500 Internal Server Error",
                  R"({"cause":"exit status 1","message":"crun: CRIU says no: exit status 1","response":500})"));
    });
    const Error error = error_of([&] { engine.start(ContainerId{"x"}); });
    EXPECT_EQ(error.code(), ErrorCode::engine_failed);
    EXPECT_EQ(error.cause(), "crun: CRIU says no: exit status 1");
    EXPECT_FALSE(error.hint().empty());
}

TEST_F(PodmanFaults, AnImageThatIsMissingIsNotFoundHoweverPodmanSaysIt)
{
    // 4.3 answers with 500 where later ones answer with 404.
    serve([](Connection& connection, const std::string&) {
        connection.send(reply("500 Internal Server Error", R"({"cause":"image not known","message":"localhost/none: )"
                                                           R"(image not known","response":500})"));
        connection.wait_for_hang_up();  // closed with the request's body unread, the answer would be lost
    });
    podman::PodmanEngine patient{
        {.socket_path = socket_path(), .call_timeout = 20s, .spool_directory = directory_.path().string()}};
    ContainerSpec spec;
    spec.image = "localhost/none";
    EXPECT_EQ(error_of([&] { patient.create(spec); }).code(), ErrorCode::not_found);
}

TEST_F(PodmanFaults, AnEndlessReplyIsNotKeptInMemory)
{
    serve([](Connection& connection, const std::string&) {
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        const std::string chunk = "100000\r\n" + std::string(0x100000, ' ') + "\r\n";
        while (connection.writable(chunk)) {
        }
    });
    const Error error = error_of([&] { engine.find_image("x"); });
    EXPECT_TRUE(error.code() == ErrorCode::unavailable || error.code() == ErrorCode::timeout) << error.what();
}

TEST_F(PodmanFaults, ACallThatIsCancelledEndsAtOnce)
{
    std::stop_source stop;
    serve([stop](Connection& connection, const std::string&) mutable {
        stop.request_stop();
        connection.wait_for_hang_up();
    });
    EXPECT_EQ(error_of([&] { engine.wait(ContainerId{"x"}, 1h, stop.get_token()); }).code(), ErrorCode::cancelled);
}

class CheckpointFaults : public PodmanFaults {
protected:
    /// A container to be dumped; the export itself is answered with `bytes`, raw.
    void serve_export(const std::string& bytes)
    {
        serve([this, bytes](Connection& connection, const std::string& head) {
            if (head.find("/checkpoint?") != std::string::npos) connection.send(bytes);
            else if (head.find("/changes") != std::string::npos) connection.send(reply("200 OK", "[]"));
            else connection.send(reply("200 OK", container()));
        });
    }

    [[nodiscard]] std::string container() const
    {
        return R"({"Id":"x","Name":"n","State":{"Status":"running","Pid":1},"Config":{},"GraphDriver":{"Name":")" +
               driver_ + R"(","Data":{"UpperDir":")" + directory_.path().string() + R"("}}})";
    }

    Error checkpoint()
    {
        return error_of([this] { engine.checkpoint(ContainerId{"x"}, {.timeout = 5s}, [](std::string_view) {}, {}); });
    }

    std::string driver_ = "overlay";
};

TEST_F(CheckpointFaults, AnExportThatBreaksOffIsNotTakenForAWholeOne)
{
    serve_export("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n200\r\n" + std::string(0x200, '\0') + "\r\n");
    EXPECT_EQ(checkpoint().code(), ErrorCode::unavailable);
}

TEST_F(CheckpointFaults, AnExportThatIsNoTarballIsRefused)
{
    serve_export(reply("200 OK", std::string(1024, 'x')));
    EXPECT_EQ(checkpoint().code(), ErrorCode::corrupt);
}

TEST_F(CheckpointFaults, AnEmptyArchiveIsRefused)
{
    serve_export(reply("200 OK", std::string(1024, '\0')));
    const Error error = checkpoint();
    EXPECT_EQ(error.code(), ErrorCode::corrupt);
    EXPECT_NE(std::string{error.what()}.find("config.dump"), std::string::npos);
}

TEST_F(CheckpointFaults, AnotherStorageDriverIsRefusedBeforeAnythingIsStopped)
{
    driver_ = "vfs";
    serve_export(reply("200 OK", ""));
    const Error error = checkpoint();
    EXPECT_EQ(error.code(), ErrorCode::engine_failed);
    EXPECT_NE(error.hint().find("overlay"), std::string::npos);
    for (const std::string& head : heads()) EXPECT_EQ(head.find("/checkpoint?"), std::string::npos);
}

}  // namespace
}  // namespace warmd
