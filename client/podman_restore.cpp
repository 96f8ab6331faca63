#include "client/podman_restore.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <vector>

#include "daemon/base/error.h"

namespace warmd::client {

namespace {

// Where the package's warmd.toml puts the store.
constexpr const char* kStore = "/var/lib/warmd/checkpoints/";

std::string tarball(const CheckpointId& checkpoint) { return kStore + checkpoint.value() + ".tar"; }

/// Runs a program of PATH to its end, with our standard error. Returns its exit status, 128 + n after signal n, or 127
/// when it cannot be started.
int run_program(std::vector<std::string> words)
{
    std::vector<char*> arguments;
    arguments.reserve(words.size() + 1);
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    // Ours are blocked or ignored, which is inherited. The group of its own keeps the terminal's Ctrl-C from it: half a
    // restore is harder to clean up than a whole one.
    posix_spawnattr_t how;
    posix_spawnattr_init(&how);
    sigset_t signals;
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&how, &signals);
    sigaddset(&signals, SIGPIPE);
    posix_spawnattr_setsigdefault(&how, &signals);
    posix_spawnattr_setpgroup(&how, 0);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    pid_t pid = -1;
    const int error = ::posix_spawnp(&pid, arguments.front(), &files, &how, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&how);
    if (error != 0) return 127;
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

std::optional<std::string> PodmanRestore::obstacle(const CheckpointId& checkpoint)
{
    if (::geteuid() != 0) return "only root may";
    if (::access(tarball(checkpoint).c_str(), R_OK) != 0) return tarball(checkpoint) + " cannot be read";
    if (run_program({"podman", "--version"}) != 0) return "podman --version fails";
    return std::nullopt;
}

PodmanRestore::PodmanRestore(const CheckpointId& checkpoint) : name_{"bench-" + random_hex(16)}
{
    // Not warmd's own prefix: warmd would remove a container that has both its label and its name.
    const auto begin = std::chrono::steady_clock::now();
    const int status = run_program(
        {"podman", "container", "restore", "--import", tarball(checkpoint), "--name", name_});
    elapsed_ = std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now() - begin);
    if (status == 0) return;
    remove();
    throw Error{ErrorCode::engine_failed, "podman container restore ended with " + std::to_string(status)};
}

PodmanRestore::~PodmanRestore() { remove(); }

void PodmanRestore::remove() const noexcept
{
    try {
        if (run_program({"podman", "rm", "--force", "--ignore", "--time", "0", name_}) == 0) return;
    } catch (const std::exception&) {  // no memory for the words: as good as a failure
    }
    std::fprintf(stderr, "warmctl: the container %s is left behind\n", name_.c_str());
}

}  // namespace warmd::client
