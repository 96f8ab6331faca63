#include "api/http/exec_stream.h"

#include <spdlog/spdlog.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "api/contract/documents.h"
#include "daemon/base/clock.h"
#include "daemon/base/error.h"
#include "daemon/base/text.h"

namespace warmd::http {

namespace {

constexpr std::chrono::seconds kKeepalive{5};
constexpr std::size_t kLongest = 1024 * 1024;  // of each stream in one document

std::string server_timing(const ExecResult& result, Duration total)
{
    std::array<char, 96> text{};
    const auto length = std::snprintf(text.data(), text.size(), "exec;desc=\"%s\";dur=%.3f, total;dur=%.3f",
                                      std::string{to_string(result.path)}.c_str(),
                                      static_cast<double>(result.elapsed.count()) / 1000.0,
                                      static_cast<double>(total.count()) / 1000.0);
    return {text.data(), static_cast<std::size_t>(length)};
}

/// The outcome of a command in one document.
Response answer_exec(Exec& exec, const InstanceId& id, const ExecRequest& command, std::stop_token stop,
                     SteadyTime began)
{
    std::string out;
    std::string err;
    bool truncated = false;
    const ExecResult result = exec.run(
        id, ExecId{new_id(kExecPrefix)}, command,
        [&](ExecStream stream, std::string_view bytes) {
            std::string& all = stream == ExecStream::out ? out : err;
            if (!append_up_to(all, bytes, kLongest)) truncated = true;
        },
        std::move(stop));
    Response response = Response::json(contract::encode(result, out, err, truncated));
    response.headers["Server-Timing"] = server_timing(
        result, std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now() - began));
    return response;
}

/// Frames on their way to one client, with keepalives between them. Thread-safe.
class FrameStream {
public:
    FrameStream(const StreamWriter& write, std::stop_token server)
        : write_{write}, server_stops_{std::move(server), Cancel{cancel_}}
    {
    }

    void put(const std::string& frame)
    {
        const std::scoped_lock lock{mutex_};
        if (!write_(frame + "\n")) cancel_.request_stop();
    }

    /// Writes the last frame: no keepalive comes after it.
    void end(const std::string& frame)
    {
        keepalive_.request_stop();
        if (keepalive_.joinable()) keepalive_.join();
        put(frame);
    }

    /// Requested when the client is gone or the server stops.
    [[nodiscard]] std::stop_token stop() const { return cancel_.get_token(); }

private:
    struct Cancel {
        std::stop_source& source;
        void operator()() const { source.request_stop(); }
    };

    void keep_alive(const std::stop_token& over)
    {
        SystemClock clock;
        while (clock.sleep_for(kKeepalive, over)) put(contract::encode_keepalive_frame());
    }

    const StreamWriter& write_;
    std::mutex mutex_;  // of the writer: frames must not mix
    std::stop_source cancel_;
    std::stop_callback<Cancel> server_stops_;
    std::jthread keepalive_{
        [this](const std::stop_token& over) { keep_alive(over); }};  // last: it uses all of the above
};

/// Runs `work`, whose failure becomes the last frame.
template <typename Fn>
void stream_frames(const StreamWriter& write, const std::stop_token& server, const std::string& what, Fn&& work)
{
    FrameStream frames{write, server};
    try {
        std::forward<Fn>(work)(frames);
    } catch (const Error& error) {
        frames.end(contract::encode_error_frame(error));
    } catch (const std::exception& error) {
        spdlog::error("{} exec: {}", what, error.what());
        frames.end(contract::encode_error_frame(Error{ErrorCode::internal, "an unexpected error"}));
    }
}

void run_streamed(Exec& exec, const InstanceId& id, const ExecId& name, const ExecRequest& command, FrameStream& frames)
{
    const ExecResult result = exec.run(
        id, name, command,
        [&frames](ExecStream stream, std::string_view bytes) {
            frames.put(contract::encode_output_frame(stream, bytes));
        },
        frames.stop());
    frames.end(contract::encode_exit_frame(result));
}

/// An instance for one command. Given back at its end.
class OneShot {
public:
    OneShot(Pools& pools, const TemplateName& name, Duration wait, std::stop_token stop,
            const Pools::Announce& announce = {})
        : pools_{pools},
          lease_{pools.acquire(name, wait, Lease{}.ttl, /*cold=*/true, std::move(stop), announce)},
          use_{pools.use(lease_.id)}
    {
    }
    ~OneShot()
    {
        try {
            pools_.release(lease_.id);
        } catch (const std::exception& error) {
            spdlog::error("lease_id={} cannot be released and will expire: {}", lease_.id.value(), error.what());
        }
    }
    OneShot(const OneShot&) = delete;
    OneShot& operator=(const OneShot&) = delete;
    [[nodiscard]] const Lease& lease() const { return lease_; }

private:
    Pools& pools_;
    Lease lease_;
    std::unique_ptr<Pools::Use> use_;
};

bool wants_document(const Request& request) { return request.header("accept") == "application/json"; }

Response streamed(std::function<void(const StreamWriter&)> stream)
{
    Response response;
    response.content_type = "application/x-ndjson";
    response.stream = std::move(stream);
    return response;
}

}  // namespace

Response respond_exec(Service& service, const InstanceId& id, const Request& request, std::shared_ptr<void> keep)
{
    const auto began = std::chrono::steady_clock::now();
    ExecRequest command = contract::decode_exec_request(request.json());
    // Asked here as well, so that a refusal is a status and not a frame in a stream that began with 200.
    service.exec().admit(id);
    if (wants_document(request)) return answer_exec(service.exec(), id, command, request.stop, began);
    return streamed([&service, id, command = std::move(command), stop = request.stop,
                     keep = std::move(keep)](const StreamWriter& write) {
        stream_frames(write, stop, id.value(), [&](FrameStream& frames) {
            const ExecId name{new_id(kExecPrefix)};
            frames.put(contract::encode_start_frame(name));
            run_streamed(service.exec(), id, name, command, frames);
        });
    });
}

Response respond_run(Service& service, const TemplateName& name, const Request& request)
{
    const auto began = std::chrono::steady_clock::now();
    contract::RunRequest wanted = contract::decode_run_request(request.json());
    static_cast<void>(service.templates().get(name));
    if (wants_document(request)) {
        const OneShot shot{service.pools(), name, wanted.wait, request.stop};
        return answer_exec(service.exec(), shot.lease().instance, wanted.command, request.stop, began);
    }
    return streamed([&service, name, wanted = std::move(wanted), stop = request.stop](const StreamWriter& write) {
        stream_frames(write, stop, name.value(), [&](FrameStream& frames) {
            const OneShot shot{service.pools(), name, wanted.wait, frames.stop(),
                               [&frames](InstancePath path, const std::string& detail) {
                                   frames.put(contract::encode_progress_frame(path, detail));
                               }};
            const InstanceId& id = shot.lease().instance;
            const ExecId exec{new_id(kExecPrefix)};
            frames.put(contract::encode_start_frame(exec, id, shot.lease().path));
            run_streamed(service.exec(), id, exec, wanted.command, frames);
        });
    });
}

}  // namespace warmd::http
