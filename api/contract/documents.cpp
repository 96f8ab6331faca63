#include "api/contract/documents.h"

#include <cmath>
#include <utility>

#include "daemon/base/clock.h"
#include "daemon/base/text.h"

namespace warmd::contract {

namespace {

// Json in parentheses throughout: in braces, gcc makes an array of one element.
Json encode_time(const std::optional<Time>& time) { return time ? Json(format_time(*time)) : Json(nullptr); }

Json or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

double milliseconds(Duration duration) { return static_cast<double>(duration.count()) / 1000.0; }

std::string duration_text(Duration duration)
{
    const auto count = std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
    return std::to_string(count) + "ms";
}

Json encode_phases(const Phases& phases)
{
    Json json = Json::array();
    for (const Phase& phase : phases) {
        json.push_back({{"name", phase.name},
                        {"started_at", format_time(phase.started_at)},
                        {"elapsed_ms", milliseconds(phase.elapsed)}});
    }
    return json;
}

Duration decode_milliseconds(JsonObject& object, std::string_view name)
{
    const Json* const member = object.child(name);
    if (member == nullptr || !member->is_number()) {
        throw Error{ErrorCode::invalid_argument, object.path_of(name) + " must be a number"};
    }
    return Duration{std::llround(member->get<double>() * 1000.0)};
}

Phases decode_phases(JsonObject& object)
{
    Phases phases;
    const Json* const list = object.child("phases");
    if (list == nullptr || !list->is_array()) return phases;
    for (const Json& entry : *list) {
        JsonObject phase{entry, object.path_of("phases")};
        phases.push_back({.name = phase.text("name"),
                          .started_at = parse_time(phase.text("started_at")),
                          .elapsed = decode_milliseconds(phase, "elapsed_ms")});
    }
    return phases;
}

std::optional<Time> decode_time(JsonObject& object, std::string_view name)
{
    const auto text = object.optional_text(name);
    if (!text) return std::nullopt;
    return parse_time(*text);
}

template <typename Enum>
Enum decode_word(JsonObject& object, std::string_view name, std::optional<Enum> (*parse)(std::string_view))
{
    const std::string text = object.text(name);
    const auto value = parse(text);
    if (value) return *value;
    throw Error{ErrorCode::invalid_argument,
                object.path_of(name) + " is a word that this program does not know: " + text}
        .with_hint("the daemon may be newer than this client");
}

template <typename IdType>
IdType decode_id(JsonObject& object, std::string_view name)
{
    return IdType{object.optional_text(name).value_or("")};
}

void put_error(Json& json, const Error& error)
{
    json["code"] = to_string(error.code());
    json["detail"] = error.what();
    if (!error.hint().empty()) json["hint"] = error.hint();
    if (!error.field().empty()) json["field"] = error.field();
    if (!error.cause().empty()) json["cause"] = error.cause();
}

Error decode_error(JsonObject& object)
{
    const ErrorCode code =
        error_code_from_string(object.optional_text("code").value_or("")).value_or(ErrorCode::internal);
    return Error{code, object.optional_text("detail").value_or("no detail was given")}
        .with_hint(object.optional_text("hint").value_or(""))
        .with_field(object.optional_text("field").value_or(""))
        .with_cause(object.optional_text("cause").value_or(""));
}

Json encode_condition(const Condition& condition)
{
    Json json{{"timeout", duration_text(condition.timeout)}};
    if (condition.file) json["file"] = *condition.file;
    if (!condition.exec.empty()) json["exec"] = condition.exec;
    return json;
}

}  // namespace

Json encode(const Template& document)
{
    Json mounts = Json::array();
    for (const BindMount& mount : document.mounts) {
        mounts.push_back({{"source", mount.source}, {"target", mount.target}, {"read_only", mount.read_only}});
    }
    // Names only: a value may be what its author would not want on a dashboard.
    Json env_names = Json::array();
    for (const auto& [name, value] : document.env) env_names.push_back(name);
    Json limits = Json::object();
    if (document.limits.memory_bytes) limits["memory_bytes"] = *document.limits.memory_bytes;
    if (document.limits.cpus) limits["cpus"] = *document.limits.cpus;
    if (document.limits.pids) limits["pids"] = *document.limits.pids;
    return {{"name", document.name.value()},
            {"description", document.description},
            {"digest", document.digest},
            {"image", document.image},
            {"command", document.command},
            {"env_names", std::move(env_names)},
            {"workdir", document.workdir},
            {"user", document.user},
            {"hostname", document.hostname},
            {"mounts", std::move(mounts)},
            {"network", to_string(document.network)},
            {"limits", std::move(limits)},
            {"warm",
             {{"started", encode_condition(document.warm_up.started)},
              {"initialised", encode_condition(document.warm_up.initialised)},
              {"ready", encode_condition(document.warm_up.ready)},
              {"tcp_quiescence", document.warm_up.tcp_quiescence},
              {"quiet_for", duration_text(document.warm_up.quiet_for)},
              {"poll_interval", duration_text(document.warm_up.poll_interval)}}},
            {"checkpoint_timeout", duration_text(document.checkpoint_timeout)},
            {"restore_timeout", duration_text(document.restore_timeout)},
            {"exec_timeout", duration_text(document.exec_timeout)}};
}

Json encode(const Instance& document)
{
    return {{"id", document.id.value()},
            {"template", document.template_name.value()},
            {"state", to_string(document.state)},
            {"reason", or_null(document.reason)},
            {"origin", to_string(document.origin)},
            {"checkpoint", or_null(document.checkpoint.value())},
            {"container", or_null(document.container.value())},
            {"container_name", container_name(document.id)},
            {"created_at", format_time(document.created_at)},
            {"terminated_at", encode_time(document.terminated_at)},
            {"phases", encode_phases(document.phases)}};
}

Json encode(const Checkpoint& document)
{
    return {{"id", document.id.value()},
            {"template", document.template_name.value()},
            {"template_digest", document.template_digest},
            {"state", to_string(document.state)},
            {"reason", or_null(document.reason)},
            {"source", or_null(document.source.value())},
            {"image", document.image},
            {"image_id", document.image_id},
            {"size_bytes", document.size_bytes},
            {"sha256", or_null(document.sha256)},
            {"created_at", format_time(document.created_at)},
            {"available_at", encode_time(document.available_at)},
            {"phases", encode_phases(document.phases)},
            {"environment", document.environment},
            {"statistics", document.statistics}};
}

Json encode(const Operation& document)
{
    return {{"id", document.id.value()},
            {"kind", to_string(document.kind)},
            {"state", to_string(document.state)},
            {"template", or_null(document.template_name.value())},
            {"instance", or_null(document.instance.value())},
            {"checkpoint", or_null(document.checkpoint.value())},
            {"phase", or_null(document.phase)},
            {"phases", encode_phases(document.phases)},
            {"created_at", format_time(document.created_at)},
            {"started_at", encode_time(document.started_at)},
            {"finished_at", encode_time(document.finished_at)},
            {"error", document.error ? encode_error(*document.error) : Json(nullptr)}};
}

Instance decode_instance(const Json& json)
{
    JsonObject object{json};
    Instance document;
    document.id = InstanceId{object.text("id")};
    document.template_name = TemplateName{object.text("template")};
    document.state = decode_word(object, "state", instance_state_from_string);
    document.reason = object.optional_text("reason").value_or("");
    document.origin = decode_word(object, "origin", origin_from_string);
    document.checkpoint = decode_id<CheckpointId>(object, "checkpoint");
    document.container = decode_id<ContainerId>(object, "container");
    document.created_at = parse_time(object.text("created_at"));
    document.terminated_at = decode_time(object, "terminated_at");
    document.phases = decode_phases(object);
    return document;
}

Checkpoint decode_checkpoint(const Json& json)
{
    JsonObject object{json};
    Checkpoint document;
    document.id = CheckpointId{object.text("id")};
    document.template_name = TemplateName{object.text("template")};
    document.template_digest = object.text("template_digest");
    document.state = decode_word(object, "state", checkpoint_state_from_string);
    document.reason = object.optional_text("reason").value_or("");
    document.source = decode_id<InstanceId>(object, "source");
    document.image = object.text("image");
    document.image_id = object.text("image_id");
    document.size_bytes = static_cast<std::uint64_t>(object.integer("size_bytes"));
    document.sha256 = object.optional_text("sha256").value_or("");
    document.created_at = parse_time(object.text("created_at"));
    document.available_at = decode_time(object, "available_at");
    document.phases = decode_phases(object);
    document.environment = object.text_map("environment");
    if (const Json* const statistics = object.child("statistics")) {
        JsonObject values{*statistics, "statistics"};
        for (const auto& [name, value] : statistics->items()) document.statistics[name] = values.integer(name);
    }
    return document;
}

Operation decode_operation(const Json& json)
{
    JsonObject object{json};
    Operation document;
    document.id = OperationId{object.text("id")};
    document.kind = decode_word(object, "kind", operation_kind_from_string);
    document.state = decode_word(object, "state", operation_state_from_string);
    document.template_name = decode_id<TemplateName>(object, "template");
    document.instance = decode_id<InstanceId>(object, "instance");
    document.checkpoint = decode_id<CheckpointId>(object, "checkpoint");
    document.phase = object.optional_text("phase").value_or("");
    document.phases = decode_phases(object);
    document.created_at = parse_time(object.text("created_at"));
    document.started_at = decode_time(object, "started_at");
    document.finished_at = decode_time(object, "finished_at");
    if (const Json* const error = object.child("error")) {
        JsonObject members{*error, "error"};
        document.error = decode_error(members);
    }
    return document;
}

Json encode_error(const Error& error)
{
    Json json = Json::object();
    put_error(json, error);
    return json;
}

Json encode_problem(const Error& error, int status, const std::string& request_id)
{
    std::string title{to_string(error.code())};
    for (char& c : title) c = c == '_' ? ' ' : c;
    Json json{{"type", "urn:warmd:problem:" + std::string{to_string(error.code())}},
              {"title", title},
              {"status", status},
              {"request_id", request_id}};
    put_error(json, error);
    return json;
}

Error decode_problem(const std::string& body, int status)
{
    try {
        const Json json = parse_json(body);
        JsonObject object{json};
        return decode_error(object);
    } catch (const Error&) {
        return Error{ErrorCode::internal,
                     "the daemon answered with status " + std::to_string(status) + " and no problem document"}
            .with_cause(printable(body, 200));
    }
}

Json encode(const ExecRequest& request)
{
    Json json{{"command", request.command}};
    if (!request.env.empty()) json["env"] = request.env;
    if (!request.workdir.empty()) json["workdir"] = request.workdir;
    if (!request.user.empty()) json["user"] = request.user;
    if (request.timeout) json["timeout"] = duration_text(*request.timeout);
    return json;
}

ExecRequest decode_exec_request(const Json& json)
{
    JsonObject object{json};
    ExecRequest request;
    request.command = object.texts("command");
    if (request.command.empty()) {
        throw Error{ErrorCode::invalid_argument, "command is missing or empty"}.with_field("command").with_hint(
            R"(send {"command": ["program", "argument"]})");
    }
    request.env = object.text_map("env");
    for (const auto& [name, value] : request.env) {
        const bool good = !name.empty() && name.find('=') == std::string::npos &&
                          (name + value).find('\0') == std::string::npos;
        if (!good)
            throw Error{ErrorCode::invalid_argument, "env has a name that no variable can have"}.with_field("env");
    }
    request.workdir = object.optional_text("workdir").value_or("");
    if (!request.workdir.empty() && request.workdir.front() != '/') {
        throw Error{ErrorCode::invalid_argument, "workdir must be an absolute path"}.with_field("workdir");
    }
    request.user = object.optional_text("user").value_or("");
    if ((request.workdir + request.user).find('\0') != std::string::npos) {
        throw Error{ErrorCode::invalid_argument, "workdir or user has a NUL in it"}.with_field("workdir");
    }
    if (const auto timeout = object.optional_text("timeout")) {
        try {
            request.timeout = parse_duration(*timeout);
        } catch (Error& error) {
            throw std::move(error).with_field("timeout");
        }
    }
    for (const std::string& argument : request.command) {
        if (argument.find('\0') != std::string::npos) {
            throw Error{ErrorCode::invalid_argument, "command has a NUL in it"}.with_field("command");
        }
    }
    object.finish();
    return request;
}

std::string encode_output_frame(ExecStream stream, std::string_view data)
{
    Json json{{"type", stream == ExecStream::out ? "stdout" : "stderr"}};
    if (is_utf8(data)) {
        json["data"] = data;
    } else {
        json["data"] = base64_encode(data);
        json["encoding"] = "base64";
    }
    return dump_json(json);
}

std::string encode_exit_frame(const ExecResult& result)
{
    return dump_json({{"type", "exit"},
                      {"exit_status", result.exit_status},
                      {"timed_out", result.timed_out},
                      {"elapsed_ms", milliseconds(result.elapsed)}});
}

std::string encode_error_frame(const Error& error)
{
    return dump_json({{"type", "error"}, {"error", encode_error(error)}});
}

std::string encode_keepalive_frame() { return R"({"type":"keepalive"})"; }

ExecFrame decode_frame(std::string_view line)
{
    const Json json = parse_json(line);
    JsonObject object{json};
    const std::string type = object.text("type");
    ExecFrame frame;
    if (type == "stdout" || type == "stderr") {
        frame.type = type == "stdout" ? FrameType::out : FrameType::err;
        frame.data = object.text("data");
        if (object.optional_text("encoding") == "base64") frame.data = base64_decode(frame.data);
    } else if (type == "exit") {
        frame.type = FrameType::exit;
        frame.result = {.exit_status = static_cast<int>(object.integer("exit_status")),
                        .timed_out = object.optional_boolean("timed_out").value_or(false),
                        .elapsed = decode_milliseconds(object, "elapsed_ms")};
    } else if (type == "error") {
        frame.type = FrameType::error;
        const Json* const error = object.child("error");
        JsonObject members{error != nullptr ? *error : json, "error"};
        frame.error = decode_error(members);
    }
    return frame;
}

}  // namespace warmd::contract
