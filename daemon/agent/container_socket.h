#pragma once

#include "daemon/base/unique_fd.h"
#include "daemon/ports/agent_channel.h"
#include "daemon/ports/container_engine.h"

namespace warmd::agent {

/// Makes the connection to an agent. The tests have another one than the real one below.
class AgentConnector {
public:
    virtual ~AgentConnector() = default;
    /// A connected stream socket that does not block. Throws as AgentChannel.
    virtual UniqueFd connect(const AgentAddress& address) = 0;
};

/// Connects to a Unix socket in the root of a container's process, from outside. The container chooses what lies
/// at the path, so the way there is resolved inside its root, and what listens must be one of its own processes: a
/// link or a mount that leads to a socket of the host is refused. Thread-safe.
class ContainerSocket final : public AgentConnector {
public:
    /// `engine` tells the pid of a container's first process, and must outlive this.
    explicit ContainerSocket(ContainerEngine& engine) : engine_{engine} {}

    UniqueFd connect(const AgentAddress& address) override;

private:
    ContainerEngine& engine_;
};

}  // namespace warmd::agent
