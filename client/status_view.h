#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/contract/documents.h"

namespace warmd::client {

/// The status document as lines for people. Members that an older daemon does not have are left out.
/// `unready`: what /readyz said, when the daemon is not ready. Throws Error for what is no status document.
std::vector<std::string> status_lines(const Json& status, const std::optional<Error>& unready, bool coloured);

/// A heading and a row for each pool.
std::vector<std::vector<std::string>> pool_rows(const std::vector<PoolStatus>& pools);

/// The integer at `group`.`name`; nothing when it is not there.
std::optional<std::int64_t> status_number(const Json& status, const char* group, const char* name);

/// An event of the API as one line: when, what, and what became of it. Throws Error for what is no event.
std::string event_line(const Json& event);

}  // namespace warmd::client
