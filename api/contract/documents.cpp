#include "api/contract/documents.h"

#include <array>
#include <cmath>
#include <csignal>
#include <utility>

#include "daemon/base/clock.h"
#include "daemon/base/text.h"

namespace warmd::contract {

namespace {

// Json in parentheses throughout: in braces, gcc makes an array of one element.
Json encode_time(const std::optional<Time>& time) { return time ? Json(format_time(*time)) : Json(nullptr); }

Json or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

double milliseconds(Duration duration) { return static_cast<double>(duration.count()) / 1000.0; }

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

Json encode_hooks(const std::vector<Hook>& hooks)
{
    Json json = Json::array();
    for (const Hook& hook : hooks) {
        json.push_back({{"timeout", format_duration(hook.timeout)}});
        if (hook.code) json.back()["code"] = *hook.code;
        else json.back()["command"] = hook.command;
    }
    return json;
}

/// Names and uses: neither values nor where they are kept.
Json encode_secrets(const std::map<std::string, Secret>& secrets)
{
    Json json = Json::array();
    for (const auto& [variable, secret] : secrets) {
        Json deliver = Json::array();
        if (secret.to_warm) deliver.push_back("warm");
        if (secret.to_exec) deliver.push_back("exec");
        json.push_back({{"name", variable}, {"deliver", std::move(deliver)}});
    }
    return json;
}

Json encode_condition(const Condition& condition)
{
    Json json{{"timeout", format_duration(condition.timeout)}};
    if (condition.file) json["file"] = *condition.file;
    if (!condition.exec.empty()) json["exec"] = condition.exec;
    return json;
}

constexpr std::array<std::pair<std::string_view, int>, 7> kSignals{{{"INT", SIGINT},
                                                                    {"TERM", SIGTERM},
                                                                    {"HUP", SIGHUP},
                                                                    {"QUIT", SIGQUIT},
                                                                    {"KILL", SIGKILL},
                                                                    {"USR1", SIGUSR1},
                                                                    {"USR2", SIGUSR2}}};

std::string decode_input(JsonObject& object)
{
    std::string input = object.optional_text("stdin").value_or("");
    const auto encoding = object.optional_text("stdin_encoding");
    if (!encoding) return input;
    if (*encoding != "base64") {
        throw Error{ErrorCode::invalid_argument, "stdin_encoding must be base64"}.with_field("stdin_encoding");
    }
    try {
        return base64_decode(input);
    } catch (Error& error) {
        throw std::move(error).with_field("stdin");
    }
}

/// Text where it is UTF-8, otherwise base 64 and a member beside it that says so.
void put_bytes(Json& json, const std::string& name, const std::string& encoding, std::string_view bytes)
{
    if (is_utf8(bytes)) {
        json[name] = bytes;
    } else {
        json[name] = base64_encode(bytes);
        json[encoding] = "base64";
    }
}

Json encode_policy(const PoolPolicy& policy)
{
    return {{"min_idle", policy.min_idle},
            {"max_size", policy.max_size},
            {"idle_ttl", format_duration(policy.idle_ttl)},
            {"max_lifetime", format_duration(policy.max_lifetime)},
            {"frozen", policy.frozen}};
}

Json encode_retention(const RetentionPolicy& policy)
{
    return {{"max_count", policy.max_count ? Json(*policy.max_count) : Json(nullptr)},
            {"max_total_bytes", policy.max_total_bytes ? Json(*policy.max_total_bytes) : Json(nullptr)},
            {"ttl", policy.ttl ? Json(format_duration(*policy.ttl)) : Json(nullptr)}};
}

Json encode_deletions(const std::vector<Deletion>& deletions)
{
    Json json = Json::array();
    for (const Deletion& one : deletions) {
        json.push_back({{"checkpoint", one.checkpoint.value()},
                        {"template", one.template_name.value()},
                        {"state", to_string(one.state)},
                        {"size_bytes", one.size_bytes},
                        {"created_at", format_time(one.created_at)},
                        {"reason", to_string(one.reason)}});
    }
    return json;
}

std::uint64_t decode_bytes(JsonObject& object, std::string_view name)
{
    return static_cast<std::uint64_t>(object.integer(name));
}

/// Nothing when there is no such member.
std::optional<Duration> decode_duration(JsonObject& object, std::string_view name)
{
    const auto text = object.optional_text(name);
    if (!text) return std::nullopt;
    try {
        return parse_duration(*text);
    } catch (Error& error) {
        throw std::move(error).with_field(object.path_of(name));
    }
}

Duration decode_wait(JsonObject& object, Duration otherwise)
{
    const Duration wait = decode_duration(object, "wait").value_or(otherwise);
    if (wait <= std::chrono::minutes{10}) return wait;
    throw Error{ErrorCode::invalid_argument, "wait must be 10m at most"}.with_field("wait");
}

ExecRequest decode_command(JsonObject& object)
{
    ExecRequest request;
    request.command = object.texts("command");
    request.code = object.optional_text("code");
    if (request.command.empty() == !request.code) {
        throw Error{ErrorCode::invalid_argument, "command or code is needed, and not both"}
            .with_field("command")
            .with_hint(R"(send {"command": ["program", "argument"]}, or {"code": "text"} for the warm session)");
    }
    if (request.code && request.code->find('\0') != std::string::npos) {
        throw Error{ErrorCode::invalid_argument, "code has a NUL in it"}.with_field("code");
    }
    request.input = decode_input(object);
    if (!request.input.empty() && request.code) {
        throw Error{ErrorCode::invalid_argument, "stdin goes with command: a session has no standard input"}.with_field(
            "stdin");
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
    request.timeout = decode_duration(object, "timeout");
    for (const std::string& argument : request.command) {
        if (argument.find('\0') != std::string::npos) {
            throw Error{ErrorCode::invalid_argument, "command has a NUL in it"}.with_field("command");
        }
    }
    return request;
}

Json encode_verification(const Verification& verify)
{
    Json json{{"restore", verify.restore}, {"canary", nullptr}};
    if (verify.canary) json["canary"] = encode_hooks({*verify.canary}).front();
    return json;
}

Json encode_result(const ExecResult& result)
{
    return {{"exit_status", result.exit_status},
            {"timed_out", result.timed_out},
            {"session_ended", result.session_ended},
            {"path", to_string(result.path)},
            {"elapsed_ms", milliseconds(result.elapsed)}};
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
              {"quiet_for", format_duration(document.warm_up.quiet_for)},
              {"poll_interval", format_duration(document.warm_up.poll_interval)}}},
            {"hooks",
             {{"before_checkpoint", encode_hooks(document.before_checkpoint)},
              {"after_restore", encode_hooks(document.after_restore)}}},
            {"secrets", encode_secrets(document.secrets)},
            {"verify", encode_verification(document.verify)},
            {"checkpoint_timeout", format_duration(document.checkpoint_timeout)},
            {"checkpoint_rewarm", to_string(document.rewarm)},
            {"checkpoint_distribute", to_string(document.distribute)},
            {"restore_timeout", format_duration(document.restore_timeout)},
            {"exec_timeout", format_duration(document.exec_timeout)},
            {"pool", encode_policy(document.pool)},
            {"retention", encode_retention(document.retention)}};
}

Json encode(const Instance& document)
{
    return {{"id", document.id.value()},
            {"template", document.template_name.value()},
            {"state", to_string(document.state)},
            {"reason", or_null(document.reason)},
            {"origin", to_string(document.origin)},
            {"path", to_string(document.path)},
            {"pooled", document.pooled},
            {"checkpoint", or_null(document.checkpoint.value())},
            {"container", or_null(document.container.value())},
            {"container_name", container_name(document.id)},
            {"agent_socket", or_null(document.agent_socket)},
            {"created_at", format_time(document.created_at)},
            {"terminated_at", encode_time(document.terminated_at)},
            {"phases", encode_phases(document.phases)}};
}

Json encode_differences(const std::vector<Difference>& differences)
{
    Json json = Json::array();
    for (const Difference& one : differences) {
        json.push_back({{"field", one.field},
                        {"recorded", one.recorded},
                        {"here", or_null(one.here)},
                        {"blocks", one.blocks},
                        {"why", one.why}});
    }
    return json;
}

Json encode(const CheckpointHere& document)
{
    return {{"id", document.id.value()},
            {"template", document.template_name.value()},
            {"template_digest", document.template_digest},
            {"state", to_string(document.state)},
            {"reason", or_null(document.reason)},
            {"source", or_null(document.source.value())},
            {"image", document.image},
            {"image_id", document.image_id},
            {"agent_socket", or_null(document.agent_socket)},
            {"size_bytes", document.size_bytes},
            {"sha256", or_null(document.sha256)},
            {"created_at", format_time(document.created_at)},
            {"available_at", encode_time(document.available_at)},
            {"verified_at", encode_time(document.verified_at)},
            {"used_at", encode_time(document.used_at)},
            {"pinned", document.pinned},
            {"phases", encode_phases(document.phases)},
            {"compatible", fits(document.differences)},
            {"differences", encode_differences(document.differences)},
            {"environment", document.environment},
            {"statistics", document.statistics}};
}

Json encode(const Operation& document)
{
    Json json{{"id", document.id.value()},
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
    if (document.kind == OperationKind::prune) json["deletions"] = encode_deletions(document.deletions);
    return json;
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
    document.path = decode_word(object, "path", instance_path_from_string);
    document.pooled = object.optional_boolean("pooled").value_or(false);
    document.checkpoint = decode_id<CheckpointId>(object, "checkpoint");
    document.container = decode_id<ContainerId>(object, "container");
    document.agent_socket = object.optional_text("agent_socket").value_or("");
    document.created_at = parse_time(object.text("created_at"));
    document.terminated_at = decode_time(object, "terminated_at");
    document.phases = decode_phases(object);
    return document;
}

CheckpointHere decode_checkpoint(const Json& json)
{
    JsonObject object{json};
    CheckpointHere document;
    document.id = CheckpointId{object.text("id")};
    document.template_name = TemplateName{object.text("template")};
    document.template_digest = object.text("template_digest");
    document.state = decode_word(object, "state", checkpoint_state_from_string);
    document.reason = object.optional_text("reason").value_or("");
    document.source = decode_id<InstanceId>(object, "source");
    document.image = object.text("image");
    document.image_id = object.text("image_id");
    document.agent_socket = object.optional_text("agent_socket").value_or("");
    document.size_bytes = static_cast<std::uint64_t>(object.integer("size_bytes"));
    document.sha256 = object.optional_text("sha256").value_or("");
    document.created_at = parse_time(object.text("created_at"));
    document.available_at = decode_time(object, "available_at");
    document.verified_at = decode_time(object, "verified_at");
    document.used_at = decode_time(object, "used_at");
    document.pinned = object.optional_boolean("pinned").value_or(false);
    document.phases = decode_phases(object);
    document.environment = object.text_map("environment");
    if (const Json* const statistics = object.child("statistics")) {
        JsonObject values{*statistics, "statistics"};
        for (const auto& [name, value] : statistics->items()) document.statistics[name] = values.integer(name);
    }
    if (const Json* const differences = object.child("differences")) {
        for (const Json& entry : *differences) {
            JsonObject members{entry, "differences"};
            document.differences.push_back({.field = members.text("field"),
                                            .recorded = members.text("recorded"),
                                            .here = members.optional_text("here").value_or(""),
                                            .blocks = members.optional_boolean("blocks").value_or(false),
                                            .why = members.optional_text("why").value_or("")});
        }
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
    if (document.kind == OperationKind::prune) document.deletions = decode_deletions(json);
    return document;
}

Json encode(const PruneOrder& order)
{
    Json only = Json::array();
    for (const CheckpointId& id : order.request.only) only.push_back(id.value());
    return {{"keep", order.request.keep}, {"only", std::move(only)}, {"dry_run", order.dry_run}};
}

PruneOrder decode_prune_order(const Json& json)
{
    constexpr int kMostKept = 1000;
    JsonObject object{json};
    PruneOrder order;
    const std::int64_t keep = object.optional_integer("keep").value_or(order.request.keep);
    if (keep < 1 || keep > kMostKept) {
        throw Error{ErrorCode::invalid_argument, "keep must be a number from 1 to 1000"}.with_field("keep");
    }
    order.request.keep = static_cast<int>(keep);
    for (const std::string& id : object.texts("only")) order.request.only.emplace_back(id);
    order.dry_run = object.optional_boolean("dry_run").value_or(false);
    object.finish();
    return order;
}

Json encode(const std::vector<Deletion>& plan)
{
    std::uint64_t bytes = 0;
    for (const Deletion& one : plan) bytes += one.size_bytes;
    return {{"deletions", encode_deletions(plan)}, {"bytes", bytes}};
}

std::vector<Deletion> decode_deletions(const Json& json)
{
    JsonObject object{json};
    std::vector<Deletion> deletions;
    const Json* const items = object.child("deletions");
    if (items == nullptr || !items->is_array()) {
        throw Error{ErrorCode::invalid_argument, "deletions must be an array"}.with_field("deletions");
    }
    for (const Json& item : *items) {
        JsonObject one{item, "deletions"};
        deletions.push_back({.checkpoint = CheckpointId{one.text("checkpoint")},
                             .template_name = TemplateName{one.text("template")},
                             .state = decode_word(one, "state", checkpoint_state_from_string),
                             .size_bytes = decode_bytes(one, "size_bytes"),
                             .created_at = parse_time(one.text("created_at")),
                             .reason = decode_word(one, "reason", deletion_reason_from_string)});
    }
    return deletions;
}

Json encode(const StoreUsage& document)
{
    Json templates = Json::array();
    StoreUsage::Entry all;
    for (const StoreUsage::Entry& one : document.templates) {
        templates.push_back({{"template", one.template_name.value()},
                             {"checkpoints", one.checkpoints},
                             {"pinned", one.pinned},
                             {"bytes", one.tarball_bytes},
                             {"unpacked_bytes", one.unpacked_bytes},
                             {"reclaimable_bytes", one.reclaimable_bytes}});
        all.tarball_bytes += one.tarball_bytes;
        all.unpacked_bytes += one.unpacked_bytes;
        all.reclaimable_bytes += one.reclaimable_bytes;
    }
    return {{"templates", std::move(templates)},         {"tarball_bytes", all.tarball_bytes},
            {"unpacked_bytes", all.unpacked_bytes},      {"reclaimable_bytes", all.reclaimable_bytes},
            {"reserved_bytes", document.reserved_bytes}, {"free_bytes", document.free_bytes},
            {"total_bytes", document.total_bytes},       {"min_free_bytes", document.min_free_bytes}};
}

StoreUsage decode_usage(const Json& json)
{
    JsonObject object{json};
    StoreUsage usage;
    usage.reserved_bytes = decode_bytes(object, "reserved_bytes");
    usage.free_bytes = decode_bytes(object, "free_bytes");
    usage.total_bytes = decode_bytes(object, "total_bytes");
    usage.min_free_bytes = decode_bytes(object, "min_free_bytes");
    const Json* const templates = object.child("templates");
    if (templates == nullptr || !templates->is_array()) {
        throw Error{ErrorCode::invalid_argument, "templates must be an array"}.with_field("templates");
    }
    for (const Json& item : *templates) {
        JsonObject one{item, "templates"};
        usage.templates.push_back({.template_name = TemplateName{one.text("template")},
                                   .checkpoints = static_cast<int>(one.integer("checkpoints")),
                                   .pinned = static_cast<int>(one.integer("pinned")),
                                   .tarball_bytes = decode_bytes(one, "bytes"),
                                   .unpacked_bytes = decode_bytes(one, "unpacked_bytes"),
                                   .reclaimable_bytes = decode_bytes(one, "reclaimable_bytes")});
    }
    return usage;
}

Json encode(const Lease& document)
{
    return {{"id", document.id.value()},
            {"template", document.template_name.value()},
            {"instance", document.instance.value()},
            {"state", to_string(document.state)},
            {"path", to_string(document.path)},
            {"ttl", format_duration(document.ttl)},
            {"created_at", format_time(document.created_at)},
            {"expires_at", format_time(document.expires_at)},
            {"ended_at", encode_time(document.ended_at)},
            {"elapsed_ms", milliseconds(document.elapsed)}};
}

Lease decode_lease(const Json& json)
{
    JsonObject object{json};
    Lease document;
    document.id = LeaseId{object.text("id")};
    document.template_name = TemplateName{object.text("template")};
    document.instance = InstanceId{object.text("instance")};
    document.state = decode_word(object, "state", lease_state_from_string);
    document.path = decode_word(object, "path", instance_path_from_string);
    document.ttl = parse_duration(object.text("ttl"));
    document.created_at = parse_time(object.text("created_at"));
    document.expires_at = parse_time(object.text("expires_at"));
    document.ended_at = decode_time(object, "ended_at");
    document.elapsed = decode_milliseconds(object, "elapsed_ms");
    return document;
}

Json encode(const PoolStatus& document)
{
    Json json = encode_policy(document.policy);
    json["template"] = document.template_name.value();
    json["checkpoint"] = or_null(document.checkpoint.value());
    json["idle"] = document.idle;
    json["leased"] = document.leased;
    json["filling"] = document.filling;
    json["draining"] = document.draining;
    json["waiting"] = document.waiting;
    json["held_back"] = or_null(document.held_back);
    return json;
}

Json encode(const Event& document)
{
    return {{"id", document.id},
            {"at", format_time(document.at)},
            {"kind", to_string(document.kind)},
            {"subject", document.subject},
            {"template", document.template_name.value()},
            {"state", document.state},
            {"reason", document.reason}};
}

Json encode(const Progress& document)
{
    return {{"operation", document.operation.value()},
            {"kind", to_string(document.kind)},
            {"template", document.template_name.value()},
            {"phase", document.phase},
            {"at", format_time(document.at)}};
}

Json encode(const Priming& document)
{
    return {{"state", to_string(document.state)},
            {"elapsed_ms", milliseconds(document.elapsed)},
            {"reason", document.reason}};
}

Json encode(const DoctorReport& document)
{
    Json findings = Json::array();
    for (const Finding& finding : document.findings) {
        findings.push_back({{"check", finding.check},
                            {"status", to_string(finding.status)},
                            {"found", finding.found},
                            {"why", finding.why},
                            {"fix", finding.fix}});
    }
    return {{"status", to_string(worst(document.findings))},
            {"findings", std::move(findings)},
            {"environment", document.environment}};
}

DoctorReport decode_doctor_report(const Json& json)
{
    JsonObject object{json};
    DoctorReport document;
    const Json* const items = object.child("findings");
    if (items == nullptr || !items->is_array()) {
        throw Error{ErrorCode::invalid_argument, "findings must be an array"}.with_field("findings");
    }
    for (const Json& item : *items) {
        JsonObject one{item};
        document.findings.push_back({.check = one.text("check"),
                                     .status = decode_word(one, "status", finding_status_from_string),
                                     .found = one.text("found"),
                                     .why = one.text("why"),
                                     .fix = one.text("fix")});
    }
    document.environment = object.text_map("environment");
    return document;
}

PoolStatus decode_pool(const Json& json)
{
    JsonObject object{json};
    const auto number = [&object](std::string_view name) { return static_cast<int>(object.integer(name)); };
    PoolStatus document;
    document.template_name = TemplateName{object.text("template")};
    document.policy = {.min_idle = number("min_idle"),
                       .max_size = number("max_size"),
                       .idle_ttl = parse_duration(object.text("idle_ttl")),
                       .max_lifetime = parse_duration(object.text("max_lifetime")),
                       .frozen = object.optional_boolean("frozen").value_or(false)};
    document.checkpoint = decode_id<CheckpointId>(object, "checkpoint");
    document.idle = number("idle");
    document.leased = number("leased");
    document.filling = number("filling");
    document.draining = number("draining");
    document.waiting = number("waiting");
    document.held_back = object.optional_text("held_back").value_or("");
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

namespace {

/// What /readyz answers in place of a problem document: the first check that failed.
Error decode_unready(const Json& checks)
{
    for (const Json& check : checks) {
        JsonObject object{check};
        if (object.optional_boolean("ok").value_or(true)) continue;
        return Error{ErrorCode::unavailable, object.text("reason")}.with_hint(
            object.optional_text("hint").value_or(""));
    }
    return Error{ErrorCode::unavailable, "the daemon is not ready"};
}

}  // namespace

Error decode_problem(const std::string& body, int status)
{
    try {
        const Json json = parse_json(body);
        JsonObject object{json};
        if (const Json* const checks = object.child("checks"); checks != nullptr) return decode_unready(*checks);
        return decode_error(object);
    } catch (const Error&) {
        return Error{ErrorCode::internal,
                     "the daemon answered with status " + std::to_string(status) + " and no problem document"}
            .with_cause(printable(body, 200));
    }
}

Json encode(const ExecRequest& request)
{
    Json json = Json::object();
    if (request.code) json["code"] = *request.code;
    else json["command"] = request.command;
    if (!request.input.empty()) put_bytes(json, "stdin", "stdin_encoding", request.input);
    if (!request.env.empty()) json["env"] = request.env;
    if (!request.workdir.empty()) json["workdir"] = request.workdir;
    if (!request.user.empty()) json["user"] = request.user;
    if (request.timeout) json["timeout"] = format_duration(*request.timeout);
    return json;
}

Json encode(const LeaseRequest& request)
{
    return {{"wait", format_duration(request.wait)}, {"ttl", format_duration(request.ttl)}, {"cold", request.cold}};
}

LeaseRequest decode_lease_request(const Json& json)
{
    JsonObject object{json};
    LeaseRequest request;
    request.wait = decode_wait(object, request.wait);
    request.ttl = decode_duration(object, "ttl").value_or(request.ttl);
    if (request.ttl < std::chrono::seconds{1} || request.ttl > std::chrono::hours{24}) {
        throw Error{ErrorCode::invalid_argument, "ttl must be 1s at least and 24h at most"}.with_field("ttl");
    }
    request.cold = object.optional_boolean("cold").value_or(false);
    object.finish();
    return request;
}

Json encode(const RunRequest& request)
{
    Json json = encode(request.command);
    json["wait"] = format_duration(request.wait);
    return json;
}

RunRequest decode_run_request(const Json& json)
{
    JsonObject object{json};
    RunRequest request;
    request.wait = decode_wait(object, request.wait);
    request.command = decode_command(object);
    object.finish();
    return request;
}

std::string decode_import_request(const Json& json)
{
    JsonObject object{json};
    std::string name = object.text("name");
    object.finish();
    return name;
}

int decode_signal_request(const Json& json)
{
    JsonObject object{json};
    const std::string name = object.text("signal");
    object.finish();
    for (const auto& [known, number] : kSignals) {
        if (known == name) return number;
    }
    throw Error{ErrorCode::invalid_argument, "signal is not one that a command can be sent"}
        .with_field("signal")
        .with_hint("INT, TERM, HUP, QUIT, KILL, USR1 or USR2");
}

Json encode(const ExecResult& result, std::string_view out, std::string_view err, bool truncated)
{
    Json json = encode_result(result);
    put_bytes(json, "stdout", "stdout_encoding", out);
    put_bytes(json, "stderr", "stderr_encoding", err);
    json["truncated"] = truncated;
    return json;
}

std::string encode_start_frame(const ExecId& exec) { return dump_json({{"type", "start"}, {"exec", exec.value()}}); }

std::string encode_start_frame(const ExecId& exec, const InstanceId& instance, InstancePath path)
{
    return dump_json(
        {{"type", "start"}, {"exec", exec.value()}, {"instance", instance.value()}, {"path", to_string(path)}});
}

std::string encode_progress_frame(InstancePath path, std::string_view detail)
{
    return dump_json({{"type", "progress"}, {"path", to_string(path)}, {"detail", detail}});
}

ExecRequest decode_exec_request(const Json& json)
{
    JsonObject object{json};
    ExecRequest request = decode_command(object);
    object.finish();
    return request;
}

std::string encode_output_frame(ExecStream stream, std::string_view data)
{
    Json json{{"type", stream == ExecStream::out ? "stdout" : "stderr"}};
    put_bytes(json, "data", "encoding", data);
    return dump_json(json);
}

std::string encode_exit_frame(const ExecResult& result)
{
    Json json = encode_result(result);
    json["type"] = "exit";
    return dump_json(json);
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
    } else if (type == "start") {
        frame.type = FrameType::start;
        frame.exec = ExecId{object.text("exec")};
        frame.instance = decode_id<InstanceId>(object, "instance");
        if (object.child("path") != nullptr) frame.path = decode_word(object, "path", instance_path_from_string);
    } else if (type == "progress") {
        frame.type = FrameType::progress;
        frame.path = decode_word(object, "path", instance_path_from_string);
        frame.data = object.text("detail");
    } else if (type == "exit") {
        frame.type = FrameType::exit;
        frame.result = {.exit_status = static_cast<int>(object.integer("exit_status")),
                        .timed_out = object.optional_boolean("timed_out").value_or(false),
                        .session_ended = object.optional_boolean("session_ended").value_or(false),
                        .path = decode_word(object, "path", exec_path_from_string),
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
