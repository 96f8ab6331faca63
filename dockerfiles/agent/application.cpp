#include "dockerfiles/agent/application.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <utility>

namespace warmd::agent {

namespace {

constexpr std::chrono::seconds kGrace{2};

void write_log(FrameType stream, std::string_view bytes)
{
    const int fd = stream == FrameType::out ? STDOUT_FILENO : STDERR_FILENO;
    while (!bytes.empty()) {
        const ssize_t count = ::write(fd, bytes.data(), bytes.size());
        if (count < 0 && errno != EINTR) return;  // nobody keeps the log
        if (count > 0) bytes.remove_prefix(static_cast<std::size_t>(count));
    }
}

unsigned new_seed() { return static_cast<unsigned>(std::stoul(new_nonce().substr(0, 8), nullptr, 16) & 0x7FFFFFFFU); }

UniqueFd make_fifo(const std::string& path)
{
    ::unlink(path.c_str());
    if (::mkfifo(path.c_str(), 0600) != 0) throw system_error("make the FIFO " + path, errno);
    // For both, so that opening does not wait for the session and the session never reads an end of file.
    UniqueFd fifo{::open(path.c_str(), O_RDWR | O_CLOEXEC)};
    if (!fifo.valid()) throw system_error("open the FIFO " + path, errno);
    return fifo;
}

}  // namespace

struct Application::Request {
    std::string nonce = new_nonce();
    std::string line;
    JobClient* client = nullptr;    // null: output goes to the log, or nowhere if it was abandoned
    std::function<void()> settled;  // of requests without a client
    MarkerScanner out{nonce};
    MarkerScanner err{nonce};
    SteadyTime queued_at = std::chrono::steady_clock::now();
    std::optional<Reactor::TimerId> deadline;
    bool timed_out = false;
    bool abandoned = false;
};

class Application::SessionJob final : public Job {
public:
    SessionJob(Application& application, std::shared_ptr<Request> request)
        : application_{application}, request_{std::move(request)}
    {
    }
    ~SessionJob() override { application_.abandon(request_); }
    SessionJob(const SessionJob&) = delete;
    SessionJob& operator=(const SessionJob&) = delete;

    void input(std::string_view) override {}
    void end_input() override {}
    void signal(int number) override
    {
        if (application_.active_ == request_) application_.forward_signal(number);
    }
    void resume_output() override
    {
        if (application_.active_ == request_) application_.pause_output(false);
    }

private:
    Application& application_;
    std::shared_ptr<Request> request_;
};

Application::Application(Reactor& reactor, ApplicationOptions options)
    : reactor_{reactor}, options_{std::move(options)}, workdir_{std::filesystem::current_path().string()}
{
}

Application::~Application() = default;

void Application::start(const Environment& env)
{
    if (state_ != State::waiting) throw Error{ErrorCode::conflict, "the application has been started already"};
    SpawnSpec spec{.command = options_.command, .env = env};
    if (has_session()) {
        requests_.emplace(reactor_, make_fifo(options_.session_fifo));
        spec.env["WARM_SESSION"] = options_.session_fifo;
    }
    Pipe out = make_pipe();
    Pipe err = make_pipe();
    spec.out = out.write.get();
    spec.err = err.write.get();
    const Spawned child = spawn(spec);
    if (child.pid == 0) throw Error{ErrorCode::not_ready, child.failure};
    pid_ = child.pid;
    const auto reader = [this](Pipe& pipe, FrameType stream) {
        return std::make_unique<PipeReader>(reactor_, std::move(pipe.read),
                                            [this, stream](std::string_view bytes) { take_output(stream, bytes); });
    };
    out_ = reader(out, FrameType::out);
    err_ = reader(err, FrameType::err);
    set_state(has_session() ? State::starting : State::initialised);
    if (!has_session()) return;
    // An empty request: its answer means that the session has initialised.
    auto rehearsal = std::make_shared<Request>();
    rehearsal->line = encode_exec_line(rehearsal->nonce, workdir_, "", {});
    rehearsal->settled = [this] {
        if (state_ == State::starting) set_state(State::initialised);
    };
    enqueue(std::move(rehearsal), false);
}

void Application::set_state(State state)
{
    state_ = state;
    if (on_change_) on_change_();
}

void Application::forward_signal(int number) const
{
    if (pid_ != 0) ::kill(-pid_, number);
}

std::unique_ptr<Job> Application::submit(const ExecSpec& spec, JobClient& client)
{
    if (!has_session()) throw Error{ErrorCode::conflict, "the application has no session that evaluates code"};
    if (state_ == State::waiting) throw Error{ErrorCode::conflict, "the application has not been started"};
    if (state_ == State::ended) throw Error{ErrorCode::conflict, "the session has ended"};
    auto request = std::make_shared<Request>();
    request->line = encode_exec_line(request->nonce, spec.workdir.empty() ? workdir_ : spec.workdir, *spec.code,
                                     spec.env);
    request->client = &client;
    if (spec.timeout) {
        request->deadline = reactor_.at(request->queued_at + *spec.timeout, [this, weak = std::weak_ptr{request}] {
            if (const auto late = weak.lock()) time_out(late);
        });
    }
    auto job = std::make_unique<SessionJob>(*this, request);
    enqueue(std::move(request), false);
    return job;
}

void Application::resume(const std::string& tmpdir, const Environment& env, std::function<void()> done)
{
    if (!has_session() || pid_ == 0) {
        done();
        return;
    }
    auto request = std::make_shared<Request>();
    request->line = encode_resume_line(request->nonce, new_seed(), tmpdir, env);
    request->settled = std::move(done);
    enqueue(std::move(request), true);
}

void Application::enqueue(std::shared_ptr<Request> request, bool first)
{
    if (first) queue_.push_front(std::move(request));
    else queue_.push_back(std::move(request));
    begin_next();
}

void Application::begin_next()
{
    if (active_ != nullptr || queue_.empty() || pid_ == 0) return;
    active_ = queue_.front();
    queue_.pop_front();
    requests_->write(active_->line);
}

void Application::take_output(FrameType stream, std::string_view bytes)
{
    const std::shared_ptr<Request> request = active_;
    if (request == nullptr) {
        write_log(stream, bytes);
        return;
    }
    MarkerScanner& scanner = stream == FrameType::out ? request->out : request->err;
    const std::string output = scanner.feed(bytes);
    if (!output.empty()) {
        if (request->client != nullptr) request->client->output(stream, output);
        else if (!request->abandoned) write_log(stream, output);
        if (request->client != nullptr && request->client->congested()) pause_output(true);
    }
    if (request->out.found() && request->err.found()) finish_active();
}

void Application::finish_active()
{
    const std::shared_ptr<Request> request = std::exchange(active_, nullptr);
    if (grace_) reactor_.cancel(*std::exchange(grace_, std::nullopt));
    if (request->deadline) reactor_.cancel(*request->deadline);
    pause_output(false);
    // Of processes that the code has left in the background.
    for (const auto& [stream, scanner] : {std::pair{FrameType::out, &request->out}, {FrameType::err, &request->err}}) {
        write_log(stream, scanner->take_rest());
    }
    if (request->client != nullptr) {
        request->client->finished({.exit_status = request->timed_out ? kStatusTimeout : request->out.status(),
                                   .timed_out = request->timed_out,
                                   .elapsed = elapsed_since(request->queued_at)});
    }
    if (request->settled) request->settled();
    begin_next();
}

void Application::time_out(const std::shared_ptr<Request>& request)
{
    request->deadline.reset();
    request->timed_out = true;
    if (request == active_) {
        interrupt();
        return;
    }
    const auto waiting = std::find(queue_.begin(), queue_.end(), request);
    if (waiting == queue_.end()) return;
    queue_.erase(waiting);
    request->client->output(FrameType::err, "the session was busy with other requests for all of the time\n");
    request->client->finished(
        {.exit_status = kStatusTimeout, .timed_out = true, .elapsed = elapsed_since(request->queued_at)});
}

void Application::abandon(const std::shared_ptr<Request>& request)
{
    if (request->deadline) reactor_.cancel(*std::exchange(request->deadline, std::nullopt));
    request->client = nullptr;
    request->abandoned = true;
    if (request == active_) {
        pause_output(false);
        interrupt();
    } else {
        std::erase(queue_, request);
    }
}

void Application::interrupt()
{
    forward_signal(SIGINT);
    if (grace_) return;
    grace_ = reactor_.at(std::chrono::steady_clock::now() + kGrace, [this] {
        grace_.reset();
        forward_signal(SIGKILL);
    });
}

void Application::pause_output(bool paused)
{
    if (out_) out_->pause(paused);
    if (err_) err_->pause(paused);
}

void Application::ended(int wait_status)
{
    pid_ = 0;
    exit_status_ = exit_status_of(wait_status);
    out_->drain();
    err_->drain();  // may find the marker of a request that was answered just before the end
    const std::shared_ptr<Request> active = std::exchange(active_, nullptr);
    const std::deque<std::shared_ptr<Request>> waiting = std::exchange(queue_, {});
    if (grace_) reactor_.cancel(*std::exchange(grace_, std::nullopt));
    state_ = State::ended;
    if (active != nullptr) settle_unanswered(*active);
    for (const auto& request : waiting) {
        if (request->deadline) reactor_.cancel(*request->deadline);
        if (request->client != nullptr) request->client->refused(Error{ErrorCode::conflict, "the session has ended"});
        if (request->settled) request->settled();
    }
    set_state(State::ended);
}

void Application::settle_unanswered(Request& request)
{
    if (request.deadline) reactor_.cancel(*request.deadline);
    if (request.settled) request.settled();
    if (request.client == nullptr) return;
    request.client->output(FrameType::out, request.out.take_rest());
    request.client->output(FrameType::err, request.err.take_rest());
    request.client->finished({.exit_status = request.timed_out ? kStatusTimeout : exit_status_,
                              .timed_out = request.timed_out,
                              .session_ended = true,
                              .elapsed = elapsed_since(request.queued_at)});
}

}  // namespace warmd::agent
