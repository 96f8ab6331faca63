#include "dockerfiles/agent/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "daemon/base/error.h"
#include "dockerfiles/agent/protocol.h"

extern char** environ;  // NOLINT(readability-redundant-declaration): POSIX wants it declared by its users

namespace warmd::agent {

namespace {

constexpr int kCannotRun = 126;
constexpr int kNotFound = 127;

/// Step and errno of a child that could not become the program.
struct Failure {
    char step = '\0';  // 'd'irectory, 'p'rogram
    int error = 0;
};

/// In the child: from here on only what is safe in a copy of a process with one thread.
[[noreturn]] void become(const SpawnSpec& spec, std::vector<char*>& argv, std::vector<char*>& envp, int report)
{
    ::setsid();
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    // Ours, and those that were ignored when we were started.
    for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
    const int in = spec.in >= 0 ? spec.in : ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    ::dup2(in, STDIN_FILENO);
    if (spec.out >= 0) ::dup2(spec.out, STDOUT_FILENO);
    if (spec.err >= 0) ::dup2(spec.err, STDERR_FILENO);
    Failure failure{.step = 'd'};
    if (spec.workdir.empty() || ::chdir(spec.workdir.c_str()) == 0) {
        failure.step = 'p';
        environ = envp.data();  // execvp looks for the program in the new environment's PATH
        ::execvp(argv[0], argv.data());
    }
    failure.error = errno;
    static_cast<void>(!::write(report, &failure, sizeof failure));
    ::_exit(kNotFound);
}

}  // namespace

Environment own_environment()
{
    Environment env;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string_view text{*entry};
        const std::size_t equals = text.find('=');
        if (equals != std::string_view::npos) env.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
    return env;
}

Spawned spawn(const SpawnSpec& spec)
{
    std::vector<std::string> settings;
    for (const auto& [name, value] : spec.env) settings.push_back(name + "=" + value);
    std::vector<char*> envp;
    for (std::string& setting : settings) envp.push_back(setting.data());
    envp.push_back(nullptr);
    std::vector<std::string> arguments = spec.command;
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);

    Pipe report = make_pipe();
    const pid_t pid = ::fork();
    if (pid < 0) throw system_error("fork", errno);
    if (pid == 0) become(spec, argv, envp, report.write.get());
    report.write.reset();

    Failure failure;
    ssize_t count = 0;
    do count = ::read(report.read.get(), &failure, sizeof failure);
    while (count < 0 && errno == EINTR);
    if (count != static_cast<ssize_t>(sizeof failure)) return {.pid = pid};
    ::waitpid(pid, nullptr, 0);
    const bool missing = failure.step == 'p' && (failure.error == ENOENT || failure.error == ENOTDIR);
    const std::string what = failure.step == 'd' ? "change to the directory " + spec.workdir : "run " + spec.command[0];
    return {.failure_status = missing ? kNotFound : kCannotRun,
            .failure = "cannot " + what + ": " + std::strerror(failure.error)};
}

int exit_status_of(int wait_status)
{
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

Pipe make_pipe()
{
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw system_error("make a pipe", errno);
    return {.read = UniqueFd{ends[0]}, .write = UniqueFd{ends[1]}};
}

void set_nonblocking(int fd) { ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK); }

PipeReader::PipeReader(Reactor& reactor, UniqueFd fd, std::function<void(std::string_view)> on_data)
    : reactor_{reactor}, fd_{std::move(fd)}, on_data_{std::move(on_data)}
{
    set_nonblocking(fd_.get());
    reactor_.watch(fd_.get(), POLLIN, [this](short) { read_once(); });
}

PipeReader::~PipeReader() { reactor_.unwatch(fd_.get()); }

void PipeReader::pause(bool paused) { reactor_.set_events(fd_.get(), paused ? short{0} : short{POLLIN}); }

void PipeReader::drain()
{
    // No more than is there now: somebody else may be filling it without end.
    int left = 0;
    if (!fd_.valid() || ::ioctl(fd_.get(), FIONREAD, &left) != 0) return;
    while (left > 0) {
        const std::size_t count = read_once();
        if (count == 0) return;
        left -= static_cast<int>(count);
    }
}

std::size_t PipeReader::read_once()
{
    std::array<char, kMaxData> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by read
    const ssize_t count = ::read(fd_.get(), buffer.data(), buffer.size());
    if (count > 0) {
        on_data_({buffer.data(), static_cast<std::size_t>(count)});
        return static_cast<std::size_t>(count);
    }
    if (count == 0) {
        reactor_.unwatch(fd_.get());
        fd_.reset();
    }
    return 0;
}

PipeWriter::PipeWriter(Reactor& reactor, UniqueFd fd) : reactor_{reactor}, fd_{std::move(fd)}
{
    set_nonblocking(fd_.get());
}

PipeWriter::~PipeWriter() { reactor_.unwatch(fd_.get()); }

void PipeWriter::write(std::string_view bytes)
{
    if (!fd_.valid() || finishing_) return;
    pending_.append(bytes);
    flush();
}

void PipeWriter::finish()
{
    finishing_ = true;
    flush();
}

void PipeWriter::flush()
{
    while (fd_.valid() && !pending_.empty()) {
        const ssize_t count = ::write(fd_.get(), pending_.data(), pending_.size());
        if (count > 0) pending_.erase(0, static_cast<std::size_t>(count));
        else if (count < 0 && errno == EAGAIN) break;
        else if (count < 0 && errno != EINTR) pending_.clear();  // nobody reads any more
    }
    if (!fd_.valid()) return;
    reactor_.unwatch(fd_.get());
    if (!pending_.empty()) reactor_.watch(fd_.get(), POLLOUT, [this](short) { flush(); });
    else if (finishing_) fd_.reset();
}

}  // namespace warmd::agent
