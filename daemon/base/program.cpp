#include "daemon/base/program.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <utility>

#include "daemon/base/error.h"
#include "daemon/base/text.h"
#include "daemon/base/unique_fd.h"

namespace warmd {

namespace {

constexpr std::size_t kKeptErrors = 16384;  // bytes
constexpr int kPatience = 5000;             // milliseconds from SIGTERM to SIGKILL

struct Pipe {
    UniqueFd read;
    UniqueFd write;
};

Pipe make_pipe()
{
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw system_error("make a pipe", errno);
    return {UniqueFd{ends[0]}, UniqueFd{ends[1]}};
}

/// A started program, which leads a process group of its own. Killed, and waited for, unless it has been.
class Child {
public:
    Child(const std::vector<std::string>& command, const UniqueFd& out, const UniqueFd& errors)
    {
        std::vector<char*> arguments;
        arguments.reserve(command.size() + 1);
        for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
        arguments.push_back(nullptr);
        posix_spawn_file_actions_t files;
        posix_spawnattr_t attributes;
        ::posix_spawn_file_actions_init(&files);
        ::posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        ::posix_spawn_file_actions_adddup2(&files, out.get(), STDOUT_FILENO);
        ::posix_spawn_file_actions_adddup2(&files, errors.get(), STDERR_FILENO);
        ::posix_spawnattr_init(&attributes);
        // warmd blocks signals in all of its threads, and ignores SIGPIPE: neither is for others to inherit.
        sigset_t none;
        sigset_t defaults;
        ::sigemptyset(&none);
        ::sigemptyset(&defaults);
        ::sigaddset(&defaults, SIGPIPE);
        ::posix_spawnattr_setsigmask(&attributes, &none);
        ::posix_spawnattr_setsigdefault(&attributes, &defaults);
        ::posix_spawnattr_setpgroup(&attributes, 0);
        ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
        const int error = ::posix_spawnp(&pid_, arguments[0], &files, &attributes, arguments.data(), environ);
        ::posix_spawn_file_actions_destroy(&files);
        ::posix_spawnattr_destroy(&attributes);
        if (error != 0) {
            pid_ = 0;
            throw system_error("run " + command.front(), error,
                               error == ENOENT ? ErrorCode::not_found : ErrorCode::internal);
        }
    }
    ~Child()
    {
        if (pid_ == 0) return;
        send(SIGKILL);
        wait();
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;

    void send(int signal) const { ::kill(-pid_, signal); }

    int wait()
    {
        int status = 0;
        while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) continue;
        pid_ = 0;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }

private:
    pid_t pid_ = 0;
};

/// The next piece from `from`; nothing at its end, whereupon it is closed.
std::string_view read_piece(UniqueFd& from, std::array<char, 16384>& buffer)
{
    const ssize_t count = ::read(from.get(), buffer.data(), buffer.size());
    if (count > 0) return {buffer.data(), static_cast<std::size_t>(count)};
    if (count == 0 || (errno != EINTR && errno != EAGAIN)) from.reset();
    return {};
}

}  // namespace

ProgramResult run_program(const std::vector<std::string>& command, std::size_t limit, const std::stop_token& stop)
{
    Pipe out = make_pipe();
    Pipe errors = make_pipe();
    Child child{command, out.write, errors.write};
    out.write.reset();
    errors.write.reset();
    const UniqueFd stopped{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    if (!stopped.valid()) throw system_error("make an eventfd", errno);
    const std::stop_callback tell{stop, [&stopped] {
                                      const std::uint64_t one = 1;
                                      [[maybe_unused]] const auto written = ::write(stopped.get(), &one, sizeof one);
                                  }};
    ProgramResult result;
    std::array<char, 16384> buffer{};
    bool told = false;
    while (out.read.valid() || errors.read.valid()) {
        std::array<pollfd, 3> events{
            {{out.read.get(), POLLIN, 0}, {errors.read.get(), POLLIN, 0}, {told ? -1 : stopped.get(), POLLIN, 0}}};
        const int ready = ::poll(events.data(), events.size(), told ? kPatience : -1);
        if (ready < 0 && errno == EINTR) continue;
        if (ready < 0) throw system_error("wait for " + command.front(), errno);
        if (ready == 0) break;  // it was told to end, and does not
        if (events[2].revents != 0) {
            child.send(SIGTERM);
            told = true;
        }
        if (events[0].revents != 0 && !append_up_to(result.out, read_piece(out.read, buffer), limit)) {
            throw Error{ErrorCode::too_large, command.front() + " says more than " + std::to_string(limit) + " bytes"};
        }
        if (events[1].revents != 0) {
            result.errors += read_piece(errors.read, buffer);
            if (result.errors.size() > kKeptErrors) result.errors.erase(0, result.errors.size() - kKeptErrors);
        }
    }
    if (told) child.send(SIGKILL);
    result.exit_status = child.wait();
    if (told) throw Error{ErrorCode::cancelled, command.front() + " was stopped"};
    return result;
}

}  // namespace warmd
