#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "daemon/base/clock.h"

namespace warmd {

/// How a program ended.
struct ProgramResult {
    int exit_status = 0;  // 128 + N for the signal N
    std::string out;      // its standard output, what fitted into the limit
    std::string errors;   // the end of its standard error
};

/// Runs `command`, a program in PATH and its arguments, without a shell, and waits for its end. Its standard input is
/// empty. `limit`: bytes of standard output that are kept; more is an Error{too_large}. Once `stop` is requested it is
/// told to end, and killed when it does not, with whatever it has started in its process group: Error{cancelled}.
/// Throws Error{not_found} when there is no such program. Blocks.
ProgramResult run_program(const std::vector<std::string>& command, std::size_t limit, const std::stop_token& stop = {});

}  // namespace warmd
