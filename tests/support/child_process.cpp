#include "tests/support/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <exception>

#include "daemon/base/error.h"
#include "daemon/base/unique_fd.h"

namespace warmd::test {

namespace {

std::vector<char*> pointers(const std::vector<std::string>& texts)
{
    std::vector<char*> result;
    for (const std::string& text : texts) result.push_back(const_cast<char*>(text.c_str()));
    result.push_back(nullptr);
    return result;
}

int spawn(const std::vector<std::string>& command, const std::map<std::string, std::string>& env,
          const std::string& directory, int out, int err, int& error)
{
    std::vector<std::string> variables{"PATH=/usr/bin:/bin"};
    for (const auto& [name, value] : env) variables.push_back(name + "=" + value);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    posix_spawn_file_actions_adddup2(&actions, err, 2);
    posix_spawn_file_actions_addchdir_np(&actions, directory.c_str());
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
    pid_t pid = 0;
    error = ::posix_spawnp(&pid, command.front().c_str(), &actions, &attributes, pointers(command).data(),
                           pointers(variables).data());
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return error == 0 ? pid : 0;
}

struct Pipe {
    Pipe()
    {
        std::array<int, 2> ends{};
        if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw system_error("make a pipe", errno);
        read = UniqueFd{ends[0]};
        write = UniqueFd{ends[1]};
    }
    UniqueFd read;
    UniqueFd write;
};

}  // namespace

int start_process(const std::vector<std::string>& command, const std::map<std::string, std::string>& env,
                  const std::string& directory, const std::string& log)
{
    const UniqueFd file{::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)};
    int error = 0;
    return spawn(command, env, directory, file.get(), file.get(), error);
}

ExecResult run_process(const ExecRequest& request, const std::string& directory, Duration timeout,
                       const ExecOutput& output, std::stop_token stop)
{
    const SteadyTime began = std::chrono::steady_clock::now();
    Pipe out;
    Pipe err;
    int error = 0;
    const int pid = spawn(request.command, request.env, directory + request.workdir, out.write.get(), err.write.get(),
                          error);
    if (pid == 0) {
        output(ExecStream::err, request.command.front() + ": " + std::strerror(error) + "\n");
        return {.exit_status = kExitNotFound};
    }
    out.write.reset();
    err.write.reset();

    bool timed_out = false;
    bool killed = false;
    std::exception_ptr thrown;
    std::array<pollfd, 2> ends{{{out.read.get(), POLLIN, 0}, {err.read.get(), POLLIN, 0}}};
    while (ends[0].fd >= 0 || ends[1].fd >= 0) {
        constexpr int kTick = 10;  // milliseconds; a stop token cannot wake poll()
        ::poll(ends.data(), ends.size(), kTick);
        const bool late = std::chrono::steady_clock::now() - began >= timeout;
        if (!killed && (late || thrown || stop.stop_requested())) {
            timed_out = late && !thrown && !stop.stop_requested();
            killed = true;
            ::kill(-pid, SIGKILL);
        }
        for (std::size_t i = 0; i < ends.size(); ++i) {
            if ((ends.at(i).revents & (POLLIN | POLLHUP)) == 0) continue;
            std::array<char, 65536> buffer{};
            const ssize_t count = ::read(ends.at(i).fd, buffer.data(), buffer.size());
            if (count <= 0) {
                ends.at(i).fd = -1;
                continue;
            }
            try {
                if (!thrown)
                    output(i == 0 ? ExecStream::out : ExecStream::err,
                           {buffer.data(), static_cast<std::size_t>(count)});
            } catch (...) {
                thrown = std::current_exception();
            }
        }
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    if (thrown) std::rethrow_exception(thrown);
    if (stop.stop_requested()) throw Error{ErrorCode::cancelled, "the command was cancelled and killed"};
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return {.exit_status = timed_out ? kExitTimeout : code,
            .timed_out = timed_out,
            .elapsed = std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now() - began)};
}

}  // namespace warmd::test
