#include "dockerfiles/agent/protocol.h"

#include <utility>

#include "daemon/base/enum_names.h"
#include "daemon/base/text.h"

namespace warmd::agent {

namespace {

constexpr std::size_t kHeader = 5;

constexpr EnumNames<Op, 6> kOps{{{{Op::ping, "ping"},
                                  {Op::start, "start"},
                                  {Op::ready, "ready"},
                                  {Op::exec, "exec"},
                                  {Op::quiesce, "quiesce"},
                                  {Op::resumed, "resumed"}}}};
constexpr EnumNames<Stage, 2> kStages{{{{Stage::start, "start"}, {Stage::init, "init"}}}};
constexpr EnumNames<State, 4> kStates{{{{State::waiting, "waiting"},
                                        {State::starting, "starting"},
                                        {State::initialised, "initialised"},
                                        {State::ended, "ended"}}}};

bool is_frame_type(char c)
{
    switch (static_cast<FrameType>(c)) {
    case FrameType::request:
    case FrameType::input:
    case FrameType::signal:
    case FrameType::out:
    case FrameType::err:
    case FrameType::reply: return true;
    }
    return false;
}

Error refuse(const std::string& field, const std::string& problem)
{
    return Error{ErrorCode::invalid_argument, field + " " + problem}.with_field(field);
}

/// Rounded up: a time that is nearly over is not none.
std::int64_t in_milliseconds(Duration duration)
{
    return std::chrono::ceil<std::chrono::milliseconds>(duration).count();
}

std::optional<Duration> read_timeout(JsonObject& json)
{
    const auto milliseconds = json.optional_integer("timeout_ms");
    if (!milliseconds) return std::nullopt;
    constexpr std::int64_t kYear = 365LL * 24 * 3600 * 1000;
    if (*milliseconds < 1 || *milliseconds > kYear) throw refuse("timeout_ms", "must be from 1 to a year");
    return std::chrono::milliseconds{*milliseconds};
}

bool holds_nul(const std::string& text) { return text.find('\0') != std::string::npos; }

std::map<std::string, std::string> read_env(JsonObject& json)
{
    auto env = json.text_map("env");
    for (const auto& [name, value] : env) {
        if (name.empty() || name.find('=') != std::string::npos || holds_nul(name) || holds_nul(value)) {
            throw refuse("env." + printable(name, 100), "is not a name and value that a process can be given");
        }
    }
    return env;
}

ExecSpec read_exec(JsonObject& json)
{
    ExecSpec exec;
    exec.command = json.texts("command");
    exec.code = json.optional_text("code");
    if (exec.command.empty() == !exec.code) throw refuse("command", "or code is needed, and not both");
    for (const std::string& argument : exec.command) {
        if (holds_nul(argument)) throw refuse("command", "cannot hold a NUL");
    }
    if (exec.code && holds_nul(*exec.code)) throw refuse("code", "cannot hold a NUL");
    exec.env = read_env(json);
    exec.workdir = json.optional_text("workdir").value_or("");
    if (!exec.workdir.empty() && (exec.workdir.front() != '/' || holds_nul(exec.workdir))) {
        throw refuse("workdir", "must be an absolute path");
    }
    exec.timeout = read_timeout(json);
    exec.input = json.optional_boolean("stdin").value_or(false);
    if (exec.input && exec.code) throw refuse("stdin", "goes with command: a session has no standard input");
    return exec;
}

/// The codes that an agent may answer with. Another one would mean to warmd what it does not know of an agent.
ErrorCode known_code(std::string_view text)
{
    const auto code = error_code_from_string(text);
    switch (code.value_or(ErrorCode::engine_failed)) {
    case ErrorCode::invalid_argument:
    case ErrorCode::conflict:
    case ErrorCode::timeout:
    case ErrorCode::not_ready: return *code;
    default: return ErrorCode::engine_failed;
    }
}

/// Hands the reply's object to `read`, or throws the error that it holds.
template <typename Read>
auto decode_reply(std::string_view payload, Read&& read)
{
    std::optional<Error> failure;
    try {
        const Json json = parse_json(payload);
        JsonObject object{json};
        const Json* const error = object.child("error");
        if (error == nullptr) return read(object);
        JsonObject reason{*error, "error"};
        failure.emplace(known_code(reason.text("code")), printable(reason.text("message")));
    } catch (const Error& error) {
        throw Error{ErrorCode::engine_failed, "the agent's reply cannot be read"}.with_cause(
            std::string{error.what()} + ": " + printable(payload, 300));
    }
    throw Error{*failure};
}

}  // namespace

std::string encode_frame(FrameType type, std::string_view payload)
{
    if (payload.size() > kMaxPayload) throw Error{ErrorCode::too_large, "a frame for the agent is above 1 MiB"};
    std::string frame;
    frame.reserve(kHeader + payload.size());
    for (int shift = 24; shift >= 0; shift -= 8) {
        frame += static_cast<char>(static_cast<unsigned char>(payload.size() >> static_cast<unsigned>(shift)));
    }
    frame += static_cast<char>(type);
    frame += payload;
    return frame;
}

std::optional<Frame> FrameReader::next()
{
    const std::string_view rest = std::string_view{buffer_}.substr(begin_);
    if (rest.size() < kHeader) return std::nullopt;
    std::size_t length = 0;
    for (std::size_t i = 0; i < 4; ++i) length = length << 8U | static_cast<unsigned char>(rest[i]);
    if (length > kMaxPayload) throw Error{ErrorCode::invalid_argument, "a frame of the agent's protocol is too long"};
    if (!is_frame_type(rest[4])) throw Error{ErrorCode::invalid_argument, "a frame of an unknown type"};
    if (rest.size() < kHeader + length) return std::nullopt;
    Frame frame{.type = static_cast<FrameType>(rest[4]), .payload = std::string{rest.substr(kHeader, length)}};
    begin_ += kHeader + length;
    if (begin_ == buffer_.size() || begin_ > kMaxPayload) {
        buffer_.erase(0, begin_);
        begin_ = 0;
    }
    return frame;
}

std::string encode_request(const Request& request)
{
    Json json{{"version", kProtocolVersion}, {"op", kOps.name(request.op)}};
    switch (request.op) {
    case Op::ping:
    case Op::quiesce: break;
    case Op::start: json["env"] = request.env; break;
    case Op::ready:
        json["until"] = kStages.name(request.until);
        if (request.timeout) json["timeout_ms"] = in_milliseconds(*request.timeout);
        break;
    case Op::exec:
        if (request.exec.code) json["code"] = *request.exec.code;
        else json["command"] = request.exec.command;
        if (!request.exec.env.empty()) json["env"] = request.exec.env;
        if (!request.exec.workdir.empty()) json["workdir"] = request.exec.workdir;
        if (request.exec.timeout) json["timeout_ms"] = in_milliseconds(*request.exec.timeout);
        if (request.exec.input) json["stdin"] = true;
        break;
    case Op::resumed:
        json["env"] = request.env;
        json["hostname"] = request.hostname;
        break;
    }
    return dump_json(json);
}

Request decode_request(std::string_view payload)
{
    const Json parsed = parse_json(payload);
    JsonObject json{parsed};
    if (const std::int64_t version = json.integer("version"); version != kProtocolVersion) {
        throw refuse("version", std::to_string(version) + " is not spoken here: this agent speaks version " +
                                    std::to_string(kProtocolVersion));
    }
    const auto op = kOps.value(json.text("op"));
    if (!op) throw refuse("op", "is not one of this version");
    Request request{.op = *op};
    switch (request.op) {
    case Op::ping:
    case Op::quiesce: break;
    case Op::start: request.env = read_env(json); break;
    case Op::ready: {
        const auto stage = kStages.value(json.text("until"));
        if (!stage) throw refuse("until", "must be start or init");
        request.until = *stage;
        request.timeout = read_timeout(json);
        break;
    }
    case Op::exec: request.exec = read_exec(json); break;
    case Op::resumed:
        request.env = read_env(json);
        request.hostname = json.optional_text("hostname").value_or("");
        if (holds_nul(request.hostname)) throw refuse("hostname", "cannot hold a NUL");
        break;
    }
    json.finish();
    return request;
}

std::string encode(const ExecOutcome& outcome)
{
    return dump_json({{"exit_status", outcome.exit_status},
                      {"timed_out", outcome.timed_out},
                      {"session_ended", outcome.session_ended},
                      {"elapsed_us", outcome.elapsed.count()}});
}

std::string encode(const Pong& pong)
{
    return dump_json({{"version", pong.version},
                      {"agent", pong.agent},
                      {"session", pong.session},
                      {"state", kStates.name(pong.state)},
                      {"application", pong.application}});
}

std::string encode_resumed(const std::string& tmpdir) { return dump_json({{"tmpdir", tmpdir}}); }

std::string encode_error(const Error& error)
{
    return dump_json({{"error", {{"code", to_string(error.code())}, {"message", error.what()}}}});
}

ExecOutcome decode_exec_outcome(std::string_view payload)
{
    return decode_reply(payload, [](JsonObject& json) {
        ExecOutcome outcome;
        outcome.exit_status = static_cast<int>(json.integer("exit_status"));
        outcome.timed_out = json.optional_boolean("timed_out").value_or(false);
        outcome.session_ended = json.optional_boolean("session_ended").value_or(false);
        outcome.elapsed = Duration{json.integer("elapsed_us")};
        return outcome;
    });
}

Pong decode_pong(std::string_view payload)
{
    return decode_reply(payload, [](JsonObject& json) {
        Pong pong;
        pong.version = static_cast<int>(json.integer("version"));
        pong.agent = json.text("agent");
        pong.session = json.optional_boolean("session").value_or(false);
        pong.state = kStates.value(json.text("state")).value_or(State::starting);
        pong.application = static_cast<int>(json.optional_integer("application").value_or(0));
        return pong;
    });
}

void decode_done(std::string_view payload)
{
    decode_reply(payload, [](JsonObject&) { return 0; });
}

}  // namespace warmd::agent
