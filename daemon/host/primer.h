#pragma once

#include <filesystem>
#include <stop_token>

#include "daemon/base/guarded.h"
#include "daemon/host/probe.h"
#include "daemon/model/priming.h"

namespace warmd {

/// Runs the probe once per boot of this machine, so that its costs are nobody's. Thread-safe.
class Primer {
public:
    /// `record`: the file that says in which boot it was done. An empty path: it is off. `probe` must outlive this.
    Primer(Probe& probe, std::filesystem::path record);

    [[nodiscard]] Priming status() const;
    [[nodiscard]] bool due() const { return status().state == PrimingState::pending; }

    /// Does what is due. A failure is logged and in `status`, and not tried again by this process.
    void run(const std::stop_token& stop) noexcept;

private:
    Probe& probe_;
    const std::filesystem::path record_;
    Guarded<Priming> status_;
};

}  // namespace warmd
