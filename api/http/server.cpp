#include "api/http/server.h"

#include <grp.h>
#include <httplib.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <stop_token>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "api/http/error_response.h"
#include "daemon/base/error.h"
#include "daemon/base/id.h"
#include "daemon/base/text.h"

namespace warmd::http {

namespace {

constexpr std::size_t kMaxBody = 1U << 20U;
constexpr std::size_t kMaxWaiting = 256;

/// What `enqueue` answers: void up to cpp-httplib 0.14, then whether the connection was taken.
using Taken = decltype(std::declval<httplib::TaskQueue&>().enqueue({}));

/// A pool whose queue has a bound: connections beyond it are closed, which a client sees at once instead of
/// waiting for ever. Where the library cannot be told of a refusal, a dropped task would leak its
/// connection; there the bound is the process's limit of descriptors.
class BoundedPool final : public httplib::TaskQueue {
public:
    explicit BoundedPool(int threads)
    {
        for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
    }

    Taken enqueue(std::function<void()> task) override
    {
        const std::scoped_lock lock{mutex_};
        const bool room = std::is_void_v<Taken> || tasks_.size() < kMaxWaiting;
        if (room) tasks_.push_back(std::move(task));
        changed_.notify_one();
        return Taken(room);
    }

    void shutdown() override
    {
        {
            const std::scoped_lock lock{mutex_};
            stopping_ = true;
        }
        changed_.notify_all();
        threads_.clear();
    }

private:
    void work()
    {
        while (true) {
            std::function<void()> task;
            {
                std::unique_lock lock{mutex_};
                changed_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
                if (tasks_.empty()) return;
                task = std::move(tasks_.front());
                tasks_.pop_front();
            }
            task();
        }
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::function<void()>> tasks_;
    bool stopping_ = false;
    std::vector<std::jthread> threads_;
};

void answer(Response response, httplib::Response& out)
{
    out.status = response.status;
    for (const auto& [name, value] : response.headers) out.set_header(name, value);
    out.set_header("Cache-Control", "no-store");
    out.set_header("X-Content-Type-Options", "nosniff");
    if (!response.stream) {
        out.set_content(std::move(response.body), response.content_type);
        return;
    }
    out.set_chunked_content_provider(response.content_type,
                                     [stream = std::move(response.stream)](std::size_t, httplib::DataSink& sink) {
                                         bool connected = true;
                                         stream([&](std::string_view bytes) {
                                             connected = connected && sink.write(bytes.data(), bytes.size());
                                             return connected;
                                         });
                                         if (connected) sink.done();
                                         return connected;
                                     });
}

/// Owned by root and the group, for both to use. Without the group root alone can connect.
void hand_to_group(const std::string& path, const std::string& group_name)
{
    // getgrnam is not thread-safe; nobody else in this process asks for groups.
    const struct group* const group = group_name.empty() ? nullptr : ::getgrnam(group_name.c_str());
    if (group == nullptr) {
        spdlog::warn("there is no group \"{}\": only root can use {}", group_name, path);
        return;
    }
    if (::chown(path.c_str(), 0, group->gr_gid) != 0) throw system_error("give " + path + " to its group", errno);
}

}  // namespace

struct Server::Impl {
    explicit Impl(Router r) : router{std::move(r)} {}

    Request to_request(const httplib::Request& in) const
    {
        Request request;
        request.method = in.method;
        request.path = in.path;
        for (const auto& [name, value] : in.params) request.query.insert_or_assign(name, value);
        for (const auto& [name, value] : in.headers) request.headers.insert_or_assign(lower_case(name), value);
        request.request_id = new_id("req-");
        request.stop = stopping.get_token();
        return request;
    }

    void handle(const httplib::Request& in, httplib::Response& out) const
    {
        answer(router.dispatch(to_request(in)), out);
    }

    void handle_with_body(const httplib::Request& in, httplib::Response& out, const httplib::ContentReader& read) const
    {
        Request request = to_request(in);
        if (in.is_multipart_form_data()) {
            // Read to its end all the same, so that the client gets to hear of it; and with both callbacks,
            // because for this type the library calls the first even where there is none.
            read([](const auto&) { return true; }, [](const char*, std::size_t) { return true; });
            answer(error_response(Error{ErrorCode::unsupported_media, "the body must be application/json"},
                                  request.request_id),
                   out);
            return;
        }
        if (!in.has_header("Content-Length") && !in.has_header("Transfer-Encoding")) {
            // Such a request has no body (RFC 9112, 6.3), but the library would wait for one.
            answer(router.dispatch(std::move(request)), out);
            return;
        }
        // Counted here: the library applies its own limit neither to chunked bodies (0.11) nor to what a
        // compressed one grows to.
        bool too_large = false;
        const bool complete = read([&](const char* data, std::size_t size) {
            too_large = request.body.size() + size > kMaxBody;
            if (!too_large) request.body.append(data, size);
            return !too_large;
        });
        if (!complete) {
            const bool large = too_large || out.status == 413;
            answer(error_response(large ? Error{ErrorCode::too_large, "the body is larger than 1 MiB"}
                                        : Error{ErrorCode::invalid_argument, "the body is not complete"},
                                  request.request_id),
                   out);
            return;
        }
        answer(router.dispatch(std::move(request)), out);
    }

    const Router router;
    httplib::Server http;
    std::stop_source stopping;
    std::mutex mutex;
    std::condition_variable ended;
    bool running = false;  // protected by mutex
};

Server::Server(const ServerOptions& options, Router router) : impl_{std::make_unique<Impl>(std::move(router))}
{
    httplib::Server& http = impl_->http;
    http.new_task_queue = [threads = options.threads] { return new BoundedPool{threads}; };
    http.set_payload_max_length(kMaxBody);
    http.set_keep_alive_timeout(5);
    http.set_read_timeout(std::chrono::seconds{10});
    http.set_write_timeout(std::chrono::seconds{30});
    const Impl* const impl = impl_.get();
    const auto plain = [impl](const httplib::Request& in, httplib::Response& out) { impl->handle(in, out); };
    const auto with_body = [impl](const httplib::Request& in, httplib::Response& out,
                                  const httplib::ContentReader& read) { impl->handle_with_body(in, out, read); };
    http.Get(".*", plain);
    http.Options(".*", plain);
    http.Post(".*", with_body);
    http.Put(".*", with_body);
    http.Patch(".*", with_body);
    http.Delete(".*", with_body);
    // What the library refuses by itself: malformed requests and unknown methods.
    http.set_error_handler([](const httplib::Request&, httplib::Response& out) {
        if (!out.body.empty() || out.has_header("X-Request-Id")) return;
        const int status = out.status;
        answer(error_response(Error{status == 413 ? ErrorCode::too_large : ErrorCode::invalid_argument,
                                    "the request is not one that this server understands"},
                              new_id("req-")),
               out);
    });

    ::unlink(options.socket_path.c_str());
    const mode_t previous = ::umask(0117);  // 0660, from the moment the socket exists
    int listener = -1;
    http.set_socket_options([&listener](int socket) { listener = socket; });
    const bool bound = http.set_address_family(AF_UNIX).bind_to_port(options.socket_path, 80);
    const int error = errno;
    // The library's backlog is 5, and connecting to a full Unix socket fails at once.
    if (bound) ::listen(listener, SOMAXCONN);
    ::umask(previous);
    if (!bound) {
        throw system_error("listen on " + options.socket_path, error, ErrorCode::unavailable)
            .with_field("api.socket")
            .with_hint("the directory must exist, and the path be shorter than 108 characters");
    }
    hand_to_group(options.socket_path, options.socket_group);
}

Server::~Server() { stop(); }

void Server::run()
{
    {
        const std::scoped_lock lock{impl_->mutex};
        if (impl_->stopping.stop_requested()) return;
        impl_->running = true;
    }
    impl_->http.listen_after_bind();
    const std::scoped_lock lock{impl_->mutex};
    impl_->running = false;
    impl_->ended.notify_all();
}

void Server::stop()
{
    impl_->stopping.request_stop();
    std::unique_lock lock{impl_->mutex};
    // Again and again: the library forgets a stop that comes before it has begun to listen.
    while (impl_->running) {
        impl_->http.stop();
        impl_->ended.wait_for(lock, std::chrono::milliseconds{5});
    }
}

}  // namespace warmd::http
