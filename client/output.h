#pragma once

#include <exception>
#include <string>
#include <vector>

#include "daemon/base/clock.h"
#include "daemon/base/json.h"
#include "daemon/model/phase.h"

namespace warmd::client {

/// How to talk: data goes to standard output, talk to standard error.
struct Output {
    bool json = false;   // one JSON document a line instead of text
    bool quiet = false;  // no progress

    void print_line(const std::string& line) const;
    void print_json(const Json& document) const;
    /// Left-aligned columns; the first row is the heading.
    void print_table(const std::vector<std::vector<std::string>>& rows) const;
};

/// "45 ms", "3.2 s", "2 min 05 s"
std::string describe(Duration duration);
/// "361 kB", "1.2 GB": powers of a thousand
std::string describe_bytes(std::uint64_t bytes);
/// How long ago: "3 min", "2 h", "5 d"
std::string describe_age(Time then);

/// Phase names and times, a row each, for a table.
std::vector<std::vector<std::string>> phase_rows(const Phases& phases);

/// The error, its cause and the next step, on standard error. Control characters are made harmless.
void print_error(const std::exception& error);

}  // namespace warmd::client
