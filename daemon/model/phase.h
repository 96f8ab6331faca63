#pragma once

#include <string>
#include <vector>

#include "daemon/base/clock.h"

namespace warmd {

/// One timed step of a longer action: "start", "initialise", "ready", "export", ...
struct Phase {
    std::string name;
    Time started_at;
    Duration elapsed{};
    bool operator==(const Phase&) const = default;
};

using Phases = std::vector<Phase>;

}  // namespace warmd
