#include "daemon/model/finding.h"

#include "daemon/base/enum_names.h"

namespace warmd {

namespace {

constexpr EnumNames<FindingStatus, 4> kStatuses{{{{FindingStatus::ok, "ok"},
                                                  {FindingStatus::advice, "advice"},
                                                  {FindingStatus::problem, "problem"},
                                                  {FindingStatus::skipped, "skipped"}}}};

}  // namespace

std::string_view to_string(FindingStatus status) { return kStatuses.name(status); }
std::optional<FindingStatus> finding_status_from_string(std::string_view text) { return kStatuses.value(text); }

FindingStatus worst(const Findings& findings)
{
    FindingStatus result = FindingStatus::ok;
    for (const Finding& finding : findings) {
        if (finding.status == FindingStatus::problem) return FindingStatus::problem;
        if (finding.status == FindingStatus::advice) result = FindingStatus::advice;
    }
    return result;
}

}  // namespace warmd
