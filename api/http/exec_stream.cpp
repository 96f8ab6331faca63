#include "api/http/exec_stream.h"

#include <spdlog/spdlog.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "api/contract/documents.h"
#include "daemon/base/error.h"

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

}  // namespace

Response answer_exec(Exec& exec, const InstanceId& id, const ExecRequest& command, std::stop_token stop)
{
    const auto began = std::chrono::steady_clock::now();
    std::string out;
    std::string err;
    bool truncated = false;
    const ExecResult result = exec.run(
        id, ExecId{new_id(kExecPrefix)}, command,
        [&](ExecStream stream, std::string_view bytes) {
            std::string& all = stream == ExecStream::out ? out : err;
            const std::size_t room = kLongest - all.size();
            truncated = truncated || bytes.size() > room;
            all += bytes.substr(0, room);
        },
        std::move(stop));
    Response response = Response::json(contract::encode(result, out, err, truncated));
    response.headers["Server-Timing"] = server_timing(
        result, std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now() - began));
    return response;
}

void stream_exec(Exec& exec, const InstanceId& id, const ExecRequest& command, const StreamWriter& write,
                 std::stop_token stop)
{
    std::stop_source cancel;
    const std::stop_callback server_stops{stop, [&cancel] { cancel.request_stop(); }};

    std::mutex mutex;  // of the writer: frames must not mix
    std::condition_variable_any ended;
    bool done = false;
    const auto put = [&write, &cancel](const std::string& frame) {  // with the mutex held
        if (!write(frame + "\n")) cancel.request_stop();
    };
    const std::jthread keepalive{[&](const std::stop_token& end) {
        std::unique_lock lock{mutex};
        while (!ended.wait_for(lock, end, kKeepalive, [&] { return done; }) && !end.stop_requested()) {
            put(contract::encode_keepalive_frame());
        }
    }};

    const ExecId name{new_id(kExecPrefix)};
    {
        const std::scoped_lock lock{mutex};
        put(contract::encode_start_frame(name));
    }
    std::string last;
    try {
        const ExecResult result = exec.run(
            id, name, command,
            [&](ExecStream stream, std::string_view bytes) {
                const std::scoped_lock lock{mutex};
                put(contract::encode_output_frame(stream, bytes));
            },
            cancel.get_token());
        last = contract::encode_exit_frame(result);
    } catch (const Error& error) {
        last = contract::encode_error_frame(error);
    } catch (const std::exception& error) {
        spdlog::error("instance_id={} exec: {}", id.value(), error.what());
        last = contract::encode_error_frame(Error{ErrorCode::internal, "an unexpected error"});
    }
    const std::scoped_lock lock{mutex};
    done = true;
    ended.notify_all();
    put(last);
}

}  // namespace warmd::http
