#pragma once

#include <string>
#include <string_view>

#include "daemon/base/clock.h"
#include "daemon/base/error.h"
#include "daemon/catalog/catalog.h"
#include "daemon/model/template.h"
#include "daemon/ports/container_engine.h"
#include "daemon/service/exec.h"
#include "daemon/service/operations.h"

namespace warmd {

/// Starts an application in a container and waits until it is worth a checkpoint: the phases create, start,
/// init and ready.
class Warm {
public:
    Warm(Catalog& catalog, ContainerEngine& engine, AgentChannel& agent, Clock& clock, Exec& exec)
        : catalog_{catalog}, engine_{engine}, agent_{agent}, clock_{clock}, exec_{exec}
    {
    }

    /// Returns an idle instance. On failure the container is gone and the instance terminated with the
    /// reason. Throws Error: `not_found` for the image, `not_ready` with the container's last words when a
    /// condition does not come true in its time or the application ends, or what the engine throws.
    /// `pooled`: see Instance.
    Instance run(const Template& from, OperationRun& run, bool pooled = false);

private:
    void bring_up(const Template& from, Instance& instance, OperationRun& run);
    void create(const Template& from, Instance& instance);
    /// Waits until the agent answers, and gives it the secrets that the application waits for.
    void start_through_agent(const Template& from, const Instance& instance, OperationRun& run);
    void wait_for(const char* phase, const Condition& condition, const WarmUp& warm_up, const Instance& instance,
                  bool quiescence, OperationRun& run);
    [[nodiscard]] bool holds(const Condition& condition, const Instance& instance, Duration patience, OperationRun& run,
                             std::string& last_words);
    [[nodiscard]] Error out_of_time(std::string_view phase, const std::string& last_words,
                                    const ContainerId& container);
    /// What the container is, for an error's cause. `ended`: one of its processes was found to be gone.
    [[nodiscard]] std::string describe(const ContainerId& container, bool ended);

    Catalog& catalog_;
    ContainerEngine& engine_;
    AgentChannel& agent_;
    Clock& clock_;
    Exec& exec_;
};

}  // namespace warmd
