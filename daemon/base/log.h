#pragma once

#include <string_view>

namespace warmd {

/// Sets up the default logger of spdlog: to journald when systemd started this process (JOURNAL_STREAM),
/// otherwise to standard error. `level` is one of trace, debug, info, warning, error. Throws
/// Error{invalid_argument} for another. Call once, before the first thread.
void set_up_logging(std::string_view level);

}  // namespace warmd
