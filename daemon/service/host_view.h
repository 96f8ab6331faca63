#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "daemon/base/clock.h"
#include "daemon/base/guarded.h"
#include "daemon/catalog/catalog.h"
#include "daemon/model/checkpoint.h"
#include "daemon/model/difference.h"
#include "daemon/model/portability.h"
#include "daemon/ports/container_engine.h"

namespace warmd {

/// This host as warmd last saw it, and which checkpoints fit it. Asking the engine about itself takes tens of
/// milliseconds, so that is done in the background and kept; images are looked for one by one, which takes one or two.
/// Thread-safe.
class HostView {
public:
    HostView(ContainerEngine& engine, Clock& clock) : engine_{engine}, clock_{clock} {}

    /// Asks the engine and remembers the answer. Throws what the engine throws.
    Environment ask();

    /// As `ask`, unless that was done a few minutes ago; and looks for the images of all available checkpoints. Logs
    /// what the engine throws.
    void refresh(const Catalog& catalog) noexcept;
    /// Something went wrong in a way that a change of the host explains: the next `refresh` asks.
    void doubt();

    /// From what is known, without a call to the engine. What is not known yet is no difference.
    [[nodiscard]] std::vector<Difference> differences(const Checkpoint& checkpoint) const;
    [[nodiscard]] bool fits(const Checkpoint& checkpoint) const { return warmd::fits(differences(checkpoint)); }

    /// As `differences`, after looking for the checkpoint's image: one call to the engine, whose errors it throws.
    std::vector<Difference> look(const Checkpoint& checkpoint);

    /// Throws Error{incompatible_host} unless the checkpoint fits, after a `look`. `force`: what differs is logged
    /// instead; but a missing image cannot be done without.
    void require(const Checkpoint& checkpoint, bool force);

private:
    struct Seen {
        Environment environment;  // empty: the engine has not been asked
        std::optional<SteadyTime> asked_at;
        std::map<std::string, bool> images;  // by id: in local storage
    };

    bool look_for(const std::string& image_id);

    ContainerEngine& engine_;
    Clock& clock_;
    Guarded<Seen> seen_;
};

/// What `HostView::require` throws.
Error incompatible_host(const Checkpoint& checkpoint, const std::vector<Difference>& differences);

}  // namespace warmd
