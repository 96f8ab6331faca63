#include "client/output.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <exception>

#include "daemon/base/error.h"
#include "daemon/base/text.h"

namespace warmd::client {

void Output::print_line(const std::string& line) const { std::printf("%s\n", line.c_str()); }

void Output::print_json(const Json& document) const { print_line(dump_json(document)); }

void Output::print_table(const std::vector<std::vector<std::string>>& rows) const
{
    std::vector<std::size_t> widths;
    for (const auto& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    for (const auto& row : rows) {
        std::string line;
        for (std::size_t i = 0; i < row.size(); ++i) {
            line += printable(row[i]);
            if (i + 1 < row.size()) line.append(widths[i] - row[i].size() + 2, ' ');
        }
        print_line(line);
    }
}

std::string describe(Duration duration)
{
    const double seconds = std::chrono::duration<double>(duration).count();
    std::array<char, 40> text{};
    if (seconds < 1.0) std::snprintf(text.data(), text.size(), "%.0f ms", seconds * 1000.0);
    else if (seconds < 60.0) std::snprintf(text.data(), text.size(), "%.1f s", seconds);
    else
        std::snprintf(text.data(), text.size(), "%d min %02d s", static_cast<int>(seconds) / 60,
                      static_cast<int>(seconds) % 60);
    return text.data();
}

std::string describe_bytes(std::uint64_t bytes)
{
    constexpr std::array<const char*, 5> kUnits{"B", "kB", "MB", "GB", "TB"};
    double value = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (value >= 1000.0 && unit + 1 < kUnits.size()) {
        value /= 1000.0;
        ++unit;
    }
    std::array<char, 40> text{};
    std::snprintf(text.data(), text.size(), value < 10.0 && unit > 0 ? "%.1f %s" : "%.0f %s", value, kUnits.at(unit));
    return text.data();
}

std::string describe_age(Time then)
{
    const auto now = std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
    const auto seconds = std::max<std::int64_t>(0,
                                                std::chrono::duration_cast<std::chrono::seconds>(now - then).count());
    if (seconds < 120) return std::to_string(seconds) + " s";
    if (seconds < 2 * 3600) return std::to_string(seconds / 60) + " min";
    if (seconds < 2 * 86400) return std::to_string(seconds / 3600) + " h";
    return std::to_string(seconds / 86400) + " d";
}

std::vector<std::vector<std::string>> phase_rows(const Phases& phases)
{
    std::vector<std::vector<std::string>> rows{{"PHASE", "TIME"}};
    for (const Phase& phase : phases) rows.push_back({phase.name, describe(phase.elapsed)});
    return rows;
}

void print_error(const std::exception& error)
{
    std::fprintf(stderr, "warmctl: %s\n", printable(error.what()).c_str());
    const auto* const ours = dynamic_cast<const Error*>(&error);
    if (ours == nullptr) return;
    if (!ours->cause().empty()) std::fprintf(stderr, "  cause: %s\n", printable(ours->cause()).c_str());
    if (!ours->hint().empty()) std::fprintf(stderr, "  next:  %s\n", printable(ours->hint()).c_str());
}

}  // namespace warmd::client
