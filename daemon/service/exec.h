#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "daemon/base/clock.h"
#include "daemon/base/guarded.h"
#include "daemon/catalog/catalog.h"
#include "daemon/ports/agent_channel.h"
#include "daemon/ports/container_engine.h"
#include "daemon/service/templates.h"

namespace warmd {

/// Runs commands in instances: through the agent where there is one, through Podman where not. Several may run in
/// one at the same time. Thread-safe.
class Exec {
public:
    /// Told of each command that has ended; of nothing when the agent or Podman failed.
    using Ended = std::function<void(const std::optional<ExecResult>&)>;

    Exec(
        Catalog& catalog, ContainerEngine& engine, AgentChannel& agent, Clock& clock, const Templates& templates,
        Ended ended = [](const std::optional<ExecResult>&) {})
        : catalog_{catalog},
          engine_{engine},
          agent_{agent},
          clock_{clock},
          templates_{templates},
          ended_{std::move(ended)}
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

    /// See ContainerEngine::exec and AgentChannel::exec; the result says which of them it was. The command gets the
    /// template's secrets for commands, which need the agent (Error{conflict} without). An instance whose
    /// container turns out to be gone, or whose session ends with the command, is terminated. `exec` is the name
    /// under which the command can be signalled meanwhile.
    ExecResult run(const InstanceId& id, const ExecId& exec, const ExecRequest& request, const ExecOutput& output,
                   std::stop_token stop);

    /// Sends a signal to a running command. Throws Error{not_found} when it does not run (any more) in that
    /// instance, Error{conflict} when it runs through Podman, which cannot signal a command.
    void signal(const InstanceId& id, const ExecId& exec, int number);

    /// As `run`, for what belongs to making or ending the instance: whatever its state, and what becomes of the
    /// instance is the caller's.
    ExecResult run_within(const Instance& instance, const ExecRequest& request, Duration timeout,
                          const ExecOutput& output, std::stop_token stop);

    /// Runs hooks in their order, with these variables. Throws Error{not_ready} with the hook's last words when one
    /// fails or takes too long.
    void run_hooks(const char* moment, const std::vector<Hook>& hooks, const Instance& instance,
                   const std::map<std::string, std::string>& env, std::stop_token stop);

    /// True while a command runs in the instance.
    [[nodiscard]] bool busy(const InstanceId& id) const;

private:
    /// A command that can be signalled.
    struct Running {
        InstanceId instance;
        ExecSignals signals;
        bool through_agent = false;
    };

    ExecResult run_with(const Instance& instance, const ExecRequest& request, bool with_secrets, Duration timeout,
                        const ExecOutput& output, ExecSignals& signals, std::stop_token stop);
    [[nodiscard]] bool goes_to_agent(const Instance& instance, const ExecRequest& request) const;

    Catalog& catalog_;
    ContainerEngine& engine_;
    AgentChannel& agent_;
    Clock& clock_;
    const Templates& templates_;
    const Ended ended_;
    Guarded<std::map<InstanceId, int>> running_;
    Guarded<std::map<ExecId, std::shared_ptr<Running>>> commands_;
};

/// Where the agent of an instance that has one listens.
AgentAddress agent_address(const Instance& instance);

}  // namespace warmd
