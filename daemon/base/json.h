#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace warmd {

using Json = nlohmann::json;

/// Parses `text`. Throws Error{invalid_argument} for malformed JSON and for more than 64 levels of nesting
/// (nlohmann's dump and copy recurse: 100,000 levels overflow the stack).
Json parse_json(std::string_view text);

/// Throws Error{invalid_argument} when an object in `text` names a member twice, or two that differ in case alone: Go's
/// decoder takes them for one, and the last one for the right one. Below the members `free_form` (labels and the like,
/// which Go decodes as maps) names that differ in case are different.
void require_unique_names(std::string_view text, const std::vector<std::string_view>& free_form);

/// Serialises; bytes that are not UTF-8 become U+FFFD instead of an exception.
std::string dump_json(const Json& json);

/// Reads one JSON object strictly: a wrong type, a missing or an unknown member is an
/// Error{invalid_argument} that names the member with its path. Members are marked as they are read, and
/// `finish()` refuses those that nobody asked for.
class JsonObject {
public:
    /// `json` must outlive this. `path` is empty for the outermost object.
    explicit JsonObject(const Json& json, std::string path = {});

    std::string text(std::string_view name);
    std::optional<std::string> optional_text(std::string_view name);
    std::int64_t integer(std::string_view name);
    std::optional<std::int64_t> optional_integer(std::string_view name);
    std::optional<bool> optional_boolean(std::string_view name);
    /// An array of strings; empty when absent.
    std::vector<std::string> texts(std::string_view name);
    /// An object of strings; empty when absent.
    std::map<std::string, std::string> text_map(std::string_view name);
    /// The member itself, or null when absent or JSON null. Owned by the object.
    const Json* child(std::string_view name);
    [[nodiscard]] std::string path_of(std::string_view name) const;

    /// Call last. Not calling it is how a client tolerates members of a newer daemon.
    void finish() const;

private:
    [[noreturn]] void refuse(std::string_view name, std::string_view problem) const;

    const Json& json_;
    std::string path_;
    std::vector<std::string> read_;
};

}  // namespace warmd
