#include "api/http/exec_stream.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <string>
#include <thread>

#include "api/contract/documents.h"
#include "daemon/base/error.h"

namespace warmd::http {

namespace {
constexpr std::chrono::seconds kKeepalive{5};
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

    std::string last;
    try {
        const ExecResult result = exec.run(
            id, command,
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
