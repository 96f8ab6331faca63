#pragma once

#include <string>

#include "daemon/base/clock.h"
#include "daemon/catalog/catalog.h"
#include "daemon/model/template.h"
#include "daemon/ports/container_engine.h"
#include "daemon/service/operations.h"

namespace warmd {

/// Starts an application in a container and waits until it is worth a checkpoint: the phases create, start,
/// init and ready.
class Warm {
public:
    Warm(Catalog& catalog, ContainerEngine& engine, Clock& clock) : catalog_{catalog}, engine_{engine}, clock_{clock} {}

    /// Returns an idle instance. On failure the container is gone and the instance terminated with the
    /// reason. Throws Error: `not_found` for the image, `not_ready` with the container's last words when a
    /// condition does not come true in its time or the application ends, or what the engine throws.
    Instance run(const Template& from, OperationRun& run);

private:
    void bring_up(const Template& from, Instance& instance, OperationRun& run);
    void wait_for(const char* phase, const Condition& condition, const WarmUp& warm_up, const ContainerId& container,
                  bool quiescence, OperationRun& run);
    [[nodiscard]] bool holds(const Condition& condition, const ContainerId& container, Duration patience,
                             OperationRun& run, std::string& last_words);
    [[nodiscard]] std::string describe_end(const ContainerId& container);

    Catalog& catalog_;
    ContainerEngine& engine_;
    Clock& clock_;
};

}  // namespace warmd
