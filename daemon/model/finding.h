#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace warmd {

enum class FindingStatus {
    ok,
    advice,   // it works, and would work better
    problem,  // warmd cannot do its work, or not for long
    skipped,  // could not be looked at; `found` says why
};
std::string_view to_string(FindingStatus status);
std::optional<FindingStatus> finding_status_from_string(std::string_view text);

/// What one look at this machine has shown.
struct Finding {
    std::string check;  // a stable name: "cgroups"
    FindingStatus status = FindingStatus::ok;
    std::string found;  // what is so
    std::string why;    // why it matters
    std::string fix;    // the next step, a command where one does it; empty when there is nothing to do
    bool operator==(const Finding&) const = default;
};

using Findings = std::vector<Finding>;

/// The worst of them: `problem`, otherwise `advice`, otherwise `ok`.
FindingStatus worst(const Findings& findings);

}  // namespace warmd
