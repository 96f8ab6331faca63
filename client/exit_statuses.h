#pragma once

#include <array>

// The table that warmctl(1) and docs/warmctl.md have, in one place.

namespace warmd::client {

inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

struct ExitStatus {
    const char* number;
    const char* meaning;
};

inline constexpr std::array<ExitStatus, 8> kExitStatuses{{
    {"0", "done"},
    {"1", "warmd refused or failed; `why`: a lease would not be served from the pool now"},
    {"2", "the command line is wrong, or something must be confirmed with --yes"},
    {"124", "`exec`, `run`: the command took too long and was killed"},
    {"125", "`exec`, `run`: warmd failed (a command can end with this as well)"},
    {"126, 127", "`exec`, `run`: the command cannot be run, or there is no such command"},
    {"130", "interrupted; an operation that was waited for goes on"},
    {"other", "`exec`, `run`: the command's own; 128 + n when signal n ended it"},
}};

struct Variable {
    const char* name;
    const char* meaning;
};

inline constexpr std::array<Variable, 6> kVariables{{
    {"WARMD_HOST", "where the daemon listens: unix:///run/warmd/warmd.sock (the default) or tcp://127.0.0.1:8642"},
    {"WARMD_TOKEN", "the token for a daemon that is reached by TCP"},
    {"WARMD_TOKEN_FILE", "the file that has this token in its first line, when WARMD_TOKEN is not set"},
    {"WARMD_RUN_LOG", "a file to which `run` appends a line of JSON with what it did"},
    {"NO_COLOR", "when set, no colours unless --color=always"},
    {"TERM", "when dumb, neither colours nor lines that are drawn anew"},
}};

}  // namespace warmd::client
