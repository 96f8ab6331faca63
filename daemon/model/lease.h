#pragma once

#include <optional>
#include <string>

#include "daemon/base/clock.h"
#include "daemon/base/id.h"
#include "daemon/model/instance.h"

namespace warmd {

enum class LeaseState { active, released, expired, lost };  // lost: the instance ended by itself
std::string_view to_string(LeaseState state);
std::optional<LeaseState> lease_state_from_string(std::string_view text);

/// One client's exclusive hold on one instance. Ends by release, or by itself when `ttl` has passed since the last
/// heartbeat; the instance ends with it and is never used again.
struct Lease {
    LeaseId id;
    TemplateName template_name;
    InstanceId instance;
    LeaseState state = LeaseState::active;
    InstancePath path = InstancePath::pool;
    Duration ttl = std::chrono::minutes{1};
    Time created_at;
    Time expires_at;
    std::optional<Time> ended_at;
    Duration elapsed{};  // from the request to the lease
};

}  // namespace warmd
