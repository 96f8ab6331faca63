#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "daemon/base/clock.h"
#include "daemon/base/unique_fd.h"
#include "daemon/catalog/catalog.h"
#include "daemon/model/trust.h"
#include "daemon/service/operations.h"
#include "daemon/service/retention.h"
#include "daemon/service/templates.h"
#include "daemon/store/tarball_store.h"

namespace warmd {

/// A checkpoint that leaves: its tarball, open for reading.
struct Outgoing {
    Checkpoint checkpoint;
    UniqueFd tarball;
};

/// A checkpoint that comes: what its signed manifest says, and the tarball beside it, of which nothing is known yet.
struct Incoming {
    Checkpoint checkpoint;
    std::function<std::size_t(char* buffer, std::size_t size)> read;  // the tarball's next bytes; 0 at its end
};

/// Takes checkpoints from one host to another. What leaves is a tarball and a manifest that this host has signed; what
/// comes is taken from one directory of root's, when a key that this host trusts has signed it. Thread-safe.
class Transfer {
public:
    Transfer(Catalog& catalog, TarballStore& store, Clock& clock, Retention& retention, const Templates& templates,
             TrustOptions trust)
        : catalog_{catalog},
          store_{store},
          clock_{clock},
          retention_{retention},
          templates_{templates},
          trust_{std::move(trust)}
    {
    }

    /// Throws Error: `not_found`, `conflict` unless it is available, `corrupt` when the tarball is not there.
    [[nodiscard]] Outgoing open(const CheckpointId& id) const;
    /// Its manifest in an envelope that this host has signed. Throws as `open`, and Error{conflict} without a key.
    [[nodiscard]] std::string signed_manifest(const CheckpointId& id) const;

    /// Opens `name`.tar and reads `name`.manifest.json in the directory for imports: neither through a link, both
    /// root's and nobody else's to write. Throws Error: `untrusted` when imports are off, or for a manifest that nobody
    /// has signed whom this host trusts; `invalid_argument` for a name with anything but letters, digits, dots and
    /// dashes and for a damaged manifest; `not_found`; `forbidden` for files that others could change; `conflict` when
    /// the very checkpoint is in the catalog already.
    [[nodiscard]] Incoming receive(const std::string& name) const;

    /// What an envelope says that came from anywhere, as it would be here: it gets a new id when another checkpoint has
    /// its own. Throws Error: `untrusted`, `invalid_argument` and `conflict` as `receive`.
    [[nodiscard]] Checkpoint admit(std::string_view envelope) const;

    /// Copies the tarball into the store and looks at it meanwhile. On failure nothing is left but the failed row.
    /// Throws Error: `invalid_archive` when it is another tarball than the manifest's, or one that could harm this
    /// host; `no_space`; what `read` throws.
    Checkpoint take_in(const Incoming& incoming, OperationRun& run);

private:
    void copy(const Incoming& incoming, Checkpoint& checkpoint, SpaceLedger::Reservation& room, OperationRun& run);

    Catalog& catalog_;
    TarballStore& store_;
    Clock& clock_;
    Retention& retention_;
    const Templates& templates_;
    const TrustOptions trust_;
};

}  // namespace warmd
