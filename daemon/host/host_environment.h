#pragma once

#include "daemon/model/portability.h"
#include "daemon/ports/container_engine.h"

namespace warmd {

/// What a checkpoint taken here depends on, by name: podman, runtime, runtime_version, criu, kernel,
/// architecture, storage_driver, cpu_model, cpu_flags (sorted, separated by spaces) and xsave_size (bytes).
/// What is unknown is left out.
Environment host_environment(const EngineInfo& engine);

}  // namespace warmd
