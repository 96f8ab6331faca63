#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "daemon/base/clock.h"
#include "daemon/base/id.h"
#include "daemon/model/phase.h"

namespace warmd {

enum class CheckpointState { pending, dumping, verifying, available, failed, quarantined, deleting };
std::string_view to_string(CheckpointState state);
bool is_being_made(CheckpointState state);
std::optional<CheckpointState> checkpoint_state_from_string(std::string_view text);

/// An immutable catalogued tarball: what `podman container checkpoint --export` makes and
/// `podman container restore --import` accepts.
struct Checkpoint {
    CheckpointId id;
    TemplateName template_name;
    std::string template_digest;
    CheckpointState state = CheckpointState::pending;
    std::string reason;  // why it failed or is quarantined; empty otherwise
    InstanceId source;   // the instance that was dumped
    std::string image;   // as the template names it
    std::string image_id;
    std::string agent_socket;  // of its instances, see Instance::agent_socket
    std::uint64_t size_bytes = 0;
    std::string sha256;  // of the tarball, 64 hexadecimal digits; empty until `available`
    Time created_at;
    std::optional<Time> available_at;
    std::optional<Time> verified_at;  // when tarball and unpacked images were last read and found intact
    std::string canary;               // what the template's canary answered before the dump; empty where there is none
    bool pinned = false;              // it stays until that is taken back: nothing deletes it
    std::optional<Time> used_at;      // when it was last restored, or an instance restored from it leased
    Phases phases;                    // of warming and of the checkpoint
    /// Where it was made, because the tarball does not say: podman, runtime, criu, kernel, architecture,
    /// cpu_model, cpu_flags, storage_driver, ... One value each.
    std::map<std::string, std::string> environment;
    /// What CRIU and warmd measured: criu.frozen_time_us, criu.pages_written, rootfs.repaired_entries, ...
    std::map<std::string, std::int64_t> statistics;
};

/// Throws Error{conflict} for one that is being made, or is pinned.
void require_deletable(const Checkpoint& checkpoint);

/// It could not be made: it is failed, for that reason, and has no tarball.
void set_failed(Checkpoint& checkpoint, std::string reason);

}  // namespace warmd
