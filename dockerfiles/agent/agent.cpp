#include "dockerfiles/agent/agent.h"

#include <signal.h>
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): mkdtemp is POSIX's
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <utility>

#include "dockerfiles/agent/connection.h"
#include "warmd_version.h"

namespace warmd::agent {

namespace {

constexpr std::chrono::seconds kLastWords{2};
constexpr std::array kForwarded{SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

/// What the root file system is made of: in a restored container another layer than in the dumped one.
std::string root_file_system()
{
    std::ifstream mounts{"/proc/self/mountinfo"};
    std::string line;
    while (std::getline(mounts, line)) {
        // id parent major:minor root MOUNTPOINT options... - type source OPTIONS
        if (line.find(" / / ") != std::string::npos) return line.substr(line.find(" - ") + 1);
    }
    return {};
}

std::string make_temporary_directory()
{
    std::string path = "/tmp/warm-XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) throw system_error("make a temporary directory in /tmp", errno);
    return path;
}

}  // namespace

/// A command's job that takes itself off the list of running ones.
class Agent::CommandHandle final : public Job {
public:
    CommandHandle(Agent& agent, std::unique_ptr<CommandJob> job)
        : agent_{agent}, job_{std::move(job)}, pid_{job_->pid()}
    {
        if (pid_ != 0) agent_.commands_[pid_] = job_.get();
    }
    ~CommandHandle() override
    {
        const auto found = agent_.commands_.find(pid_);
        if (found != agent_.commands_.end() && found->second == job_.get()) agent_.commands_.erase(found);
    }
    CommandHandle(const CommandHandle&) = delete;
    CommandHandle& operator=(const CommandHandle&) = delete;

    void input(std::string_view bytes) override { job_->input(bytes); }
    void end_input() override { job_->end_input(); }
    void signal(int number) override { job_->signal(number); }
    void resume_output() override { job_->resume_output(); }

private:
    Agent& agent_;
    std::unique_ptr<CommandJob> job_;
    int pid_;
};

Agent::Agent(AgentOptions options) : options_{std::move(options)}, env_{own_environment()}
{
    env_.erase("WARM_START");
    env_["WARM_AGENT_SOCKET"] = options_.socket;
    const std::filesystem::path directory = std::filesystem::path{options_.socket}.parent_path();
    std::filesystem::create_directories(directory);
    application_ = std::make_unique<Application>(
        reactor_, ApplicationOptions{.command = options_.command,
                                     .session_fifo = options_.session ? (directory / "session").string() : ""});
    application_->on_change([this] { state_changed(); });
    watch_signals();
    listen();
}

Agent::~Agent()
{
    // Their jobs refer to the application and to the list of commands.
    retired_.clear();
    connections_.clear();
}

int Agent::run()
{
    if (!options_.deferred) application_->start(env_);
    reactor_.run();
    return application_->exit_status();
}

void Agent::listen()
{
    sockaddr_un address{.sun_family = AF_UNIX};
    if (options_.socket.size() >= sizeof address.sun_path) {
        throw Error{ErrorCode::invalid_argument, "the path of the socket is too long: " + options_.socket};
    }
    options_.socket.copy(address.sun_path, options_.socket.size());
    listener_ = UniqueFd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    ::unlink(options_.socket.c_str());
    const mode_t mask = ::umask(0177);
    const bool bound = ::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
                       ::listen(listener_.get(), SOMAXCONN) == 0;
    const int error = errno;
    ::umask(mask);
    if (!bound) throw system_error("listen on " + options_.socket, error);
    reactor_.watch(listener_.get(), POLLIN, [this](short) { accept(); });
}

void Agent::accept()
{
    UniqueFd fd{::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)};
    if (!fd.valid()) return;  // the client has gone again, or there is no descriptor for it now
    auto connection = std::make_unique<Connection>(*this, std::move(fd));
    connections_.emplace(connection.get(), std::move(connection));
}

void Agent::watch_signals()
{
    ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);  // PID 1 is one anyway
    ::signal(SIGPIPE, SIG_IGN);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    for (const int number : kForwarded) sigaddset(&set, number);
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
    signals_ = UniqueFd{::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)};
    if (!signals_.valid()) throw system_error("make a descriptor for signals", errno);
    reactor_.watch(signals_.get(), POLLIN, [this](short) { take_signals(); });
}

void Agent::take_signals()
{
    signalfd_siginfo info{};
    while (::read(signals_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
        if (info.ssi_signo == SIGCHLD) continue;
        if (application_->state() == State::waiting) reactor_.stop();
        application_->forward_signal(static_cast<int>(info.ssi_signo));
    }
    // After any signal: several children may share one SIGCHLD.
    collect_children();
}

void Agent::collect_children()
{
    int status = 0;
    while (true) {
        const pid_t pid = ::waitpid(-1, &status, WNOHANG);
        if (pid <= 0) return;
        if (pid == application_->pid()) {
            application_->ended(status);
        } else if (const auto command = commands_.find(pid); command != commands_.end()) {
            CommandJob* const job = command->second;
            commands_.erase(command);
            job->ended(status);
        }
    }
}

void Agent::state_changed()
{
    std::vector<Connection*> waiting;
    for (const auto& [key, connection] : connections_) waiting.push_back(connection.get());
    for (Connection* const connection : waiting) connection->state_changed();
    if (application_->state() != State::ended) return;
    for (Connection* const connection : waiting) {
        if (connection->runs_job()) {
            connection->refused(Error{ErrorCode::conflict, "the application has ended, and the container with it"});
        }
    }
    reactor_.unwatch(listener_.get());
    reactor_.at(std::chrono::steady_clock::now() + kLastWords, [this] { reactor_.stop(); });
    stop_when_flushed();
}

void Agent::stop_when_flushed()
{
    if (application_->state() == State::ended && connections_.empty()) reactor_.stop();
}

Pong Agent::pong() const
{
    return {.agent = WARMD_VERSION,
            .session = application_->has_session(),
            .state = application_->state(),
            .application = application_->pid()};
}

void Agent::start(const Environment& env)
{
    Environment all = env_;
    for (const auto& [name, value] : env) all[name] = value;
    application_->start(all);
}

std::unique_ptr<Job> Agent::begin(const ExecSpec& spec, JobClient& client)
{
    if (!quiesced_in_.empty()) {
        // Restored by somebody who did not say so, or back after a checkpoint that failed.
        if (root_file_system() != quiesced_in_) resume("", {}, [](const std::string&) {});
        quiesced_in_.clear();
    }
    if (!spec.code) {
        return std::make_unique<CommandHandle>(*this, std::make_unique<CommandJob>(reactor_, spec, env_, client));
    }
    ExecSpec different = spec;  // what the session's environment has already need not be set and put back
    std::erase_if(different.env, [this](const auto& entry) {
        const auto own = env_.find(entry.first);
        return own != env_.end() && own->second == entry.second;
    });
    return application_->submit(different, client);
}

void Agent::quiesce(const Connection& asking)
{
    const bool running = application_->busy() || std::any_of(connections_.begin(), connections_.end(),
                                                             [](const auto& c) { return c.second->runs_job(); });
    if (running) throw Error{ErrorCode::conflict, "an exec runs"};
    std::vector<Connection*> others;
    for (const auto& [key, connection] : connections_) {
        if (key != &asking) others.push_back(connection.get());
    }
    for (Connection* const other : others) retire(*other);
    quiesced_in_ = root_file_system();
}

void Agent::resume(const std::string& hostname, const Environment& env, std::function<void(const std::string&)> done)
{
    quiesced_in_.clear();
    const std::string tmpdir = make_temporary_directory();
    Environment changed = env;
    changed["TMPDIR"] = tmpdir;
    if (!hostname.empty()) changed["HOSTNAME"] = hostname;
    for (const auto& [name, value] : changed) env_[name] = value;
    application_->resume(tmpdir, changed, [tmpdir, done = std::move(done)] { done(tmpdir); });
}

void Agent::retire(Connection& connection)
{
    const auto found = connections_.find(&connection);
    if (found == connections_.end()) return;
    reactor_.unwatch(connection.descriptor());
    retired_.push_back(std::move(found->second));
    connections_.erase(found);
    reactor_.at(std::chrono::steady_clock::now(), [this] { std::exchange(retired_, {}).clear(); });
    stop_when_flushed();
}

}  // namespace warmd::agent
