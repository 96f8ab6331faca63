#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "daemon/base/clock.h"
#include "daemon/base/id.h"
#include "daemon/model/checkpoint.h"

namespace warmd {

/// How many checkpoints are kept, of one template or of all together. What is not set is no bound.
struct RetentionPolicy {
    std::optional<int> max_count;  // pinned ones are not counted
    std::optional<std::uint64_t> max_total_bytes;
    std::optional<Duration> ttl;  // since the last use, or since it was made

    [[nodiscard]] bool bounds() const { return max_count || max_total_bytes || ttl; }
};

/// Why a checkpoint was deleted.
enum class DeletionReason {
    expired,           // its ttl
    superseded,        // there are newer ones: max_count, or what a prune keeps
    earlier_template,  // its template has changed, and has a checkpoint of its present form
    over_size,         // max_total_bytes; it was used longest ago
    failed,            // it never became available
    quarantined,       // its tarball is not what it should be
    requested,         // somebody named it
};
std::string_view to_string(DeletionReason reason);
std::optional<DeletionReason> deletion_reason_from_string(std::string_view text);

/// A checkpoint that goes or has gone.
struct Deletion {
    CheckpointId checkpoint;
    TemplateName template_name;
    CheckpointState state = CheckpointState::available;  // before it went
    std::uint64_t size_bytes = 0;                        // of its tarball
    Time created_at;
    DeletionReason reason = DeletionReason::requested;
};

/// What to prune.
struct PruneRequest {
    int keep = 1;                    // how many of each template stay
    std::vector<CheckpointId> only;  // none but these; empty: whatever can go
};

/// What takes the store's space.
struct StoreUsage {
    struct Entry {
        TemplateName template_name;
        int checkpoints = 0;  // in every state
        int pinned = 0;
        std::uint64_t tarball_bytes = 0;
        std::uint64_t unpacked_bytes = 0;
        std::uint64_t reclaimable_bytes = 0;  // of tarballs that a prune would delete
    };
    std::vector<Entry> templates;  // by name
    std::uint64_t free_bytes = 0;
    std::uint64_t total_bytes = 0;
    std::uint64_t min_free_bytes = 0;  // that no checkpoint may take
    std::uint64_t reserved_bytes = 0;  // for those that are being made, and not written yet
};

}  // namespace warmd
