#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/clock.h"
#include "daemon/base/error.h"
#include "daemon/base/json.h"

// The protocol of the agent's socket, as docs/agent-protocol.md describes it: the agent, its clients in the
// container and warmd all use these functions. No I/O here.

namespace warmd::agent {

inline constexpr int kProtocolVersion = 1;
inline constexpr const char* kDefaultSocket = "/run/warm/agent.sock";
inline constexpr std::size_t kMaxData = 64 * 1024;
inline constexpr std::size_t kMaxPayload = 1024 * 1024 + kMaxData;

enum class FrameType : char {
    request = 'Q',
    input = 'I',
    signal = 'S',
    out = 'O',
    err = 'E',
    reply = 'R',
};

struct Frame {
    FrameType type = FrameType::reply;
    std::string payload;
};

/// Throws Error{too_large} for a payload above kMaxPayload.
std::string encode_frame(FrameType type, std::string_view payload);

/// Takes bytes as they arrive and gives whole frames back.
class FrameReader {
public:
    void write(std::string_view bytes) { buffer_.append(bytes); }
    /// The next complete frame. Throws Error{invalid_argument} for an unknown type or an impossible length;
    /// nothing that follows can then be understood.
    std::optional<Frame> next();

private:
    std::string buffer_;
    std::size_t begin_ = 0;
};

enum class Op { ping, start, ready, exec, quiesce, resumed };

enum class Stage { start, init };

/// A command for the agent. Exactly one of `command` and `code` is set.
struct ExecSpec {
    std::vector<std::string> command;
    std::optional<std::string> code;
    std::map<std::string, std::string> env;
    std::string workdir;              // absolute; empty: the application's own
    std::optional<Duration> timeout;  // none: no limit
    bool input = false;               // `input` frames follow, an empty one last
};

struct Request {
    Op op = Op::ping;
    ExecSpec exec;                           // of exec
    Stage until = Stage::init;               // of ready
    std::optional<Duration> timeout;         // of ready
    std::map<std::string, std::string> env;  // of start and resumed
    std::string hostname;                    // of resumed
};

std::string encode_request(const Request& request);
/// Strict: throws Error{invalid_argument} that names the member.
Request decode_request(std::string_view payload);

/// What became of an exec.
struct ExecOutcome {
    int exit_status = 0;
    bool timed_out = false;
    bool session_ended = false;
    Duration elapsed{};
};

enum class State { waiting, starting, initialised, ended };

struct Pong {
    int version = kProtocolVersion;
    std::string agent;  // its version
    bool session = false;
    State state = State::starting;
    int application = 0;
};

std::string encode(const ExecOutcome& outcome);
std::string encode(const Pong& pong);
std::string encode_resumed(const std::string& tmpdir);
std::string encode_error(const Error& error);

/// Each throws the Error that the reply holds, or Error{engine_failed} for a reply that cannot be read.
ExecOutcome decode_exec_outcome(std::string_view payload);
Pong decode_pong(std::string_view payload);
void decode_done(std::string_view payload);

}  // namespace warmd::agent
