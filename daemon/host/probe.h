#pragma once

#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>

#include "daemon/base/clock.h"
#include "daemon/model/phase.h"
#include "daemon/ports/container_engine.h"

namespace warmd {

struct ProbeReport {
    Phases phases;  // import, start, checkpoint, restore
    std::uint64_t bytes = 0;
};

/// Makes a tiny container of a program of ours, dumps it, restores it and removes all of that again: the shortest proof
/// that this machine can do what warmd needs.
///
/// The first such cycle after a boot also takes upon itself what would slow down or fail the first restore: CRIU finds
/// out what the kernel can do and keeps it in /run (criu/kerndat.c), and the runtime loads the AppArmor profile,
/// without which a restore fails (https://github.com/containers/podman/issues/12437).
class Probe {
public:
    /// `program`: the agent, as it is installed. Both must outlive this.
    Probe(ContainerEngine& engine, Clock& clock, std::filesystem::path program)
        : engine_{engine}, clock_{clock}, program_{std::move(program)}
    {
    }

    /// False: there is no program, because warmd runs from where it was built.
    [[nodiscard]] bool possible() const { return std::filesystem::exists(program_); }

    /// Blocks for about a second, at worst for some minutes. One at a time on this machine: others wait for their turn.
    /// Throws Error that says which step failed; nothing of it is left in the engine.
    ProbeReport run(std::stop_token stop);

private:
    ContainerEngine& engine_;
    Clock& clock_;
    const std::filesystem::path program_;
};

}  // namespace warmd
