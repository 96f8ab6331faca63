#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/base/unique_fd.h"
#include "dockerfiles/agent/application.h"
#include "dockerfiles/agent/command_job.h"
#include "dockerfiles/agent/reactor.h"

namespace warmd::agent {

class Connection;

struct AgentOptions {
    std::string socket = kDefaultSocket;
    bool session = false;
    bool deferred = false;  // wait for `start`
    std::vector<std::string> command;
};

/// PID 1 of a warm container: one thread, one reactor.
class Agent {
public:
    /// Listens. Throws Error.
    explicit Agent(AgentOptions options);
    ~Agent();
    Agent(const Agent&) = delete;
    Agent& operator=(const Agent&) = delete;

    /// Runs until the application has ended and everybody has been told; returns its exit status.
    int run();

    // For connections: what their one request does.

    Reactor& reactor() { return reactor_; }
    [[nodiscard]] Pong pong() const;
    void start(const Environment& env);
    /// Throws Error for a request that cannot be begun.
    std::unique_ptr<Job> begin(const ExecSpec& spec, JobClient& client);
    /// Throws Error{conflict} while an exec runs. Closes all connections but `asking`.
    void quiesce(const Connection& asking);
    /// Calls `done` with the new temporary directory.
    void resume(const std::string& hostname, const Environment& env, std::function<void(const std::string&)> done);
    /// Destroys the connection soon: not while one of its functions runs.
    void retire(Connection& connection);

private:
    class CommandHandle;

    void listen();
    void accept();
    void watch_signals();
    void take_signals();
    void collect_children();
    void state_changed();
    void stop_when_flushed();

    const AgentOptions options_;
    Environment env_;  // of the application and of commands, what `resumed` has changed included
    Reactor reactor_;
    UniqueFd listener_;
    UniqueFd signals_;
    std::map<const Connection*, std::unique_ptr<Connection>> connections_;
    std::vector<std::unique_ptr<Connection>> retired_;
    std::map<int, CommandJob*> commands_;  // running ones by pid; owned by their connections
    std::unique_ptr<Application> application_;
    std::string quiesced_in_;  // the root file system at the last quiesce; empty after a resume
};

}  // namespace warmd::agent
