#include "client/prune_plan.h"

#include <algorithm>

namespace warmd::client {

std::vector<Prunable> plan_prune(const std::vector<Checkpoint>& checkpoints,
                                 const std::map<TemplateName, std::string>& digests,
                                 const std::set<CheckpointId>& in_use, int keep)
{
    std::vector<Checkpoint> newest_first = checkpoints;
    std::stable_sort(newest_first.begin(), newest_first.end(),
                     [](const Checkpoint& a, const Checkpoint& b) { return a.created_at > b.created_at; });
    const auto current = [&digests](const Checkpoint& checkpoint) {
        const auto digest = digests.find(checkpoint.template_name);
        return digest != digests.end() && digest->second == checkpoint.template_digest;
    };
    std::set<TemplateName> has_current;
    for (const Checkpoint& checkpoint : newest_first) {
        if (checkpoint.state == CheckpointState::available && current(checkpoint)) {
            has_current.insert(checkpoint.template_name);
        }
    }
    std::map<TemplateName, int> kept;
    std::vector<Prunable> plan;
    for (const Checkpoint& checkpoint : newest_first) {
        std::string why;
        if (checkpoint.state == CheckpointState::failed || checkpoint.state == CheckpointState::quarantined) {
            why = std::string{to_string(checkpoint.state)};
        } else if (checkpoint.state == CheckpointState::available) {
            if (!current(checkpoint) && has_current.count(checkpoint.template_name) > 0) why = "of an earlier template";
            else if (kept[checkpoint.template_name]++ >= keep) why = "superseded";
        }
        if (!why.empty() && in_use.count(checkpoint.id) == 0) plan.push_back({checkpoint, std::move(why)});
    }
    return plan;
}

std::set<CheckpointId> newest_fitting(const std::vector<contract::CheckpointHere>& newest_first,
                                      const std::map<TemplateName, std::string>& digests)
{
    std::set<TemplateName> found;
    std::set<CheckpointId> newest;
    for (const contract::CheckpointHere& one : newest_first) {
        const auto digest = digests.find(one.template_name);
        const bool current = digest != digests.end() && digest->second == one.template_digest;
        if (one.state != CheckpointState::available || !current || !fits(one.differences)) continue;
        if (found.insert(one.template_name).second) newest.insert(one.id);
    }
    return newest;
}

std::uint64_t total_bytes(const std::vector<Prunable>& plan)
{
    std::uint64_t bytes = 0;
    for (const Prunable& entry : plan) bytes += entry.checkpoint.size_bytes;
    return bytes;
}

}  // namespace warmd::client
