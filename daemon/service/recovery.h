#pragma once

#include <functional>
#include <vector>

#include "daemon/base/clock.h"
#include "daemon/catalog/catalog.h"
#include "daemon/ports/container_engine.h"
#include "daemon/store/tarball_store.h"

namespace warmd {

/// What was made again because the catalog did not know of it.
struct Recovered {
    std::vector<CheckpointId> checkpoints;
};

/// Makes catalog, store and containers agree after a crash. Call before the first operation; idempotent, so
/// that a crash in the middle is mended by the next start. The part that needs no engine:
///  - unfinished operations become failed, `interrupted`;
///  - checkpoints that were being made become failed, those being deleted are deleted, and the files of neither stay;
///    those whose tarball is missing or of another size become quarantined;
///  - an available checkpoint without an intact manifest gets one from its row. Where both are there and differ, the
///    manifest counts, because it has a sum and the row has none;
///  - a tarball with an intact manifest and no row gets its row from that: available, or quarantined when its size is
///    another. That is how a lost catalog is made again;
///  - a manifest without row and tarball is what an interrupted deletion leaves, and is removed;
///  - a tarball without row and intact manifest is reported and left alone: it may be the only copy of something;
///  - unpacked images that belong to no available checkpoint are dropped.
Recovered recover_catalog(Catalog& catalog, TarballStore& store, const Clock& clock);

/// What is repeated of it while warmd runs: checkpoints that are being made though no operation is at work on them (it
/// could not record how that ended) become failed. What cannot be mended now is tried again the next time. `in_work`:
/// of the checkpoint. Throws what the catalog throws when it cannot be read.
void reconcile_checkpoints(Catalog& catalog, TarballStore& store,
                           const std::function<bool(const CheckpointId&)>& in_work);

/// An instance whose container does not run, or that is half made or half ended with nobody at work on it, is
/// terminated and its container removed. `in_work`: an operation is at work on the instance, hands off. Throws what the
/// engine throws.
void reconcile_instance(Catalog& catalog, ContainerEngine& engine, const Clock& clock, const InstanceId& id,
                        const std::function<bool(const InstanceId&)>& in_work);

/// The part that does, and that is repeated while warmd runs: the above for all instances; and containers that carry
/// both warmd's name and its label and have no live instance are removed.
void reconcile_instances(Catalog& catalog, ContainerEngine& engine, const Clock& clock,
                         const std::function<bool(const InstanceId&)>& in_work);

}  // namespace warmd
