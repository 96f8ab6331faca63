#pragma once

#include <vector>

#include "daemon/base/guarded.h"
#include "daemon/base/unique_fd.h"

namespace warmd {

/// Carries signals from any thread to the one that waits for a command. Thread-safe.
class ExecSignals {
public:
    /// Throws Error when there is no descriptor for it.
    ExecSignals();

    void send(int number);
    /// Wakes the waiting thread without a signal.
    void wake() const noexcept;

    /// Readable when there is something to take, or after `wake`. Owned by this.
    [[nodiscard]] int descriptor() const { return event_.get(); }
    /// What was sent since the last time, in order. Makes the descriptor quiet again.
    std::vector<int> take();

private:
    UniqueFd event_;
    Guarded<std::vector<int>> pending_;
};

}  // namespace warmd
