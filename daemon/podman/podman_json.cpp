#include "daemon/podman/podman_json.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "daemon/base/criu_image.h"
#include "daemon/base/error.h"
#include "daemon/base/json.h"
#include "daemon/base/text.h"

namespace warmd::podman {

namespace {

/// Runs `fn` on the parsed body, with every surprise translated.
template <typename Fn>
auto decode(const std::string& body, const char* what, Fn&& fn)
{
    try {
        return fn(parse_json(body));
    } catch (const Error& error) {
        throw Error{ErrorCode::engine_failed, std::string{"Podman's "} + what + " cannot be read"}.with_cause(
            std::string{error.what()} + ": " + printable(body, 300));
    } catch (const Json::exception& error) {
        throw Error{ErrorCode::engine_failed, std::string{"Podman's "} + what + " cannot be read"}.with_cause(
            std::string{error.what()} + ": " + printable(body, 300));
    }
}

std::string text_or_empty(const Json& json, const char* name)
{
    const auto member = json.find(name);
    return member != json.end() && member->is_string() ? member->get<std::string>() : std::string{};
}

std::map<std::string, std::string> text_map_or_empty(const Json& json, const char* name)
{
    const auto member = json.find(name);
    return member != json.end() && member->is_object() ? member->get<std::map<std::string, std::string>>()
                                                       : std::map<std::string, std::string>{};
}

ContainerStatus status_from(const std::string& text)
{
    if (text == "running") return ContainerStatus::running;
    if (text == "created" || text == "configured" || text == "initialized") return ContainerStatus::created;
    if (text == "exited" || text == "stopped") return ContainerStatus::exited;
    if (text == "paused") return ContainerStatus::paused;
    return ContainerStatus::other;
}

}  // namespace

std::string encode_create(const ContainerSpec& spec)
{
    Json json{{"name", spec.name},
              {"image", spec.image},
              {"env", spec.env},
              {"labels", spec.labels},
              {"netns", {{"nsmode", spec.network == Network::none ? "none" : "bridge"}}},
              // journald, the default, would keep a container's output beyond its life and without a limit.
              {"log_configuration", {{"driver", "k8s-file"}, {"options", {{"max-size", "16mb"}}}}}};
    if (!spec.command.empty()) json["command"] = spec.command;
    if (!spec.workdir.empty()) json["work_dir"] = spec.workdir;
    if (!spec.user.empty()) json["user"] = spec.user;
    if (!spec.hostname.empty()) json["hostname"] = spec.hostname;
    for (const BindMount& mount : spec.mounts) {
        json["mounts"].push_back({{"type", "bind"},
                                  {"source", mount.source},
                                  {"destination", mount.target},
                                  {"options", {mount.read_only ? "ro" : "rw", "rbind"}}});
    }
    Json limits = Json::object();
    if (spec.limits.memory_bytes) limits["memory"] = {{"limit", *spec.limits.memory_bytes}};
    if (spec.limits.pids) limits["pids"] = {{"limit", *spec.limits.pids}};
    if (spec.limits.cpus) {
        constexpr std::int64_t kPeriod = 100'000;  // microseconds, the kernel's default
        constexpr std::int64_t kSmallest = 1'000;  // of a quota; 0 would mean none at all
        limits["cpu"] = {{"period", kPeriod},
                         {"quota", std::max<std::int64_t>(kSmallest, std::llround(*spec.limits.cpus * kPeriod))}};
    }
    if (!limits.empty()) json["resource_limits"] = std::move(limits);
    return dump_json(json);
}

std::string encode_exec(const ExecRequest& request)
{
    Json json{{"Cmd", request.command}, {"AttachStdout", true}, {"AttachStderr", true}, {"Tty", false}};
    for (const auto& [name, value] : request.env) json["Env"].push_back(name + "=" + value);
    if (!request.workdir.empty()) json["WorkingDir"] = request.workdir;
    if (!request.user.empty()) json["User"] = request.user;
    return dump_json(json);
}

EngineInfo decode_info(const std::string& body)
{
    return decode(body, "info", [](const Json& json) {
        const Json& host = json.at("host");
        const Json& runtime = host.at("ociRuntime");
        const Json& version = json.at("version");
        EngineInfo info;
        info.version = text_or_empty(version, "Version");
        info.api_version = text_or_empty(version, "APIVersion");
        info.runtime = text_or_empty(runtime, "name");
        const std::string words = text_or_empty(runtime, "version");
        info.runtime_version = words.substr(0, words.find('\n'));
        // crun names its features; runc always has CRIU support and says nothing of it.
        info.runtime_has_criu = words.find("+CRIU") != std::string::npos || info.runtime == "runc";
        info.kernel = text_or_empty(host, "kernel");
        info.architecture = text_or_empty(host, "arch");
        info.storage_driver = text_or_empty(json.at("store"), "graphDriverName");
        return info;
    });
}

ImageInfo decode_image(const std::string& body)
{
    return decode(body, "image document", [](const Json& json) {
        return ImageInfo{.id = json.at("Id").get<std::string>(),
                         .digest = text_or_empty(json, "Digest"),
                         .labels = text_map_or_empty(json, "Labels")};
    });
}

std::string decode_id(const std::string& body)
{
    return decode(body, "answer", [](const Json& json) { return json.at("Id").get<std::string>(); });
}

ContainerInfo decode_container(const std::string& body)
{
    return decode(body, "container document", [](const Json& json) {
        const Json& state = json.at("State");
        ContainerInfo info;
        info.id = ContainerId{json.at("Id").get<std::string>()};
        info.name = json.at("Name").get<std::string>();
        info.status = status_from(state.at("Status").get<std::string>());
        info.exit_code = state.value("ExitCode", 0);
        info.oom_killed = state.value("OOMKilled", false);
        info.checkpointed = state.value("Checkpointed", false);
        // Podman keeps the last pid of a container that has exited.
        info.pid = info.status == ContainerStatus::running ? state.value("Pid", 0) : 0;
        info.image_id = text_or_empty(json, "Image");
        info.labels = text_map_or_empty(json.at("Config"), "Labels");
        return info;
    });
}

std::string decode_upper_directory(const std::string& body)
{
    return decode(body, "container document", [](const Json& json) {
        const auto driver = json.find("GraphDriver");
        if (driver == json.end() || text_or_empty(*driver, "Name") != "overlay") return std::string{};
        return text_or_empty(driver->at("Data"), "UpperDir");
    });
}

std::vector<std::string> decode_list_ids(const std::string& body)
{
    return decode(body, "list of containers", [](const Json& json) {
        std::vector<std::string> ids;
        for (const Json& entry : json) ids.push_back(entry.at("Id").get<std::string>());
        return ids;
    });
}

RootfsChanges decode_changes(const std::string& body)
{
    return decode(body, "list of changes", [](const Json& json) {
        constexpr int kModified = 0;  // containers/storage pkg/archive/changes.go
        constexpr int kDeleted = 2;
        RootfsChanges changes;
        for (const Json& change : json) {
            const int kind = change.at("Kind").get<int>();
            if (kind == kModified) changes.modified.push_back(change.at("Path").get<std::string>());
            if (kind == kDeleted) changes.deleted.push_back(change.at("Path").get<std::string>());
        }
        return changes;
    });
}

std::string keep_files(const std::string& deleted_files, const std::vector<std::string>& paths)
{
    return decode(deleted_files, "list of deleted files", [&paths](const Json& json) {
        Json deleted = Json::array();
        for (const Json& path : json) {
            if (std::find(paths.begin(), paths.end(), path.get<std::string>()) == paths.end()) deleted.push_back(path);
        }
        return dump_json(deleted);
    });
}

ExecSession decode_exec_session(const std::string& body)
{
    return decode(body, "exec session", [](const Json& json) {
        return ExecSession{.exit_code = json.at("ExitCode").get<int>(),
                           .running = json.at("Running").get<bool>(),
                           .pid = json.value("Pid", 0)};
    });
}

std::optional<EngineEvent> decode_event(const std::string& line, std::string_view label)
{
    return decode(line, "event", [label](const Json& json) -> std::optional<EngineEvent> {
        if (text_or_empty(json, "Type") != "container") return std::nullopt;
        const Json& actor = json.at("Actor");
        const auto attributes = text_map_or_empty(actor, "Attributes");
        if (!attributes.contains(std::string{label})) return std::nullopt;
        const auto name = attributes.find("name");
        return EngineEvent{.action = json.at("Action").get<std::string>(),
                           .container = ContainerId{actor.at("ID").get<std::string>()},
                           .name = name != attributes.end() ? name->second : std::string{},
                           .at = Time{std::chrono::duration_cast<Duration>(
                               std::chrono::nanoseconds{json.value("timeNano", std::int64_t{0})})}};
    });
}

std::string decode_error(const std::string& body)
{
    const Json json = Json::parse(body, nullptr, false);
    const std::string message = json.is_object() ? text_or_empty(json, "message") : std::string{};
    const std::string cause = json.is_object() ? text_or_empty(json, "cause") : std::string{};
    if (message.empty() && cause.empty()) return printable(body, 500);
    if (message.empty() || message.find(cause) != std::string::npos)
        return printable(message.empty() ? cause : message);
    return printable(cause + ": " + message);
}

std::string rename_config_dump(const std::string& config_dump, const ContainerId& id, const RestoreSpec& spec)
{
    return decode(config_dump, "config.dump", [&](Json json) {
        json.at("id") = id.value();
        json.at("name") = spec.name;
        json["labels"] = spec.labels;
        return dump_json(json);
    });
}

std::map<std::string, std::int64_t> decode_dump_statistics(const std::string& stats_dump)
{
    // Two 32-bit magic numbers, a 32-bit length, then stats_entry{1: dump_stats_entry{...}} in protobuf.
    constexpr std::size_t kHeader = 12;
    constexpr std::array<const char*, 8> kNames{nullptr,
                                                "criu.freezing_time_us",
                                                "criu.frozen_time_us",
                                                "criu.memdump_time_us",
                                                "criu.memwrite_time_us",
                                                "criu.pages_scanned",
                                                "criu.pages_skipped_parent",
                                                "criu.pages_written"};
    std::map<std::string, std::int64_t> statistics;
    if (stats_dump.size() <= kHeader) return statistics;
    std::string_view bytes = std::string_view{stats_dump}.substr(kHeader);
    constexpr std::uint64_t kDumpEntry = 1U << 3U | 2U;  // field 1, length-delimited
    if (read_varint(bytes) != kDumpEntry) return statistics;
    bytes = bytes.substr(0, read_varint(bytes));
    while (!bytes.empty()) {
        const std::uint64_t tag = read_varint(bytes);
        if ((tag & 7U) != 0) break;  // all fields of this message are varints
        const std::uint64_t value = read_varint(bytes);
        if (const std::uint64_t number = tag >> 3U; number > 0 && number < kNames.size()) {
            statistics[kNames[number]] = static_cast<std::int64_t>(value);
        }
    }
    return statistics;
}

}  // namespace warmd::podman
