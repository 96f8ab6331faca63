#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/unique_fd.h"
#include "dockerfiles/agent/reactor.h"

// Child processes and the pipes to them.

namespace warmd::agent {

using Environment = std::map<std::string, std::string>;

Environment own_environment();

struct SpawnSpec {
    std::vector<std::string> command;
    Environment env;
    std::string workdir;  // empty: this process's own
    int in = -1;          // -1: /dev/null
    int out = -1;
    int err = -1;
};

struct Spawned {
    int pid = 0;             // 0 when it could not be started
    int failure_status = 0;  // then 126 or 127, as env(1) has it,
    std::string failure;     // and why
};

/// Starts a program in a session of its own, with all signals at their defaults. Returns once it runs or is
/// known not to. Throws Error when there can be no process at all.
Spawned spawn(const SpawnSpec& spec);

/// The command's own exit status, or 128 + n after signal n.
int exit_status_of(int wait_status);

struct Pipe {
    UniqueFd read;
    UniqueFd write;
};
/// Both ends close on exec. Throws Error.
Pipe make_pipe();
void set_nonblocking(int fd);

/// Reads a pipe and hands on what comes.
class PipeReader {
public:
    PipeReader(Reactor& reactor, UniqueFd fd, std::function<void(std::string_view)> on_data);
    ~PipeReader();
    PipeReader(const PipeReader&) = delete;
    PipeReader& operator=(const PipeReader&) = delete;

    /// Stops reading, so that the writer waits, and goes on.
    void pause(bool paused);
    /// Reads what is in the pipe now, paused or not.
    void drain();

private:
    /// One read: how many bytes; 0 when there is nothing now or no more.
    std::size_t read_once();

    Reactor& reactor_;
    UniqueFd fd_;
    std::function<void(std::string_view)> on_data_;
};

/// Writes to a pipe what it is given, as fast as the reader takes it. A reader that has gone is no error: what
/// is left for it is dropped.
class PipeWriter {
public:
    PipeWriter(Reactor& reactor, UniqueFd fd);
    ~PipeWriter();
    PipeWriter(const PipeWriter&) = delete;
    PipeWriter& operator=(const PipeWriter&) = delete;

    void write(std::string_view bytes);
    /// Closes the pipe when all is written.
    void finish();

private:
    void flush();

    Reactor& reactor_;
    UniqueFd fd_;
    std::string pending_;
    bool finishing_ = false;
};

}  // namespace warmd::agent
