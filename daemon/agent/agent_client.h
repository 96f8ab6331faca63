#pragma once

#include "daemon/agent/container_socket.h"
#include "daemon/ports/agent_channel.h"

namespace warmd::agent {

/// The agent behind the protocol of its socket.
class AgentClient final : public AgentChannel {
public:
    /// `connector` must outlive this.
    explicit AgentClient(AgentConnector& connector) : connector_{connector} {}

    void ping(const AgentAddress& address) override;
    void start_application(const AgentAddress& address, const std::map<std::string, std::string>& env) override;
    void wait_for(const AgentAddress& address, AgentStage stage, Duration timeout, std::stop_token stop) override;
    ExecResult exec(const AgentAddress& address, const ExecRequest& request, Duration timeout, const ExecOutput& output,
                    ExecSignals& signals, std::stop_token stop) override;
    void quiesce(const AgentAddress& address) override;
    void resumed(const AgentAddress& address, const std::string& hostname,
                 const std::map<std::string, std::string>& env) override;

private:
    AgentConnector& connector_;
};

}  // namespace warmd::agent
