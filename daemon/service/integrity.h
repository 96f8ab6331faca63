#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <vector>

#include "daemon/base/clock.h"
#include "daemon/base/guarded.h"
#include "daemon/catalog/catalog.h"
#include "daemon/service/operations.h"
#include "daemon/service/quarantine.h"
#include "daemon/service/restore.h"
#include "daemon/store/tarball_store.h"

namespace warmd {

/// How a look at a stored checkpoint ended.
enum class Verdict { intact, damaged, failed };  // failed: it could not be looked at
std::string_view to_string(Verdict verdict);

/// When the checkpoint was verified, or else made.
Time last_look(const Checkpoint& checkpoint);

/// Reads stored checkpoints and compares them with what was stored: when somebody asks, and in the background whatever
/// has not been looked at for long. Thread-safe.
class Integrity {
public:
    struct Hooks {
        std::function<bool()> busy;             // operations run: the background waits
        std::function<void(Verdict)> verified;  // told of each look
    };

    /// `every`: how old a look may become; zero: nothing is looked at because of its age.
    Integrity(Catalog& catalog, TarballStore& store, Clock& clock, Quarantine& quarantine, Restore& restore,
              Duration every, Hooks hooks)
        : catalog_{catalog},
          store_{store},
          clock_{clock},
          quarantine_{quarantine},
          restore_{restore},
          every_{every},
          hooks_{std::move(hooks)}
    {
    }

    /// Reads the tarball, and the unpacked images, which are dropped if they are not what was unpacked; with
    /// `by_restore` also restores a copy (Restore::try_out). Then the checkpoint is verified as of now. Throws
    /// Error{corrupt} after putting it into quarantine; Error{not_ready} likewise, when the restored application does
    /// not run; and what keeps it from looking, which says nothing about the checkpoint: Error{conflict} unless it is
    /// available, and what the engine throws.
    void verify(const CheckpointId& id, bool by_restore, OperationRun& run);

    /// To be looked at in the background before all others, however old the last look is.
    void suspect(const std::vector<CheckpointId>& ids);

    /// Looks at one checkpoint after the other, those first that are suspect, then whose last look is oldest; at idle
    /// priority for the disk and the lowest for the processor, and not while operations run. Returns when `stop` is
    /// requested. Changes the priority of the calling thread.
    void keep(std::stop_token stop);

    /// The one that `keep` would take next; nothing while none is due.
    [[nodiscard]] std::optional<Checkpoint> next();

private:
    void read(const Checkpoint& checkpoint, const ReadPace& pace);
    void look(const Checkpoint& checkpoint, const std::stop_token& stop);

    struct Waiting {
        std::deque<CheckpointId> suspects;
        std::map<CheckpointId, Time> not_before;  // of those that could not be looked at
    };

    Catalog& catalog_;
    TarballStore& store_;
    Clock& clock_;
    Quarantine& quarantine_;
    Restore& restore_;
    const Duration every_;
    const Hooks hooks_;
    Guarded<Waiting> waiting_;
};

}  // namespace warmd
