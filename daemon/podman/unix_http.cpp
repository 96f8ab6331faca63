#include "daemon/podman/unix_http.h"

#include <httplib.h>

#include <array>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "daemon/base/error.h"
#include "daemon/base/text.h"

namespace warmd::podman {

namespace {

constexpr std::size_t kMaxReply = 16U << 20U;

/// Breaks a call's connection when its time is up or it is cancelled: the library's own timeouts only count
/// silence, and a call in progress has no other handle.
class Watchdog {
public:
    Watchdog(httplib::Client& client, Duration timeout, const std::stop_token& stop)
        : deadline_{std::chrono::steady_clock::now() + timeout}, thread_{[this, &client, stop] { watch(client, stop); }}
    {
    }
    ~Watchdog()
    {
        {
            const std::scoped_lock lock{mutex_};
            done_ = true;
        }
        changed_.notify_all();
    }
    Watchdog(const Watchdog&) = delete;
    Watchdog& operator=(const Watchdog&) = delete;

    [[nodiscard]] bool expired() const { return std::chrono::steady_clock::now() >= deadline_; }

private:
    void watch(httplib::Client& client, const std::stop_token& stop)
    {
        std::unique_lock lock{mutex_};
        changed_.wait_until(lock, stop, deadline_, [this] { return done_; });
        while (!done_) {
            // Again and again: a connection that is only being made has nothing to break yet.
            lock.unlock();
            client.stop();
            lock.lock();
            changed_.wait_for(lock, std::chrono::milliseconds{20}, [this] { return done_; });
        }
    }

    const SteadyTime deadline_;
    std::mutex mutex_;
    std::condition_variable_any changed_;
    bool done_ = false;
    std::jthread thread_;  // last: starts when all else is there, is joined before it goes
};

[[noreturn]] void fail(const HttpCall& call, httplib::Error error, bool expired)
{
    const std::string what = call.method + " " + call.path.substr(0, call.path.find('?'));
    if (call.stop.stop_requested()) throw Error{ErrorCode::cancelled, what + " was cancelled"};
    if (expired) {
        throw Error{ErrorCode::timeout, "Podman did not answer " + what + " in time"}.with_hint(
            "look at `journalctl -u podman` and `podman ps`; the work may still go on there");
    }
    if (error == httplib::Error::Connection) {
        throw Error{ErrorCode::unavailable, "Podman does not listen on its socket"}.with_hint(
            "start it with `systemctl start podman.socket`, and compare podman.socket in warmd.toml");
    }
    throw Error{ErrorCode::unavailable, "the connection to Podman broke during " + what}
        .with_cause(httplib::to_string(error))
        .with_hint("look at `journalctl -u podman`");
}

}  // namespace

UnixHttp::UnixHttp(std::string socket_path) : socket_path_{std::move(socket_path)} {}

HttpReply UnixHttp::call(const HttpCall& call) const
{
    std::string body;
    HttpReply reply = stream(call, [&body](std::string_view bytes) {
        if (body.size() + bytes.size() > kMaxReply) {
            throw Error{ErrorCode::unavailable, "Podman's reply is larger than 16 MiB"};
        }
        body += bytes;
    });
    if (!body.empty()) reply.body = std::move(body);
    return reply;
}

HttpReply UnixHttp::stream(const HttpCall& call, const ByteSink& sink) const
{
    httplib::Client client{socket_path_};
    client.set_address_family(AF_UNIX);
    client.set_decompress(false);
    client.set_connection_timeout(std::chrono::seconds{5});
    // The watchdog keeps the time; these only have to be longer. The library hands milliseconds to poll()
    // as an int, hence the cap.
    const auto silence = std::chrono::duration_cast<std::chrono::seconds>(call.timeout) + std::chrono::seconds{60};
    const auto capped = std::min(silence, std::chrono::seconds{7 * 24 * 3600});
    client.set_read_timeout(capped);
    client.set_write_timeout(capped);

    const httplib::Headers headers{{"Host", "podman"}};
    HttpReply reply;
    std::exception_ptr thrown;
    const auto guarded = [&thrown](auto&& fn) {  // the library is not written for exceptions to pass through it
        try {
            return fn();
        } catch (...) {
            thrown = std::current_exception();
            return false;
        }
    };

    httplib::Result result{nullptr, httplib::Error::Unknown};
    bool expired = false;
    if (call.upload) {
        const Watchdog watchdog{client, call.timeout, call.stop};
        std::array<char, 256 * 1024> buffer{};
        result = client.Post(
            call.path, headers,
            [&](std::size_t, httplib::DataSink& out) {
                return guarded([&] {
                    const std::size_t count = call.upload(buffer);
                    if (count == 0) out.done();
                    return count == 0 || out.write(buffer.data(), count);
                });
            },
            "application/x-tar");
        expired = watchdog.expired();
        if (result) reply.body = result->body;
    } else {
        httplib::Request request;
        request.method = call.method;
        request.path = call.path;
        request.headers = headers;
        request.body = call.body;
        if (!call.body.empty()) request.set_header("Content-Type", call.content_type);
        request.response_handler = [&reply](const httplib::Response& response) {
            reply.status = response.status;
            reply.libpod_version = response.get_header_value("Libpod-API-Version");
            return true;
        };
        request.content_receiver = [&](const char* data, std::size_t size, std::uint64_t, std::uint64_t) {
            return guarded([&] {
                const std::string_view bytes{data, size};
                if (reply.status / 100 == 2) sink(bytes);
                else if (reply.body.size() < kMaxReply) reply.body += bytes;
                return true;
            });
        };
        const Watchdog watchdog{client, call.timeout, call.stop};
        result = client.send(request);
        expired = watchdog.expired();
    }
    if (thrown) std::rethrow_exception(thrown);
    if (!result) fail(call, result.error(), expired);
    reply.status = result->status;  // for 204 the library does not call the response handler
    // A length-less body ends with its connection, and so does one that was broken off here.
    if (call.stop.stop_requested() || expired) fail(call, httplib::Error::Read, expired);
    return reply;
}

}  // namespace warmd::podman
