#pragma once

#include <cstdint>

namespace warmd {

/// What the kernel says of this process.
struct ProcessFigures {
    std::uint64_t resident_bytes = 0;
    int open_fds = 0;
    int threads = 0;
    double start_time = 0;   // seconds since 1970
    double cpu_seconds = 0;  // user and system
};

/// Throws Error{internal} when /proc cannot be read.
ProcessFigures process_figures();

}  // namespace warmd
