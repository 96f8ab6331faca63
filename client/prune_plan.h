#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "api/contract/documents.h"

namespace warmd::client {

/// A checkpoint that nobody will miss, and why.
struct Prunable {
    Checkpoint checkpoint;
    std::string why;
};

/// Those of `checkpoints` that failed or are quarantined, and the available ones that are superseded: of each template
/// the newest `keep` of its current form (`digests`) stay, and where none is of that form the newest `keep` of all.
/// What `in_use` names stays whatever it is. Newest first, as the list is.
std::vector<Prunable> plan_prune(const std::vector<Checkpoint>& checkpoints,
                                 const std::map<TemplateName, std::string>& digests,
                                 const std::set<CheckpointId>& in_use, int keep);

/// Of each template the newest of its current form that fits the daemon's host: newer ones may not.
std::set<CheckpointId> newest_fitting(const std::vector<contract::CheckpointHere>& newest_first,
                                      const std::map<TemplateName, std::string>& digests);

std::uint64_t total_bytes(const std::vector<Prunable>& plan);

}  // namespace warmd::client
