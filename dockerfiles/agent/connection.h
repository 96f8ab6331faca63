#pragma once

#include <memory>
#include <optional>
#include <string>

#include "daemon/base/unique_fd.h"
#include "dockerfiles/agent/agent.h"
#include "dockerfiles/agent/job.h"
#include "dockerfiles/agent/protocol.h"

namespace warmd::agent {

/// One client of the agent's socket: one request, its output, its reply.
class Connection final : public JobClient {
public:
    /// `agent` must outlive this.
    Connection(Agent& agent, UniqueFd fd);
    ~Connection() override;
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    void output(FrameType stream, std::string_view bytes) override;
    [[nodiscard]] bool congested() const override;
    void finished(const ExecOutcome& outcome) override;
    void refused(const Error& error) override;

    /// The application's state has changed: a `ready` may be answered.
    void state_changed();
    [[nodiscard]] int descriptor() const { return fd_.get(); }
    [[nodiscard]] bool runs_job() const { return job_ != nullptr; }

private:
    void on_events(short events);
    void read();
    void take(const Frame& frame);
    void take_request(const Request& request);
    void reply(const std::string& payload);
    void send(FrameType type, std::string_view payload);
    void flush();
    void close();

    Agent& agent_;
    UniqueFd fd_;
    FrameReader reader_;
    std::string pending_;
    std::unique_ptr<Job> job_;
    std::shared_ptr<Connection*> self_ = std::make_shared<Connection*>(this);  // for what may outlive this
    std::optional<Stage> awaited_;                                             // of a `ready` that waits
    std::optional<Reactor::TimerId> deadline_;
    bool asked_ = false;
    bool replied_ = false;
    bool closed_ = false;
};

}  // namespace warmd::agent
