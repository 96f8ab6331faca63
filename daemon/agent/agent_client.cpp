#include "daemon/agent/agent_client.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "daemon/base/error.h"
#include "dockerfiles/agent/protocol.h"

namespace warmd::agent {

namespace {

// What the agent answers at once. It is a program of the container: it may be slow, stopped or malicious.
constexpr std::chrono::seconds kPatience{10};
// Beyond the time that the agent itself keeps, its two seconds of grace included.
constexpr std::chrono::seconds kSlack{10};

/// One connection: one request, its output, its reply.
class Call {
public:
    Call(UniqueFd fd, const Request& request, Duration timeout)
        : fd_{std::move(fd)}, deadline_{std::chrono::steady_clock::now() + timeout}
    {
        outgoing_ = encode_frame(FrameType::request, encode_request(request));
    }

    void send(FrameType type, std::string_view payload) { outgoing_ += encode_frame(type, payload); }

    /// Runs until the reply has come, and returns it. `output` takes the frames before.
    std::string finish(const std::function<void(const Frame&)>& output, ExecSignals& signals,
                       const std::stop_token& stop)
    {
        const std::stop_callback wake{stop, [&signals] { signals.wake(); }};
        while (true) {
            wait(signals.descriptor());
            for (const int number : signals.take()) {
                const char byte = static_cast<char>(number);
                send(FrameType::signal, {&byte, 1});
            }
            if (stop.stop_requested()) throw Error{ErrorCode::cancelled, "the command was cancelled"};
            write();
            if (!read()) throw broken("it ended before its reply");
            while (auto frame = next_frame()) {
                if (frame->type == FrameType::reply) return std::move(frame->payload);
                const SteadyTime began = std::chrono::steady_clock::now();
                output(*frame);
                deadline_ += std::chrono::steady_clock::now() - began;  // that time was not the agent's
            }
        }
    }

    std::string finish()
    {
        ExecSignals none;
        return finish([](const Frame&) {}, none, {});
    }

    /// Blocks until the agent has closed its end.
    void wait_for_end()
    {
        ExecSignals none;
        do {
            if (next_frame()) throw broken("it goes on after its reply");
            wait(none.descriptor());
        } while (read());
    }

private:
    static Error broken(const std::string& why)
    {
        return Error{ErrorCode::engine_failed, "the connection to the agent broke"}.with_cause(why);
    }

    std::optional<Frame> next_frame()
    {
        try {
            return reader_.next();
        } catch (const Error& error) {
            throw broken(error.what());  // its mistake, not that of whoever asked
        }
    }

    void wait(int event)
    {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - std::chrono::steady_clock::now());
        const short wanted = outgoing_.empty() ? short{POLLIN} : short{POLLIN | POLLOUT};
        std::array<pollfd, 2> polled{pollfd{.fd = fd_.get(), .events = wanted, .revents = 0},
                                     pollfd{.fd = event, .events = POLLIN, .revents = 0}};
        const int timeout = static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 3'600'000));
        const int ready = ::poll(polled.data(), polled.size(), timeout);
        if (ready < 0 && errno != EINTR) throw system_error("wait for the agent", errno);
        // Whatever it sends: an agent that never comes to its reply has no more time than a silent one.
        if (std::chrono::steady_clock::now() >= deadline_) {
            throw Error{ErrorCode::timeout, "the agent does not answer in time"}.with_hint(
                "its container may be stopped or out of CPU: look at it with podman inspect, or terminate the "
                "instance");
        }
    }

    void write()
    {
        while (!outgoing_.empty()) {
            const ssize_t count = ::send(fd_.get(), outgoing_.data(), outgoing_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
            if (count < 0 && errno == EAGAIN) return;
            // What it has to say of the rest may be there to be read.
            if (count < 0 && errno != EINTR) outgoing_.clear();
            if (count > 0) outgoing_.erase(0, static_cast<std::size_t>(count));
        }
    }

    /// False at the end of the stream.
    bool read()
    {
        std::array<char, kMaxData> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by recv
        const ssize_t count = ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (count < 0 && (errno == EAGAIN || errno == EINTR)) return true;
        if (count < 0) throw broken(system_error("read", errno).what());
        reader_.write({buffer.data(), static_cast<std::size_t>(count)});
        return count > 0;
    }

    UniqueFd fd_;
    SteadyTime deadline_;
    FrameReader reader_;
    std::string outgoing_;
};

}  // namespace

void AgentClient::ping(const AgentAddress& address)
{
    decode_pong(Call{connector_.connect(address), {.op = Op::ping}, kPatience}.finish());
}

void AgentClient::start_application(const AgentAddress& address, const std::map<std::string, std::string>& env)
{
    decode_done(Call{connector_.connect(address), {.op = Op::start, .env = env}, kPatience}.finish());
}

void AgentClient::wait_for(const AgentAddress& address, AgentStage stage, Duration timeout, std::stop_token stop)
{
    const Request request{
        .op = Op::ready, .until = stage == AgentStage::started ? Stage::start : Stage::init, .timeout = timeout};
    ExecSignals none;
    decode_done(Call{connector_.connect(address), request, timeout + kSlack}.finish([](const Frame&) {}, none, stop));
}

ExecResult AgentClient::exec(const AgentAddress& address, const ExecRequest& request, Duration timeout,
                             const ExecOutput& output, ExecSignals& signals, std::stop_token stop)
{
    const SteadyTime began = std::chrono::steady_clock::now();
    const bool input = !request.input.empty();
    Call call{connector_.connect(address),
              {.op = Op::exec,
               .exec = {.command = request.command,
                        .code = request.code,
                        .env = request.env,
                        .workdir = request.workdir,
                        .timeout = timeout,
                        .input = input}},
              timeout + kSlack};
    if (input) {
        const std::string_view all{request.input};
        for (std::size_t at = 0; at < all.size(); at += kMaxData) call.send(FrameType::input, all.substr(at, kMaxData));
        call.send(FrameType::input, {});
    }
    const std::string reply = call.finish(
        [&output](const Frame& frame) {
            if (frame.type == FrameType::out) output(ExecStream::out, frame.payload);
            if (frame.type == FrameType::err) output(ExecStream::err, frame.payload);
        },
        signals, stop);
    const ExecOutcome outcome = decode_exec_outcome(reply);
    return {.exit_status = outcome.exit_status,
            .timed_out = outcome.timed_out,
            .session_ended = outcome.session_ended,
            .path = ExecPath::agent,
            .elapsed = std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now() - began)};
}

void AgentClient::quiesce(const AgentAddress& address)
{
    Call call{connector_.connect(address), {.op = Op::quiesce}, kPatience};
    decode_done(call.finish());
    call.wait_for_end();
}

void AgentClient::resumed(const AgentAddress& address, const std::string& hostname,
                          const std::map<std::string, std::string>& env)
{
    decode_done(
        Call{connector_.connect(address), {.op = Op::resumed, .env = env, .hostname = hostname}, kPatience}.finish());
}

}  // namespace warmd::agent
