#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "daemon/base/clock.h"
#include "daemon/base/id.h"
#include "daemon/model/pool.h"
#include "daemon/model/retention.h"

namespace warmd {

enum class Network { none, bridge };
std::string_view to_string(Network network);
std::optional<Network> network_from_string(std::string_view text);

struct BindMount {
    std::string source;  // absolute path on the host, which must exist whenever an instance is restored
    std::string target;  // absolute path in the container
    bool read_only = true;
};

struct Limits {
    std::optional<std::uint64_t> memory_bytes;
    std::optional<double> cpus;
    std::optional<std::int64_t> pids;
};

/// Something to run in an instance at a certain moment. Exactly one of `command` and `code` is set.
struct Hook {
    std::vector<std::string> command;
    std::optional<std::string> code;
    Duration timeout = std::chrono::seconds{30};
};

/// How a new checkpoint is tried out before it counts: by restoring a copy, which is destroyed afterwards.
struct Verification {
    bool restore = false;
    /// Asked in the warm instance before the dump and in the copy: standard output and exit status must be the same.
    /// None: that the copy's application runs, and its agent answers, is enough.
    std::optional<Hook> canary;
};

/// Where a secret's value comes from, read anew each time, and what gets it as an environment variable. Values are
/// never part of a template.
struct Secret {
    enum class Source { credential, file, environment };  // of systemd ($CREDENTIALS_DIRECTORY); of the daemon
    Source source = Source::credential;
    std::string name;      // of the credential or the variable, or the file's absolute path
    bool to_warm = true;   // the application, when it is started
    bool to_exec = false;  // every command in its instances
};

/// What must come true in the container before a phase of warming ends. With neither `file` nor `exec` it
/// is true at once.
struct Condition {
    std::optional<std::string> file;  // absolute path in the container, which must exist
    std::vector<std::string> exec;    // command in the container, which must exit with 0; repeated until it does
    Duration timeout = std::chrono::minutes{2};
};

/// How the application comes from its creation to being worth a checkpoint.
struct WarmUp {
    Condition started;      // the process is there
    Condition initialised;  // its own start-up has ended
    Condition ready;        // it is quiet; includes TCP quiescence
    /// Wait until no TCP socket in the container's network namespace is in any state but LISTEN: CRIU cannot
    /// dump an established connection without its peer.
    bool tcp_quiescence = true;
    Duration quiet_for = std::chrono::milliseconds{200};
    Duration poll_interval = std::chrono::milliseconds{20};
};

/// What happens when none of a template's checkpoints fits this host any more: warmd makes a new one by itself, or not.
enum class RewarmPolicy { automatic, never };
std::string_view to_string(RewarmPolicy policy);
std::optional<RewarmPolicy> rewarm_policy_from_string(std::string_view text);

/// Whether checkpoints of the template go to the registry, come from there, or both.
enum class Distribute { none, push, pull, both };
std::string_view to_string(Distribute distribute);
std::optional<Distribute> distribute_from_string(std::string_view text);
bool pushes(Distribute distribute);
bool pulls(Distribute distribute);

/// How to warm one application. Written by the administrator; immutable while warmd runs.
struct Template {
    TemplateName name;
    std::string description;
    std::string image;
    std::vector<std::string> command;  // empty: the image's own
    std::map<std::string, std::string> env;
    std::string workdir;  // empty: the image's own
    std::string user;     // empty: the image's own
    std::string hostname;
    std::vector<BindMount> mounts;
    Network network = Network::none;
    Limits limits;
    WarmUp warm_up;
    std::map<std::string, Secret> secrets;  // by the variable that holds the value
    std::vector<Hook> before_checkpoint;    // in this order; a failure fails the checkpoint
    std::vector<Hook> after_restore;        // in this order; a failure fails the restore
    Verification verify;
    Duration checkpoint_timeout = std::chrono::minutes{10};
    RewarmPolicy rewarm = RewarmPolicy::automatic;
    Distribute distribute = Distribute::none;
    Duration restore_timeout = std::chrono::minutes{5};
    Duration exec_timeout = std::chrono::hours{1};
    PoolPolicy pool;
    RetentionPolicy retention;
    /// SHA-256 of all that the template says about what the warmed application becomes. The image counts by
    /// its name: what that name stands for is recorded with each checkpoint (Checkpoint::image_id).
    std::string digest;
};

}  // namespace warmd
