#include "daemon/service/retention_plan.h"

#include <algorithm>
#include <functional>
#include <set>
#include <tuple>

namespace warmd {

namespace {

Time last_use(const StoredCheckpoint& checkpoint)
{
    return std::max(checkpoint.created_at, checkpoint.used_at.value_or(checkpoint.created_at));
}

bool holds_space(const StoredCheckpoint& checkpoint)
{
    return checkpoint.state == CheckpointState::available || checkpoint.state == CheckpointState::quarantined;
}

/// Decides one reason after the other, and remembers what has been decided.
class Planner {
public:
    explicit Planner(const RetentionSituation& situation) : situation_{situation}
    {
        for (const StoredCheckpoint& one : situation.checkpoints) newest_first_.push_back(&one);
        std::sort(newest_first_.begin(), newest_first_.end(), [](const auto* a, const auto* b) {
            return std::tie(a->created_at, a->id) > std::tie(b->created_at, b->id);
        });
        std::map<TemplateName, const StoredCheckpoint*> best;
        for (const StoredCheckpoint* const one : newest_first_) {
            if (one->state != CheckpointState::available) continue;
            const StoredCheckpoint*& found = best[one->template_name];
            if (found == nullptr || rank(*one) > rank(*found)) found = one;
        }
        for (const auto& [name, one] : best) best_.insert(one);
    }

    std::vector<Deletion> plan()
    {
        if (situation_.keep) prune(*situation_.keep);
        for (const StoredCheckpoint* const one : newest_first_) {
            const auto ttl = ttl_of(one->template_name);
            if (ttl && holds_space(*one) && situation_.now - last_use(*one) >= *ttl)
                drop(*one, DeletionReason::expired);
        }
        for (const auto& [name, policy] : situation_.policies) {
            bound(policy, [&name = name](const TemplateName& of) { return of == name; });
        }
        bound(situation_.all, [](const TemplateName&) { return true; });
        std::vector<Deletion> deletions;
        for (const StoredCheckpoint* const one : newest_first_) {
            if (const auto reason = dropped_.find(one); reason != dropped_.end()) {
                deletions.push_back({.checkpoint = one->id,
                                     .template_name = one->template_name,
                                     .state = one->state,
                                     .size_bytes = one->bytes,
                                     .created_at = one->created_at,
                                     .reason = reason->second});
            }
        }
        return deletions;
    }

private:
    using Which = std::function<bool(const TemplateName&)>;

    static int rank(const StoredCheckpoint& one) { return one.current ? 1 + static_cast<int>(one.fits) : 0; }

    [[nodiscard]] bool may_go(const StoredCheckpoint& one) const
    {
        const bool finished = holds_space(one) || one.state == CheckpointState::failed;
        return finished && !one.pinned && !one.in_use && !best_.contains(&one) && !dropped_.contains(&one);
    }

    void drop(const StoredCheckpoint& one, DeletionReason reason)
    {
        if (may_go(one)) dropped_.emplace(&one, reason);
    }

    [[nodiscard]] std::optional<Duration> ttl_of(const TemplateName& name) const
    {
        const auto found = situation_.policies.find(name);
        if (found != situation_.policies.end() && found->second.ttl) return found->second.ttl;
        return situation_.all.ttl;
    }

    void prune(int keep)
    {
        std::set<TemplateName> has_current;
        for (const StoredCheckpoint* const one : newest_first_) {
            if (one->state == CheckpointState::available && one->current) has_current.insert(one->template_name);
        }
        std::map<TemplateName, int> kept;
        for (const StoredCheckpoint* const one : newest_first_) {
            if (one->state == CheckpointState::failed) {
                drop(*one, DeletionReason::failed);
            } else if (one->state == CheckpointState::quarantined) {
                drop(*one, DeletionReason::quarantined);
            } else if (one->state == CheckpointState::available && !one->pinned) {
                if (!one->current && has_current.contains(one->template_name)) {
                    drop(*one, DeletionReason::earlier_template);
                } else if (kept[one->template_name]++ >= keep) {
                    drop(*one, DeletionReason::superseded);
                }
            }
        }
    }

    void bound(const RetentionPolicy& policy, const Which& which)
    {
        const bool one_more = situation_.incoming && which(situation_.incoming->template_name);
        if (policy.max_count) {
            int count = one_more ? 1 : 0;
            for (const StoredCheckpoint* const one : newest_first_) {
                const bool counts = which(one->template_name) && one->state == CheckpointState::available &&
                                    !one->pinned && !dropped_.contains(one);
                if (counts && ++count > *policy.max_count) drop(*one, DeletionReason::superseded);
            }
        }
        if (policy.max_total_bytes)
            keep_size(*policy.max_total_bytes, one_more ? situation_.incoming->bytes : 0, which);
    }

    void keep_size(std::uint64_t most, std::uint64_t bytes, const Which& which)
    {
        std::vector<const StoredCheckpoint*> candidates;
        for (const StoredCheckpoint* const one : newest_first_) {
            if (!which(one->template_name) || !holds_space(*one) || dropped_.contains(one)) continue;
            bytes += one->bytes;
            if (may_go(*one)) candidates.push_back(one);
        }
        std::sort(candidates.begin(), candidates.end(), [](const auto* a, const auto* b) {
            const auto key = [](const StoredCheckpoint& one) {
                return std::make_tuple(one.state == CheckpointState::available, last_use(one), one.created_at, one.id);
            };
            return key(*a) < key(*b);
        });
        for (const StoredCheckpoint* const one : candidates) {
            if (bytes <= most) return;
            drop(*one, DeletionReason::over_size);
            bytes -= one->bytes;
        }
    }

    const RetentionSituation& situation_;
    std::vector<const StoredCheckpoint*> newest_first_;
    std::set<const StoredCheckpoint*> best_;  // one of each template
    std::map<const StoredCheckpoint*, DeletionReason> dropped_;
};

}  // namespace

std::vector<Deletion> plan_retention(const RetentionSituation& situation) { return Planner{situation}.plan(); }

}  // namespace warmd
