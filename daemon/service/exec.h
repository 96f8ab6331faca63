#pragma once

#include <map>
#include <memory>
#include <stop_token>

#include "daemon/base/clock.h"
#include "daemon/base/guarded.h"
#include "daemon/catalog/catalog.h"
#include "daemon/ports/container_engine.h"
#include "daemon/service/templates.h"

namespace warmd {

/// Runs commands in instances. Several may run in one at the same time. Thread-safe.
class Exec {
public:
    Exec(Catalog& catalog, ContainerEngine& engine, Clock& clock, const Templates& templates)
        : catalog_{catalog}, engine_{engine}, clock_{clock}, templates_{templates}
    {
    }

    /// A command that has been let in: while this lives, the instance is not checkpointed.
    class Admission {
    public:
        Admission(Exec& exec, InstanceId id);
        ~Admission();
        Admission(const Admission&) = delete;
        Admission& operator=(const Admission&) = delete;

    private:
        Exec& exec_;
        InstanceId id_;
    };

    /// Throws Error{not_found}, Error{conflict} unless the instance is idle or leased.
    std::unique_ptr<Admission> admit(const InstanceId& id);

    /// See ContainerEngine::exec. An instance whose container turns out to be gone is terminated.
    ExecResult run(const InstanceId& id, const ExecRequest& request, const ExecOutput& output, std::stop_token stop);

    /// True while a command runs in the instance.
    [[nodiscard]] bool busy(const InstanceId& id) const;

private:
    Catalog& catalog_;
    ContainerEngine& engine_;
    Clock& clock_;
    const Templates& templates_;
    Guarded<std::map<InstanceId, int>> running_;
};

}  // namespace warmd
