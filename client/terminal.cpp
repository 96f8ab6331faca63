#include "client/terminal.h"

#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace warmd::client {

namespace {

winsize size_of(int fd)
{
    winsize size{};
    if (::ioctl(fd, TIOCGWINSZ, &size) != 0) size = {};
    return size;
}

template <std::size_t N>
bool among(const std::array<std::string_view, N>& words, std::string_view word)
{
    return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace

TerminalEnvironment TerminalEnvironment::read()
{
    const char* const no_color = std::getenv("NO_COLOR");
    const char* const term = std::getenv("TERM");
    return {.no_color = no_color != nullptr && *no_color != '\0',
            .dumb = term == nullptr || *term == '\0' || std::string_view{term} == "dumb"};
}

bool use_colour(ColourMode mode, bool is_terminal, const TerminalEnvironment& environment)
{
    if (mode != ColourMode::automatic) return mode == ColourMode::always;
    return is_terminal && !environment.no_color && !environment.dumb;
}

bool can_redraw(bool is_terminal, const TerminalEnvironment& environment) { return is_terminal && !environment.dumb; }

std::string paint(bool enabled, Colour colour, std::string_view text)
{
    constexpr std::array<const char*, 6> kCodes{"0", "1", "2", "31", "32", "33"};
    if (!enabled || colour == Colour::plain || text.empty()) return std::string{text};
    return std::string{"\033["} + kCodes.at(static_cast<std::size_t>(colour)) + "m" + std::string{text} + "\033[0m";
}

Colour colour_of_state(std::string_view word)
{
    constexpr std::array<std::string_view, 5> kWell{"idle", "available", "succeeded", "active", "ready"};
    constexpr std::array<std::string_view, 9> kUnderWay{"queued",  "running", "warming",  "restoring", "draining",
                                                        "pending", "dumping", "deleting", "verifying"};
    constexpr std::array<std::string_view, 5> kFailed{"failed", "quarantined", "lost", "cancelled", "expired"};
    if (among(kWell, word)) return Colour::green;
    if (among(kUnderWay, word)) return Colour::yellow;
    return among(kFailed, word) ? Colour::red : Colour::plain;
}

int terminal_columns(int fd)
{
    constexpr int kUsual = 80;
    const int columns = size_of(fd).ws_col;
    return columns > 0 ? columns : kUsual;
}

int terminal_lines(int fd)
{
    constexpr int kUsual = 24;
    const int lines = size_of(fd).ws_row;
    return lines > 0 ? lines : kUsual;
}

}  // namespace warmd::client
