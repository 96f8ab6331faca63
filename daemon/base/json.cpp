#include "daemon/base/json.h"

#include <algorithm>
#include <set>
#include <utility>

#include "daemon/base/error.h"
#include "daemon/base/text.h"

namespace warmd {

namespace {
constexpr int kMaxDepth = 64;
}

Json parse_json(std::string_view text)
{
    try {
        return Json::parse(text, [](int depth, Json::parse_event_t event, Json&) {
            using Event = Json::parse_event_t;
            const bool opens = event == Event::object_start || event == Event::array_start;
            if (depth + (opens ? 1 : 0) > kMaxDepth) {  // an opening is told the depth around it
                throw Error{ErrorCode::invalid_argument, "JSON is nested deeper than 64 levels"};
            }
            return true;
        });
    } catch (const Json::exception& error) {
        throw Error{ErrorCode::invalid_argument, "malformed JSON"}.with_cause(error.what());
    }
}

void require_unique_names(std::string_view text, const std::vector<std::string_view>& free_form)
{
    struct Level {
        std::set<std::string> names;
        bool free = false;
    };
    std::vector<Level> levels;
    std::string last;  // the name before the value that begins
    const auto see = [&](int, Json::parse_event_t event, Json& parsed) {
        using Event = Json::parse_event_t;
        if (event == Event::object_start || event == Event::array_start) {
            const bool free = std::find(free_form.begin(), free_form.end(), last) != free_form.end();
            levels.push_back({.free = free});
            last.clear();
        } else if (event == Event::object_end || event == Event::array_end) {
            levels.pop_back();
        } else if (event == Event::key) {
            last = parsed.get<std::string>();
            Level& level = levels.back();
            // Beside ASCII, Go folds the Kelvin sign and the long s.
            const bool folds = last.find("\xe2\x84\xaa") != std::string::npos ||
                               last.find("\xc5\xbf") != std::string::npos;
            if ((folds && !level.free) || !level.names.insert(level.free ? last : lower_case(last)).second) {
                throw Error{ErrorCode::invalid_argument, "two members have the name \"" + printable(last, 100) + "\""};
            }
        }
        return true;
    };
    try {
        const Json ignored = Json::parse(text, see);
    } catch (const Json::exception& error) {
        throw Error{ErrorCode::invalid_argument, "malformed JSON"}.with_cause(error.what());
    }
}

std::string dump_json(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

JsonObject::JsonObject(const Json& json, std::string path) : json_{json}, path_{std::move(path)}
{
    if (!json_.is_object()) {
        throw Error{ErrorCode::invalid_argument, (path_.empty() ? "the document" : path_) + " must be a JSON object"}
            .with_field(path_);
    }
}

std::string JsonObject::path_of(std::string_view name) const
{
    return path_.empty() ? std::string{name} : path_ + "." + std::string{name};
}

void JsonObject::refuse(std::string_view name, std::string_view problem) const
{
    const std::string path = path_of(name);
    throw Error{ErrorCode::invalid_argument, path + " " + std::string{problem}}.with_field(path);
}

const Json* JsonObject::child(std::string_view name)
{
    read_.emplace_back(name);
    const auto member = json_.find(name);
    return member == json_.end() || member->is_null() ? nullptr : &*member;
}

std::optional<std::string> JsonObject::optional_text(std::string_view name)
{
    const Json* const member = child(name);
    if (member == nullptr) return std::nullopt;
    if (!member->is_string()) refuse(name, "must be a string");
    return member->get<std::string>();
}

std::string JsonObject::text(std::string_view name)
{
    auto value = optional_text(name);
    if (!value) refuse(name, "is missing");
    return *std::move(value);
}

std::optional<std::int64_t> JsonObject::optional_integer(std::string_view name)
{
    const Json* const member = child(name);
    if (member == nullptr) return std::nullopt;
    // nlohmann would turn 3.7 into 3 and a large unsigned number into a negative one without a word.
    const bool fits = member->is_number_integer() &&
                      (!member->is_number_unsigned() || member->get<std::uint64_t>() <= std::uint64_t{INT64_MAX});
    if (!fits) refuse(name, "must be a whole number");
    return member->get<std::int64_t>();
}

std::int64_t JsonObject::integer(std::string_view name)
{
    const auto value = optional_integer(name);
    if (!value) refuse(name, "is missing");
    return *value;
}

std::optional<bool> JsonObject::optional_boolean(std::string_view name)
{
    const Json* const member = child(name);
    if (member == nullptr) return std::nullopt;
    if (!member->is_boolean()) refuse(name, "must be true or false");
    return member->get<bool>();
}

std::vector<std::string> JsonObject::texts(std::string_view name)
{
    const Json* const member = child(name);
    if (member == nullptr) return {};
    if (!member->is_array()) refuse(name, "must be an array of strings");
    std::vector<std::string> values;
    for (const Json& element : *member) {
        if (!element.is_string()) refuse(name, "must be an array of strings");
        values.push_back(element.get<std::string>());
    }
    return values;
}

std::map<std::string, std::string> JsonObject::text_map(std::string_view name)
{
    const Json* const member = child(name);
    if (member == nullptr) return {};
    if (!member->is_object()) refuse(name, "must be an object of strings");
    std::map<std::string, std::string> values;
    for (const auto& [key, value] : member->items()) {
        if (!value.is_string()) refuse(std::string{name} + "." + key, "must be a string");
        values.emplace(key, value.get<std::string>());
    }
    return values;
}

void JsonObject::finish() const
{
    for (const auto& [name, value] : json_.items()) {
        if (std::find(read_.begin(), read_.end(), name) == read_.end()) refuse(name, "is not known here");
    }
}

}  // namespace warmd
