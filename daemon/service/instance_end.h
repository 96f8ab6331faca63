#pragma once

#include <optional>
#include <string>

#include "daemon/base/clock.h"
#include "daemon/catalog/catalog.h"
#include "daemon/ports/container_engine.h"

namespace warmd {

/// Removes the instance's container, by name, so that one whose id was never learnt goes too, and records
/// the instance as terminated. Idempotent. Throws what the engine or the catalog throws; the instance then
/// keeps its state, and recovery will find it.
void end_instance(Catalog& catalog, ContainerEngine& engine, const Clock& clock, Instance& instance,
                  const std::string& reason);

/// As `end_instance`, for undoing: problems are logged, nothing is thrown.
void end_instance_quietly(Catalog& catalog, ContainerEngine& engine, const Clock& clock, Instance& instance,
                          const std::string& reason) noexcept;

/// What became of a container of which a process was found to be gone: the engine may need a moment to notice
/// its end. Still `running` when it was another process. Throws what the engine throws.
std::optional<ContainerInfo> inspect_ended(ContainerEngine& engine, const ContainerId& container);

}  // namespace warmd
