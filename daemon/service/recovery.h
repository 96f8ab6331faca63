#pragma once

#include <functional>

#include "daemon/base/clock.h"
#include "daemon/catalog/catalog.h"
#include "daemon/ports/container_engine.h"
#include "daemon/store/tarball_store.h"

namespace warmd {

/// Makes catalog, store and containers agree after a crash. Call before the first operation; idempotent, so
/// that a crash in the middle is mended by the next start. The part that needs no engine:
///  - unfinished operations become failed, `interrupted`;
///  - checkpoints that were being made become failed, those being deleted are deleted, those whose tarball
///    is missing become quarantined;
///  - unpacked images that belong to no available checkpoint are dropped;
///  - files without a row are reported and left alone: they may be the only copy of something.
void recover_catalog(Catalog& catalog, TarballStore& store, const Clock& clock);

/// Repeated while warmd runs: checkpoints that an operation left in a passing state, because it could not even record
/// its failure, become failed or are deleted, as at a start. `in_work`: an operation is at work on the checkpoint,
/// hands off. What cannot be mended now is tried again the next time. Throws what the catalog throws when it cannot be
/// read.
void reconcile_checkpoints(Catalog& catalog, TarballStore& store,
                           const std::function<bool(const CheckpointId&)>& in_work);

/// The part that needs the engine, and that is repeated while warmd runs: instances whose container does not run, or
/// that are half made or half ended with nobody at work on them, are terminated and their containers
/// removed; so are containers that carry both warmd's name and its label and have no live instance.
/// `in_work`: an operation is at work on the instance, hands off. Throws what the engine throws.
void reconcile_instances(Catalog& catalog, ContainerEngine& engine, const Clock& clock,
                         const std::function<bool(const InstanceId&)>& in_work);

}  // namespace warmd
