#pragma once

#include <optional>
#include <string>

#include "daemon/base/clock.h"
#include "daemon/base/id.h"

namespace warmd::client {

/// What `podman container restore --import` does with a tarball of warmd's: for comparisons.
class PodmanRestore {
public:
    /// Why it cannot be tried on this machine; nothing when it can.
    static std::optional<std::string> obstacle(const CheckpointId& checkpoint);

    /// Restores a container with a name of its own, by running podman to its end. Throws Error, with what it left
    /// behind removed.
    explicit PodmanRestore(const CheckpointId& checkpoint);
    /// Removes the container; says so on standard error when that fails.
    ~PodmanRestore();
    PodmanRestore(const PodmanRestore&) = delete;
    PodmanRestore& operator=(const PodmanRestore&) = delete;

    [[nodiscard]] Duration elapsed() const noexcept { return elapsed_; }

private:
    void remove() const noexcept;

    std::string name_;
    Duration elapsed_{};
};

}  // namespace warmd::client
