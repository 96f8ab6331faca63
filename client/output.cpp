#include "client/output.h"

#include <unistd.h>

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
    for (const std::string& line : table_lines(rows, coloured(STDOUT_FILENO))) print_line(line);
}

bool Output::coloured(int fd) const { return use_colour(colour, ::isatty(fd) == 1, TerminalEnvironment::read()); }

bool Output::redraws() const { return can_redraw(::isatty(STDERR_FILENO) == 1, TerminalEnvironment::read()); }

void Output::say(const std::string& words) const
{
    if (!quiet) std::fprintf(stderr, "warmctl: %s\n", printable(words).c_str());
}

std::vector<std::string> table_lines(const std::vector<std::vector<std::string>>& rows, bool coloured)
{
    std::vector<std::size_t> widths;
    for (const auto& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], printable(row[i]).size());
    }
    std::vector<std::string> lines;
    for (const auto& row : rows) {
        const bool heading = lines.empty() && !row.empty() && lower_case(row[0]) != row[0];
        std::string line;
        for (std::size_t i = 0; i < row.size(); ++i) {
            const std::string cell = printable(row[i]);
            line += paint(coloured, heading ? Colour::bold : colour_of_state(cell), cell);
            if (i + 1 < row.size()) line.append(widths[i] - cell.size() + 2, ' ');
        }
        line.erase(line.find_last_not_of(' ') + 1);
        lines.push_back(std::move(line));
    }
    return lines;
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

std::string usual_hint(ErrorCode code)
{
    switch (code) {
    case ErrorCode::unauthenticated: return "put a token into WARMD_TOKEN, or its file's name into WARMD_TOKEN_FILE";
    case ErrorCode::forbidden:
        return "warmctl whoami says who you are to it; [access] and [tokens] in warmd.toml say who may";
    case ErrorCode::misdirected: return "add the host of WARMD_HOST to [api] hosts in warmd.toml";
    case ErrorCode::not_found:
        return "look at what there is: warmctl template list, checkpoint list, instance list --all";
    case ErrorCode::conflict: return "look at its state: warmctl instance list, checkpoint list, operation list";
    case ErrorCode::precondition: return "look again: somebody else has changed it";
    case ErrorCode::busy: return "try again in a moment; warmctl status says what it is doing";
    case ErrorCode::unavailable: return "systemctl status warmd; journalctl -u warmd";
    case ErrorCode::timeout: return "warmctl operation list; journalctl -u warmd";
    case ErrorCode::no_space: return "warmctl df; warmctl prune --dry-run";
    case ErrorCode::corrupt: return "warmctl prune --dry-run, and warmctl checkpoint TEMPLATE for a new one";
    case ErrorCode::interrupted: return "start it again";
    case ErrorCode::engine_failed:
    case ErrorCode::not_ready: return "journalctl -u warmd; warmctl operation list";
    case ErrorCode::internal: return "journalctl -u warmd, and report it";
    default: return {};
    }
}

void print_error(const std::exception& error, const Output& output)
{
    const bool coloured = output.coloured(STDERR_FILENO);
    std::fprintf(stderr, "%s %s\n", paint(coloured, Colour::red, "warmctl:").c_str(), printable(error.what()).c_str());
    const auto* const ours = dynamic_cast<const Error*>(&error);
    if (ours == nullptr) return;
    if (!ours->cause().empty()) std::fprintf(stderr, "  cause: %s\n", printable(ours->cause()).c_str());
    const std::string hint = ours->hint().empty() ? usual_hint(ours->code()) : ours->hint();
    if (!hint.empty()) std::fprintf(stderr, "  next:  %s\n", printable(hint).c_str());
}

}  // namespace warmd::client
