#pragma once

#include <optional>
#include <string>
#include <utility>

namespace warmd {

/// The first two numbers of a version: "6.18.5-cloud" is {6, 18}, "5.1" {5, 1}, "5" {5, 0}. Nothing for another text.
std::optional<std::pair<int, int>> version_numbers(const std::string& text);

/// Why this version of CRIU does not work with this kernel; nothing when no reason is known. Unknown versions have
/// none. Sources: https://github.com/checkpoint-restore/criu/issues/2705 (Linux 6.16) and 2532 (Linux 6.13).
std::optional<std::string> known_conflict(const std::string& kernel, const std::string& criu);

}  // namespace warmd
