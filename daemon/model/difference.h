#pragma once

#include <string>
#include <vector>

namespace warmd {

/// One thing in which the host that a checkpoint was made on and this one differ.
struct Difference {
    std::string field;     // a member of Checkpoint::environment, or image_id
    std::string recorded;  // of cpu_flags only those that this host lacks
    std::string here;      // empty: it is not here
    bool blocks = false;   // a restore would fail, or restore something broken
    std::string why;       // what follows from it, for people

    bool operator==(const Difference&) const = default;
};

/// True when none of them keeps a checkpoint from being restored.
bool fits(const std::vector<Difference>& differences);

/// "criu 4.2 (here 4.1)".
std::string describe(const Difference& difference);
/// Those that block: "criu 4.2 (here 4.1), runtime crun (here runc)". Empty when none does.
std::string describe_blocking(const std::vector<Difference>& differences);

}  // namespace warmd
