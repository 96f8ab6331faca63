#pragma once

#include <string>
#include <string_view>

#include "daemon/base/clock.h"

namespace warmd {

enum class PrimingState { off, pending, running, done, failed };
std::string_view to_string(PrimingState state);

/// The cycle of a tiny container that warmd lets go first after each boot of the machine.
struct Priming {
    PrimingState state = PrimingState::off;  // off: nothing to do it with
    Duration elapsed{};                      // of the cycle, once it has ended
    std::string reason;                      // why it failed
};

}  // namespace warmd
