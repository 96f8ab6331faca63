#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/clock.h"
#include "daemon/base/id.h"
#include "daemon/model/exec.h"
#include "daemon/model/template.h"

namespace warmd {

/// Takes the next bytes of a stream. Throws to abandon it.
using ByteSink = std::function<void(std::string_view bytes)>;
/// Fills `buffer` with the next bytes of a stream and returns how many; 0 at its end. Throws on failure.
using ByteSource = std::function<std::size_t(std::span<char> buffer)>;

/// The engine and what it stands on. Versions are as the programs print them; empty where unknown.
struct EngineInfo {
    std::string version;
    std::string api_version;
    std::string runtime;  // "crun"
    std::string runtime_version;
    bool runtime_has_criu = false;
    std::string criu_version;
    std::string kernel;
    std::string architecture;
    std::string storage_driver;
};

struct ImageInfo {
    std::string id;  // 64 hexadecimal digits
    std::string digest;
    std::map<std::string, std::string> labels;
};

struct ContainerSpec {
    std::string name;
    std::string image;
    std::vector<std::string> command;
    std::map<std::string, std::string> env;
    std::map<std::string, std::string> labels;
    std::string workdir;
    std::string user;
    std::string hostname;
    std::vector<BindMount> mounts;
    Network network = Network::none;
    Limits limits;
};

enum class ContainerStatus { created, running, paused, exited, other };

struct ContainerInfo {
    ContainerId id;
    std::string name;
    ContainerStatus status = ContainerStatus::other;
    int pid = 0;  // on the host; 0 unless running
    int exit_code = 0;
    bool oom_killed = false;
    bool checkpointed = false;  // stopped by a checkpoint, and its CRIU images may still lie in its directory
    std::string image_id;
    std::map<std::string, std::string> labels;
};

struct CheckpointOptions {
    Duration timeout = std::chrono::minutes{10};
};

struct CheckpointReport {
    std::uint64_t bytes = 0;
    /// See Checkpoint::statistics.
    std::map<std::string, std::int64_t> statistics;
};

struct RestoreSpec {
    std::string name;                           // must be free
    std::map<std::string, std::string> labels;  // replace those of the dumped container
    std::string hostname;                       // empty: the dumped container's
    Duration timeout = std::chrono::minutes{5};
};

struct EngineEvent {
    std::string action;  // "create", "start", "checkpoint", "restore", "died", "remove", ...
    ContainerId container;
    std::string name;
    Time at;
};

/// What the services need from a container engine. Thread-safe. Every call blocks, and throws Error:
/// `unavailable` when the engine cannot be reached, `timeout` when it does not answer in time, `cancelled`
/// when `stop` was requested, `not_found` for a container that does not exist, `conflict` for one in the
/// wrong state or a name in use, `engine_failed` with the engine's own words as cause for all else.
class ContainerEngine {
public:
    virtual ~ContainerEngine() = default;

    virtual EngineInfo info() = 0;

    /// Nothing when the image is not in local storage. Never pulls.
    virtual std::optional<ImageInfo> find_image(const std::string& reference) = 0;

    /// Makes an image without a name that holds the program as /program and nothing else, and returns its id. A
    /// program that needs no other file, then. Throws Error{not_found} when there is no such file.
    virtual std::string import_program(const std::filesystem::path& program) = 0;
    /// By its id. Success when there is no such image; `conflict` while a container is made of it.
    virtual void remove_image(const std::string& id) = 0;

    /// Creates a container and does not start it. An image that is not in local storage is `not_found`.
    virtual ContainerId create(const ContainerSpec& spec) = 0;
    virtual void start(const ContainerId& id) = 0;

    /// By id or by name; nothing when there is no such container.
    virtual std::optional<ContainerInfo> inspect(const std::string& id_or_name) = 0;

    /// The pid, on the host, of a running container's first process. Takes microseconds after the first time. Throws
    /// Error{conflict} when the container does not run, Error{not_found} when there is none.
    virtual int running_pid(const ContainerId& id) = 0;

    /// Bytes of memory that a dump of the running container would write: its processes' own and shared memory, without
    /// what files would give back. Nothing where that cannot be told. Throws as `running_pid`.
    virtual std::optional<std::uint64_t> memory_in_use(const ContainerId& id) = 0;

    /// All containers, running or not, that carry the label, whatever its value.
    virtual std::vector<ContainerInfo> list(std::string_view label) = 0;

    /// Keeps the processes of a running container from getting any CPU time, or lets them on. Idempotent. A frozen
    /// container can be removed, and counts as running.
    virtual void set_frozen(const ContainerId& id, bool frozen) = 0;

    /// Waits until the container has exited and returns its exit status. Nothing if it still runs after
    /// `timeout`.
    virtual std::optional<int> wait(const ContainerId& id, Duration timeout, std::stop_token stop) = 0;

    /// The last `lines` lines that the container has written, stdout and stderr mixed.
    virtual std::string logs(const ContainerId& id, int lines) = 0;

    /// Kills and removes by id or by name. Success when there is no such container.
    virtual void remove(const std::string& id_or_name) = 0;

    /// Dumps the container and hands its tarball to `sink`. On success the container is stopped, the
    /// tarball complete, and every change of its root file system in it. On failure the container may run,
    /// be stopped, or be stopped and restorable by `resume`: inspect it. A cancelled or timed-out dump may
    /// still go on in the engine for a while; `remove` waits for its end.
    virtual CheckpointReport checkpoint(const ContainerId& id, const CheckpointOptions& options, const ByteSink& sink,
                                        std::stop_token stop) = 0;

    /// Brings a container back that a checkpoint stopped, from the images in its own directory. Valid once,
    /// and only when the export failed: a complete export leaves no images.
    virtual void resume(const ContainerId& id, Duration timeout) = 0;

    /// Makes a container from a tarball and lets it run. Its image must be in local storage. On return its
    /// processes have been restored, and may have ended since: inspect. On failure no container is left.
    virtual ContainerId restore(const ByteSource& tarball, const RestoreSpec& spec, std::stop_token stop) = 0;

    /// Runs a command in a running container and returns its exit status. Blocks for as long as it runs.
    /// After `timeout`, when `stop` is requested or when `output` throws, the command and its descendants
    /// are killed with SIGKILL before this returns or throws (a descendant that left for a session of its
    /// own and lost its parent is not found). A timeout is a result, not an error. A command that cannot be
    /// started is a result too: 126 or 127, with the reason on stderr.
    virtual ExecResult exec(const ContainerId& id, const ExecRequest& request, Duration timeout,
                            const ExecOutput& output, std::stop_token stop) = 0;

    /// True when `path` (absolute, in the container's root, links resolved inside it) exists.
    virtual bool file_exists(const ContainerId& id, const std::string& path) = 0;

    /// How many TCP sockets of the container's network namespace are in any state but LISTEN.
    virtual int open_tcp_connections(const ContainerId& id) = 0;

    /// Calls `handler` for each event of a container that carries the label, from now on, until `stop` is
    /// requested (then it returns, and calls no more), `handler` throws, or the engine ends the stream
    /// (`unavailable`).
    virtual void watch(std::string_view label, const std::function<void(const EngineEvent&)>& handler,
                       std::stop_token stop) = 0;
};

}  // namespace warmd
