#pragma once

#include <memory>
#include <optional>

#include "dockerfiles/agent/job.h"
#include "dockerfiles/agent/reactor.h"
#include "dockerfiles/agent/spawn.h"

namespace warmd::agent {

/// A program that runs beside the application, in a session of its own.
class CommandJob final : public Job {
public:
    /// `client` must outlive this. `env` is the agent's own environment; what `spec` adds comes on top. A program
    /// that cannot be started is an outcome, given to the client at once: then pid() is 0.
    CommandJob(Reactor& reactor, const ExecSpec& spec, Environment env, JobClient& client);
    /// Kills what still runs.
    ~CommandJob() override;
    CommandJob(const CommandJob&) = delete;
    CommandJob& operator=(const CommandJob&) = delete;

    [[nodiscard]] int pid() const { return pid_; }
    /// Call when the process has been collected. Tells the client.
    void ended(int wait_status);

    void input(std::string_view bytes) override;
    void end_input() override;
    void signal(int number) override;
    void resume_output() override;

private:
    void kill();

    Reactor& reactor_;
    JobClient& client_;
    const SteadyTime began_;
    int pid_ = 0;
    std::optional<PipeWriter> in_;
    std::unique_ptr<PipeReader> out_;
    std::unique_ptr<PipeReader> err_;
    std::optional<Reactor::TimerId> deadline_;
    bool timed_out_ = false;
};

}  // namespace warmd::agent
