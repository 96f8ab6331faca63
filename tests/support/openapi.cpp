#include "tests/support/openapi.h"

#include <yaml-cpp/yaml.h>
#include <algorithm>
#include <array>

#include <mutex>
#include <sstream>
#include <stdexcept>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>
#include <vector>

namespace warmd::test {

namespace {

Json from_scalar(const YAML::Node& node)
{
    const std::string text = node.Scalar();
    constexpr const char* kQuoted = "!";
    if (node.Tag() == kQuoted) return text;
    if (text == "null" || text == "~" || text.empty()) return nullptr;
    bool flag = false;
    if (YAML::convert<bool>::decode(node, flag) && (text == "true" || text == "false")) return flag;
    std::int64_t whole = 0;
    if (YAML::convert<std::int64_t>::decode(node, whole)) return whole;
    double number = 0;
    if (YAML::convert<double>::decode(node, number)) return number;
    return text;
}

Json from_yaml(const YAML::Node& node)
{
    if (node.IsMap()) {
        Json object = Json::object();
        for (const auto& entry : node) object[entry.first.Scalar()] = from_yaml(entry.second);
        return object;
    }
    if (node.IsSequence()) {
        Json array = Json::array();
        for (const auto& entry : node) array.push_back(from_yaml(entry));
        return array;
    }
    return node.IsNull() ? Json(nullptr) : from_scalar(node);
}

/// valijson applies the format of a string to a null as well, where the type allows both.
void drop_formats(Json& node)
{
    if (node.is_object() && node.contains("format") && node.at("format").is_string()) node.erase("format");
    if (node.is_structured()) {
        for (Json& child : node) drop_formats(child);
    }
}

std::vector<std::string> split(const std::string& path)
{
    std::vector<std::string> segments;
    std::istringstream in{path};
    for (std::string segment; std::getline(in, segment, '/');) segments.push_back(segment);
    return segments;
}

bool matches(const std::string& pattern, const std::string& path)
{
    const auto wanted = split(pattern);
    const auto given = split(path);
    if (wanted.size() != given.size()) return false;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        if (!wanted[i].starts_with('{') && wanted[i] != given[i]) return false;
    }
    return true;
}

}  // namespace

OpenApi::OpenApi()
    : document_(from_yaml(YAML::LoadFile(WARMD_SOURCE_DIR "/api/openapi.yaml"))), without_formats_(document_)
{
    drop_formats(without_formats_);
}

const Json& OpenApi::resolve(const Json& node) const
{
    if (!node.contains("$ref")) return node;
    return document_.at(Json::json_pointer{node.at("$ref").get<std::string>().substr(1)});
}

const Json* OpenApi::operation(const std::string& method, const std::string& path) const
{
    std::string verb;
    for (const char c : method) verb += static_cast<char>(std::tolower(c));
    for (const auto& [pattern, item] : document_.at("paths").items()) {
        if (matches(pattern, path) && item.contains(verb)) return &item.at(verb);
    }
    return nullptr;
}

std::string OpenApi::check(const std::string& method, const std::string& path, int status,
                           const std::string& content_type, const std::string& body) const
{
    const Json* const found = operation(method, path);
    if (found == nullptr) {
        // Nothing is there, and callers without a role are not even told so. Methods that nothing has: 501.
        constexpr std::array kRefusals{401, 403, 404, 405, 421, 501};
        if (std::find(kRefusals.begin(), kRefusals.end(), status) != kRefusals.end()) return {};
        return method + " " + path + " is not in openapi.yaml and was answered with " + std::to_string(status);
    }
    const Json& responses = found->at("responses");
    const std::string key = responses.contains(std::to_string(status)) ? std::to_string(status) : "default";
    if (!responses.contains(key)) return "status " + std::to_string(status) + " is not documented";
    const Json& response = resolve(responses.at(key));
    const std::string media = content_type.substr(0, content_type.find(';'));
    if (!response.contains("content") && media.empty() && body.empty()) return {};
    if (!response.contains("content") || !response.at("content").contains(media)) {
        return "content type " + media + " is not documented for status " + std::to_string(status);
    }
    const Json& schema = response.at("content").at(media).at("schema");
    if (!media.ends_with("json")) return {};
    std::istringstream lines{body};
    std::string text = body;
    const bool stream = media == "application/x-ndjson";
    while (!stream || std::getline(lines, text)) {
        if (std::string problem = check_schema(schema, parse_json(text)); !problem.empty())
            return problem + " in " + text;
        if (!stream) break;
    }
    return {};
}

std::string OpenApi::check_schema(const Json& schema, const Json& document) const
{
    Json root = schema;
    drop_formats(root);
    root["components"] = without_formats_.at("components");
    // std::regex, for patterns, fills a table of libstdc++ that all threads share.
    static std::mutex mutex;
    const std::scoped_lock lock{mutex};
    valijson::Schema parsed;
    valijson::SchemaParser parser;
    const valijson::adapters::NlohmannJsonAdapter schema_adapter{root};
    parser.populateSchema(schema_adapter, parsed);
    valijson::Validator validator;
    valijson::ValidationResults results;
    const valijson::adapters::NlohmannJsonAdapter document_adapter{document};
    if (validator.validate(parsed, document_adapter, &results)) return {};
    std::string problems;
    valijson::ValidationResults::Error error;
    while (results.popError(error)) {
        for (const std::string& part : error.context) problems += part;
        problems += ": " + error.description + "; ";
    }
    return problems;
}

}  // namespace warmd::test
