#pragma once

#include <toml++/toml.h>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/clock.h"
#include "daemon/config/config.h"

namespace warmd {

/// Reads one TOML table and remembers which keys were asked for. Each `read` leaves its target alone when
/// the key is absent and reports a problem when the value does not fit. `finish` reports unknown keys.
class TomlTable {
public:
    /// All must outlive this. `prefix` is the table's own path, empty for the outermost.
    TomlTable(const toml::table& table, std::string prefix, const std::string& file,
              std::vector<ConfigProblem>& problems);

    void read(std::string_view key, std::string& target);
    void read(std::string_view key, std::filesystem::path& target);
    void read(std::string_view key, bool& target);
    void read(std::string_view key, int& target, int minimum, int maximum);
    /// A duration as text: "30s".
    void read(std::string_view key, Duration& target, Duration minimum = std::chrono::milliseconds{1});
    void read(std::string_view key, std::vector<std::string>& target);
    void read(std::string_view key, std::map<std::string, std::string>& target);
    /// A number from 0.01 to 10000, whole or not.
    void read(std::string_view key, std::optional<double>& target);
    void read(std::string_view key, std::optional<std::int64_t>& target);
    /// "512M", "4G", or a number of bytes.
    void read_bytes(std::string_view key, std::optional<std::uint64_t>& target);
    /// As above, or none: "0".
    void read_bytes_or_none(std::string_view key, std::optional<std::uint64_t>& target);
    void read(std::string_view key, std::optional<int>& target, int minimum, int maximum);
    void read(std::string_view key, std::optional<Duration>& target);
    /// An absolute path without "..".
    void read_absolute(std::string_view key, std::optional<std::string>& target);

    void read(std::string_view key, std::optional<std::string>& target);

    /// The keys of this table, read or not.
    [[nodiscard]] std::vector<std::string> keys() const;

    /// The table `key`, if there is one.
    [[nodiscard]] std::optional<TomlTable> table(std::string_view key);
    /// The tables of the array `key`; empty when absent.
    [[nodiscard]] std::vector<TomlTable> tables(std::string_view key);

    void report(std::string_view key, const std::string& message);
    void finish();

private:
    const toml::node* get(std::string_view key);
    template <typename T>
    std::optional<T> value(std::string_view key, const char* expected);

    const toml::table* table_;
    std::string prefix_;
    const std::string* file_;
    std::vector<ConfigProblem>* problems_;
    std::set<std::string, std::less<>> read_;
};

}  // namespace warmd
