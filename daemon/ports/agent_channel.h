#pragma once

#include <map>
#include <stop_token>
#include <string>

#include "daemon/base/clock.h"
#include "daemon/base/id.h"
#include "daemon/model/exec.h"
#include "daemon/ports/exec_signals.h"

namespace warmd {

/// Where an instance's agent listens.
struct AgentAddress {
    ContainerId container;
    std::string socket;  // as the container sees it
};

enum class AgentStage { started, initialised };

/// What the services need from the agent in a container (docs/agent-protocol.md). Thread-safe. Every call blocks,
/// and throws Error: `unavailable` when no agent could be reached, and then nothing has been done; `conflict` when
/// the container does not run or the agent's state does not allow it; `not_ready` when the application has
/// ended; `timeout`; `cancelled` when `stop` was requested; `engine_failed` when the agent does not keep to the
/// protocol or its connection breaks.
class AgentChannel {
public:
    virtual ~AgentChannel() = default;

    /// Returns when the agent answers.
    virtual void ping(const AgentAddress& address) = 0;

    /// Starts an application that waits for it, with these variables.
    virtual void start_application(const AgentAddress& address, const std::map<std::string, std::string>& env) = 0;

    /// Waits until the application has come so far.
    virtual void wait_for(const AgentAddress& address, AgentStage stage, Duration timeout, std::stop_token stop) = 0;

    /// As ContainerEngine::exec, for code as well; `request.user` must be empty. `signals` reach the command. A
    /// session that does not answer an interrupt is killed, which ends the instance (`session_ended`). When
    /// `stop` is requested or `output` throws, this returns at once and the agent does the same on its own.
    virtual ExecResult exec(const AgentAddress& address, const ExecRequest& request, Duration timeout,
                            const ExecOutput& output, ExecSignals& signals, std::stop_token stop) = 0;

    /// Before a checkpoint: on return no connection leads out of the container. Error{conflict} while a command
    /// runs.
    virtual void quiesce(const AgentAddress& address) = 0;

    /// After a restore: makes the instance different from its twins, and sets variables for all that it runs.
    virtual void resumed(const AgentAddress& address, const std::string& hostname,
                         const std::map<std::string, std::string>& env) = 0;
};

}  // namespace warmd
