#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dockerfiles/agent/job.h"
#include "dockerfiles/agent/reactor.h"
#include "dockerfiles/agent/session_line.h"
#include "dockerfiles/agent/spawn.h"

namespace warmd::agent {

struct ApplicationOptions {
    std::vector<std::string> command;
    std::string session_fifo;  // empty: the application reads no requests
};

/// The warm application: its process, and the queue of requests to its session, which answers one at a time.
/// What it prints while none is answered goes to this process's own output, the container's log.
class Application {
public:
    Application(Reactor& reactor, ApplicationOptions options);
    ~Application();
    Application(const Application&) = delete;
    Application& operator=(const Application&) = delete;

    /// Starts the process. Throws Error when it cannot be started.
    void start(const Environment& env);

    [[nodiscard]] State state() const { return state_; }
    [[nodiscard]] bool has_session() const { return !options_.session_fifo.empty(); }
    [[nodiscard]] int pid() const { return pid_; }
    /// Called after each change of the state.
    void on_change(std::function<void()> callback) { on_change_ = std::move(callback); }

    void forward_signal(int number) const;
    /// Call when the process has been collected. Ends all requests.
    void ended(int wait_status);
    /// Of the process that ended: its exit status or 128 + signal.
    [[nodiscard]] int exit_status() const { return exit_status_; }

    /// Queues code for the session. `client` must outlive the job. Throws Error{conflict} without a session.
    std::unique_ptr<Job> submit(const ExecSpec& spec, JobClient& client);
    /// Queues a reseed before everything that waits; `done` is called when the session has dealt with it or
    /// has ended. At once without a session.
    void resume(const std::string& tmpdir, const Environment& env, std::function<void()> done);
    /// True while a request is being answered or waits.
    [[nodiscard]] bool busy() const { return active_ != nullptr || !queue_.empty(); }

private:
    struct Request;
    class SessionJob;
    friend class SessionJob;

    void set_state(State state);
    void enqueue(std::shared_ptr<Request> request, bool first);
    void begin_next();
    void take_output(FrameType stream, std::string_view bytes);
    void finish_active();
    void settle_unanswered(Request& request);
    void time_out(const std::shared_ptr<Request>& request);
    void abandon(const std::shared_ptr<Request>& request);
    /// SIGINT, and SIGKILL if the session does not answer soon.
    void interrupt();
    void pause_output(bool paused);

    Reactor& reactor_;
    const ApplicationOptions options_;
    State state_ = State::waiting;
    std::function<void()> on_change_;
    int pid_ = 0;
    int exit_status_ = 0;
    std::string workdir_;
    std::unique_ptr<PipeReader> out_;
    std::unique_ptr<PipeReader> err_;
    std::optional<PipeWriter> requests_;
    std::deque<std::shared_ptr<Request>> queue_;
    std::shared_ptr<Request> active_;
    std::optional<Reactor::TimerId> grace_;
};

}  // namespace warmd::agent
