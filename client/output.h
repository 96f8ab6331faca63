#pragma once

#include <exception>
#include <string>
#include <vector>

#include "client/terminal.h"
#include "daemon/base/clock.h"
#include "daemon/base/error.h"
#include "daemon/base/json.h"
#include "daemon/model/phase.h"

namespace warmd::client {

/// How to talk: data goes to standard output, talk to standard error.
struct Output {
    bool json = false;   // one JSON document a line instead of text
    bool quiet = false;  // no progress
    ColourMode colour = ColourMode::automatic;

    /// Whether to colour what goes to standard output or standard error (a file descriptor).
    [[nodiscard]] bool coloured(int fd) const;
    /// Whether standard error is a terminal on which a line can be drawn anew.
    [[nodiscard]] bool redraws() const;
    /// One line of talk on standard error, unless quiet.
    void say(const std::string& words) const;

    void print_line(const std::string& line) const;
    void print_json(const Json& document) const;
    /// Left-aligned columns. A first row in capitals is the heading; with colours, states have theirs.
    void print_table(const std::vector<std::vector<std::string>>& rows) const;
};

/// The lines of such a table.
std::vector<std::string> table_lines(const std::vector<std::vector<std::string>>& rows, bool coloured);

/// "45 ms", "3.2 s", "2 min 05 s"
std::string describe(Duration duration);
/// "361 kB", "1.2 GB": powers of a thousand
std::string describe_bytes(std::uint64_t bytes);
/// How long ago: "3 min", "2 h", "5 d"
std::string describe_age(Time then);

/// Phase names and times, a row each, for a table.
std::vector<std::vector<std::string>> phase_rows(const Phases& phases);

/// The next step after an error that does not say one itself; empty where there is none.
std::string usual_hint(ErrorCode code);

/// The error, its cause and the next step, on standard error. Control characters are made harmless.
void print_error(const std::exception& error, const Output& output);

}  // namespace warmd::client
