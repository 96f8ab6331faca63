#pragma once

#include <cstdint>

namespace warmd {

/// Bytes that the kernel could give out without swapping: MemAvailable of /proc/meminfo. Throws Error{internal} where
/// that cannot be read.
std::uint64_t available_memory();

}  // namespace warmd
