#include "daemon/store/manifest.h"

#include <cstdint>
#include <utility>

#include "daemon/base/error.h"
#include "daemon/base/json.h"
#include "daemon/base/sha256.h"

namespace warmd {

namespace {

constexpr std::int64_t kFormat = 1;

std::int64_t to_number(Time time) { return time.time_since_epoch().count(); }

Time time_of(JsonObject& object, std::string_view name) { return Time{Duration{object.integer(name)}}; }

Json encode_phases(const Phases& phases)
{
    Json list = Json::array();
    for (const Phase& phase : phases) {
        list.push_back({{"name", phase.name},
                        {"started_at", to_number(phase.started_at)},
                        {"elapsed", std::int64_t{phase.elapsed.count()}}});
    }
    return list;
}

Phases decode_phases(JsonObject& object)
{
    Phases phases;
    const Json* const list = object.child("phases");
    if (list == nullptr || !list->is_array()) throw Error{ErrorCode::corrupt, "phases must be an array"};
    for (const Json& entry : *list) {
        JsonObject members{entry, "phases"};
        phases.push_back({.name = members.text("name"),
                          .started_at = time_of(members, "started_at"),
                          .elapsed = Duration{members.integer("elapsed")}});
    }
    return phases;
}

Checkpoint decode_members(const Json& json)
{
    JsonObject object{json};
    if (object.integer("format") != kFormat) throw Error{ErrorCode::corrupt, "its format is not 1"};
    Checkpoint checkpoint;
    checkpoint.id = CheckpointId{object.text("id")};
    if (!is_valid_name(checkpoint.id.value())) throw Error{ErrorCode::corrupt, "its id is none"};
    checkpoint.template_name = TemplateName{object.text("template")};
    checkpoint.template_digest = object.text("template_digest");
    checkpoint.state = CheckpointState::available;
    checkpoint.source = InstanceId{object.text("source")};
    checkpoint.image = object.text("image");
    checkpoint.image_id = object.text("image_id");
    checkpoint.agent_socket = object.text("agent_socket");
    checkpoint.size_bytes = static_cast<std::uint64_t>(object.integer("size_bytes"));
    checkpoint.sha256 = object.text("sha256");
    checkpoint.created_at = time_of(object, "created_at");
    if (object.child("available_at") != nullptr) checkpoint.available_at = time_of(object, "available_at");
    checkpoint.canary = object.optional_text("canary").value_or("");
    checkpoint.phases = decode_phases(object);
    checkpoint.environment = object.text_map("environment");
    if (const Json* const statistics = object.child("statistics")) {
        JsonObject values{*statistics, "statistics"};
        for (const auto& [name, value] : statistics->items()) checkpoint.statistics[name] = values.integer(name);
    }
    return checkpoint;
}

}  // namespace

std::string encode_manifest(const Checkpoint& checkpoint)
{
    Json json{{"format", kFormat},
              {"id", checkpoint.id.value()},
              {"template", checkpoint.template_name.value()},
              {"template_digest", checkpoint.template_digest},
              {"source", checkpoint.source.value()},
              {"image", checkpoint.image},
              {"image_id", checkpoint.image_id},
              {"agent_socket", checkpoint.agent_socket},
              {"size_bytes", checkpoint.size_bytes},
              {"sha256", checkpoint.sha256},
              {"created_at", to_number(checkpoint.created_at)},
              {"available_at", nullptr},
              {"canary", checkpoint.canary},
              {"phases", encode_phases(checkpoint.phases)},
              {"environment", checkpoint.environment},
              {"statistics", checkpoint.statistics}};
    if (checkpoint.available_at) json["available_at"] = to_number(*checkpoint.available_at);
    // Serialised twice: what is not UTF-8 is replaced by the first time, and the sum is of what a reader gets.
    json = parse_json(dump_json(json));
    json["sum"] = sha256_hex(dump_json(json));
    return dump_json(json);
}

Checkpoint decode_manifest(std::string_view text)
{
    try {
        Json json = parse_json(text);
        const std::string sum = JsonObject{json}.text("sum");
        json.erase("sum");
        if (sha256_hex(dump_json(json)) != sum) throw Error{ErrorCode::corrupt, "its sum is another"};
        return decode_members(json);
    } catch (const Error& error) {
        throw Error{ErrorCode::corrupt, "the manifest of a checkpoint is damaged"}.with_cause(error.what());
    }
}

}  // namespace warmd
