#pragma once

#include <string>
#include <string_view>

namespace warmd::client {

enum class ColourMode { automatic, always, never };
enum class Colour { plain, bold, dim, red, green, yellow };

/// What the environment says of terminals: https://no-color.org, and TERM.
struct TerminalEnvironment {
    bool no_color = false;  // NO_COLOR is set and not empty
    bool dumb = false;      // TERM is "dumb" or not set

    static TerminalEnvironment read();
};

/// Whether to write colours to a stream. The command line decides before the environment does.
bool use_colour(ColourMode mode, bool is_terminal, const TerminalEnvironment& environment);
/// Whether lines can be drawn anew in place.
bool can_redraw(bool is_terminal, const TerminalEnvironment& environment);

/// `text` in `colour` when `enabled`, otherwise as it is.
std::string paint(bool enabled, Colour colour, std::string_view text);
/// The colour of a state of anything: green for what is well, yellow for what is on its way, red for what failed.
Colour colour_of_state(std::string_view word);

/// The width of the terminal at `fd` in columns; 80 where that is not known.
int terminal_columns(int fd);
/// The height in lines; 24 where that is not known.
int terminal_lines(int fd);

}  // namespace warmd::client
