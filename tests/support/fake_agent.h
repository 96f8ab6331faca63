#pragma once

#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "daemon/base/error.h"
#include "daemon/ports/agent_channel.h"

namespace warmd::test {

/// An agent that does what the test says and remembers what it was asked. The real one is tested by
/// tests/component/agent_test.cpp.
class FakeAgent final : public AgentChannel {
public:
    /// The next call of `operation` ("ping", "exec", "quiesce", ...) throws `error`. Calls stack up.
    void fail_next(const std::string& operation, Error error);
    /// The next exec ends like this, after `output` on stdout.
    void answer_next(ExecResult result, const std::string& output = {});
    /// "exec", "quiesce" and so on, in order.
    [[nodiscard]] std::vector<std::string> calls() const;
    [[nodiscard]] std::vector<ExecRequest> execs() const;
    /// The variables of the last `start_application` or `resumed`.
    [[nodiscard]] std::map<std::string, std::string> env() const;
    /// Of the last `resumed`.
    [[nodiscard]] std::string hostname() const;

    void ping(const AgentAddress& address) override;
    void start_application(const AgentAddress& address, const std::map<std::string, std::string>& env) override;
    void wait_for(const AgentAddress& address, AgentStage stage, Duration timeout, std::stop_token stop) override;
    /// Without an answer given before: status 0. A signal that arrives first makes the status 128 + its number;
    /// see `wait_for_signal`.
    ExecResult exec(const AgentAddress& address, const ExecRequest& request, Duration timeout, const ExecOutput& output,
                    ExecSignals& signals, std::stop_token stop) override;
    /// The next exec ends only when it is signalled.
    void wait_for_signal();
    void quiesce(const AgentAddress& address) override;
    void resumed(const AgentAddress& address, const std::string& hostname,
                 const std::map<std::string, std::string>& env) override;

private:
    void enter(const std::string& operation);

    mutable std::mutex mutex_;
    // State below is protected by mutex_.
    std::map<std::string, std::deque<Error>> failures_;
    std::deque<std::pair<ExecResult, std::string>> answers_;
    std::vector<std::string> calls_;
    std::vector<ExecRequest> execs_;
    std::map<std::string, std::string> env_;
    std::string hostname_;
    bool wait_for_signal_ = false;
};

}  // namespace warmd::test
