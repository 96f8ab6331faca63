#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/clock.h"

namespace warmd {

/// One command in an instance: a program, or code for its session. Exactly one of the two is set.
struct ExecRequest {
    std::vector<std::string> command;  // argv
    std::optional<std::string> code;   // for the warm session; needs an image with the agent
    std::map<std::string, std::string> env;
    std::string input;                // the program's standard input; code has none
    std::string workdir;              // empty: the container's own
    std::string user;                 // empty: the container's own
    std::optional<Duration> timeout;  // none: the template's
};

enum class ExecStream { out, err };

/// Takes the command's output as it appears. Throws to abandon the command, which is then killed.
using ExecOutput = std::function<void(ExecStream stream, std::string_view bytes)>;

/// Exit statuses follow Podman and env(1): the command's own; 124 for a timeout; 125 when warmd or Podman
/// failed; 126 and 127 when the command cannot run; 128 + n for signal n.
inline constexpr int kExitTimeout = 124;
inline constexpr int kExitEngineFailed = 125;
inline constexpr int kExitNotFound = 127;

/// How a command reached the instance.
enum class ExecPath { agent, podman };
std::string_view to_string(ExecPath path);
std::optional<ExecPath> exec_path_from_string(std::string_view text);

struct ExecResult {
    int exit_status = kExitEngineFailed;
    bool timed_out = false;
    bool session_ended = false;  // and the instance with it
    ExecPath path = ExecPath::podman;
    Duration elapsed{};
};

}  // namespace warmd
