#include "daemon/model/difference.h"

#include <algorithm>

namespace warmd {

bool fits(const std::vector<Difference>& differences)
{
    return std::none_of(differences.begin(), differences.end(), [](const Difference& one) { return one.blocks; });
}

std::string describe(const Difference& difference)
{
    const bool hash = difference.field == "image_id";
    constexpr std::size_t kShortHash = 12;
    return difference.field + " " + (hash ? difference.recorded.substr(0, kShortHash) : difference.recorded) +
           (difference.here.empty() ? " (not here)" : " (here " + difference.here + ")");
}

std::string describe_blocking(const std::vector<Difference>& differences)
{
    std::string text;
    for (const Difference& one : differences) {
        if (one.blocks) text += (text.empty() ? "" : ", ") + describe(one);
    }
    return text;
}

}  // namespace warmd
