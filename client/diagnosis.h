#pragma once

#include <string>
#include <vector>

#include "api/contract/documents.h"
#include "daemon/model/lease.h"
#include "daemon/model/operation.h"
#include "daemon/model/pool.h"

namespace warmd::client {

/// What the daemon knows of one template and its pool. Lists are newest first and of this template alone.
struct PoolFacts {
    PoolStatus pool;
    std::string digest;  // of the template as it is now
    std::vector<contract::CheckpointHere> checkpoints;
    std::vector<Operation> operations;
    std::vector<Lease> leases;
};

/// Whether a lease would be served from the pool now, and if not what stands in its way.
struct Diagnosis {
    bool served = false;
    std::string cause;
    std::string detail;  // the words of whoever failed; empty when nobody did
    std::string next;    // a command, or what to change
};

Diagnosis diagnose(const PoolFacts& facts);

}  // namespace warmd::client
