#include "daemon/config/toml_table.h"

#include <charconv>
#include <utility>

#include "daemon/base/error.h"

namespace warmd {

TomlTable::TomlTable(const toml::table& table, std::string prefix, const std::string& file,
                     std::vector<ConfigProblem>& problems)
    : table_{&table}, prefix_{std::move(prefix)}, file_{&file}, problems_{&problems}
{
}

const toml::node* TomlTable::get(std::string_view key)
{
    read_.emplace(key);
    return table_->get(key);
}

void TomlTable::report(std::string_view key, const std::string& message)
{
    const toml::node* const node = table_->get(key);
    const auto line = (node != nullptr ? node->source() : table_->source()).begin.line;
    const std::string where = line > 0 ? *file_ + ":" + std::to_string(line) : *file_;
    problems_->push_back({.where = where, .message = prefix_ + std::string{key} + " " + message});
}

template <typename T>
std::optional<T> TomlTable::value(std::string_view key, const char* expected)
{
    const toml::node* const node = get(key);
    if (node == nullptr) return std::nullopt;
    auto exact = node->value_exact<T>();
    if (!exact) report(key, std::string{"must be "} + expected);
    return exact;
}

void TomlTable::read(std::string_view key, std::string& target)
{
    if (auto text = value<std::string>(key, "a string")) target = *std::move(text);
}

void TomlTable::read(std::string_view key, std::filesystem::path& target)
{
    std::optional<std::string> path;
    read_absolute(key, path);
    if (path) target = *path;
}

void TomlTable::read(std::string_view key, bool& target)
{
    if (const auto flag = value<bool>(key, "true or false")) target = *flag;
}

void TomlTable::read(std::string_view key, int& target, int minimum, int maximum)
{
    const auto number = value<std::int64_t>(key, "a whole number");
    if (!number) return;
    if (*number < minimum || *number > maximum) {
        report(key, "must be between " + std::to_string(minimum) + " and " + std::to_string(maximum));
        return;
    }
    target = static_cast<int>(*number);
}

void TomlTable::read(std::string_view key, Duration& target, Duration minimum)
{
    const auto text = value<std::string>(key, "a duration in quotes, such as \"30s\"");
    if (!text) return;
    try {
        const Duration value = parse_duration(*text);
        if (value < minimum) report(key, "must be at least 1ms");
        else target = value;
    } catch (const Error& error) {
        report(key, std::string{error.what()} + "; " + error.hint());
    }
}

void TomlTable::read(std::string_view key, std::vector<std::string>& target)
{
    const toml::node* const node = get(key);
    if (node == nullptr) return;
    const toml::array* const array = node->as_array();
    std::vector<std::string> values;
    for (std::size_t i = 0; array != nullptr && i < array->size(); ++i) {
        if (auto text = array->get(i)->value_exact<std::string>()) values.push_back(*std::move(text));
    }
    if (array == nullptr || values.size() != array->size()) {
        report(key, "must be an array of strings");
        return;
    }
    target = std::move(values);
}

void TomlTable::read(std::string_view key, std::map<std::string, std::string>& target)
{
    auto inner = table(key);
    if (!inner) return;
    for (const std::string& name : inner->keys()) inner->read(name, target[name]);
}

void TomlTable::read(std::string_view key, std::optional<std::string>& target)
{
    if (auto text = value<std::string>(key, "a string")) target = *std::move(text);
}

std::vector<std::string> TomlTable::keys() const
{
    std::vector<std::string> names;
    for (const auto& [name, node] : *table_) names.emplace_back(name.str());
    return names;
}

void TomlTable::read(std::string_view key, std::optional<double>& target)
{
    const toml::node* const node = get(key);
    if (node == nullptr) return;
    const auto number = node->value<double>();
    if (!number || !(*number >= 0.01 && *number <= 10'000)) {  // so that NaN is refused, too
        report(key, "must be a number from 0.01 to 10000");
        return;
    }
    target = *number;
}

void TomlTable::read(std::string_view key, std::optional<std::int64_t>& target)
{
    const auto number = value<std::int64_t>(key, "a whole number");
    if (number && *number <= 0) report(key, "must be positive");
    else if (number) target = *number;
}

void TomlTable::read_bytes(std::string_view key, std::optional<std::uint64_t>& target)
{
    const toml::node* const node = get(key);
    if (node == nullptr) return;
    std::string text = node->value_exact<std::string>().value_or("");
    if (const auto number = node->value_exact<std::int64_t>()) text = std::to_string(*number);
    std::uint64_t count = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    const std::string_view unit{end, static_cast<std::size_t>(text.data() + text.size() - end)};
    unsigned shift = 64;
    if (unit.empty()) shift = 0;
    if (unit == "K") shift = 10;
    if (unit == "M") shift = 20;
    if (unit == "G") shift = 30;
    if (error != std::errc{} || shift == 64 || count == 0 || count > (UINT64_MAX >> 1U) >> shift) {
        report(key, "must be a number of bytes, such as \"512M\" or \"4G\"");
        return;
    }
    target = count << shift;
}

void TomlTable::read_bytes_or_none(std::string_view key, std::optional<std::uint64_t>& target)
{
    const toml::node* const node = get(key);
    const bool none = node != nullptr &&
                      (node->value_exact<std::int64_t>() == 0 || node->value_exact<std::string>() == "0");
    if (none) target = 0;
    else read_bytes(key, target);
}

void TomlTable::read(std::string_view key, std::optional<int>& target, int minimum, int maximum)
{
    if (get(key) == nullptr) return;
    int number = 0;
    read(key, number, minimum, maximum);
    target = number;
}

void TomlTable::read(std::string_view key, std::optional<Duration>& target)
{
    if (get(key) == nullptr) return;
    Duration duration{};
    read(key, duration);
    target = duration;
}

void TomlTable::read_absolute(std::string_view key, std::optional<std::string>& target)
{
    auto text = value<std::string>(key, "an absolute path");
    if (!text) return;
    const std::filesystem::path path{*text};
    bool climbs = false;
    for (const auto& part : path) climbs = climbs || part == "..";
    if (!path.is_absolute() || climbs) {
        report(key, "must be an absolute path without \"..\"");
        return;
    }
    target = *std::move(text);
}

std::optional<TomlTable> TomlTable::table(std::string_view key)
{
    const toml::node* const node = get(key);
    if (node == nullptr) return std::nullopt;
    if (!node->is_table()) {
        report(key, "must be a table");
        return std::nullopt;
    }
    return TomlTable{*node->as_table(), prefix_ + std::string{key} + ".", *file_, *problems_};
}

std::vector<TomlTable> TomlTable::tables(std::string_view key)
{
    const toml::node* const node = get(key);
    std::vector<TomlTable> result;
    if (node == nullptr) return result;
    if (!node->is_array_of_tables()) {
        report(key, "must be an array of tables: [[" + prefix_ + std::string{key} + "]]");
        return result;
    }
    for (const toml::node& element : *node->as_array()) {
        result.emplace_back(*element.as_table(), prefix_ + std::string{key} + ".", *file_, *problems_);
    }
    return result;
}

void TomlTable::finish()
{
    for (const auto& [name, node] : *table_) {
        if (!read_.contains(name.str())) report(name.str(), "is not a known key");
    }
}

}  // namespace warmd
