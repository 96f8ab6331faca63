#pragma once

#include <optional>
#include <string>

#include "daemon/base/clock.h"

namespace warmd::client {

/// What one `warmctl run` did, for whoever adds up the time that warm instances save.
struct RunRecord {
    std::string template_name;
    std::string path;              // "pool", "linked", ...; "here": on this machine; empty: the command was not started
    std::optional<Duration> wait;  // until the command was started, or until it was given up and run on this machine
    std::optional<int> exit_status;  // nothing with "here": that program has one, which nobody here sees
};

/// Appends `record` as one line of JSON to the file that WARMD_RUN_LOG names; does nothing without. Lines of programs
/// that write at the same time do not mix. What the log is for is not worth a failed job: when the line cannot be
/// written, that is said on standard error.
void log_run(const RunRecord& record) noexcept;

}  // namespace warmd::client
