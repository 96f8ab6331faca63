#pragma once

#include <string>
#include <utility>
#include <vector>

#include "daemon/ports/container_engine.h"

// Podman's documents end here: nothing beyond these functions knows a name of theirs. All throw
// Error{engine_failed} when a document is not what Podman's source says it is.

namespace warmd::podman {

/// The body of POST /libpod/containers/create (pkg/specgen/specgen.go).
std::string encode_create(const ContainerSpec& spec);
/// The body of POST /libpod/containers/{name}/exec.
std::string encode_exec(const ExecRequest& request);

EngineInfo decode_info(const std::string& body);
ImageInfo decode_image(const std::string& body);
/// The `Id` of the answer to create, exec and restore.
std::string decode_id(const std::string& body);
ContainerInfo decode_container(const std::string& body);
/// The overlay's upper directory; empty for another storage driver.
std::string decode_upper_directory(const std::string& body);
std::vector<std::string> decode_list_ids(const std::string& body);
/// Absolute paths in the container.
struct RootfsChanges {
    std::vector<std::string> modified;
    std::vector<std::string> deleted;
};
/// What `changes` calls modified and deleted.
RootfsChanges decode_changes(const std::string& body);
/// deleted.files of a checkpoint tarball without `paths`.
std::string keep_files(const std::string& deleted_files, const std::vector<std::string>& paths);

struct ExecSession {
    int exit_code = 0;
    bool running = false;
    int pid = 0;  // on the host
};
ExecSession decode_exec_session(const std::string& body);

/// Nothing for an event that is not of a container with the label.
std::optional<EngineEvent> decode_event(const std::string& line, std::string_view label);

/// The words of an error document ({"cause","message","response"}), or the body itself when it is none.
std::string decode_error(const std::string& body);

/// config.dump of a checkpoint tarball with another container's id, name and labels in it.
std::string rename_config_dump(const std::string& config_dump, const ContainerId& id, const RestoreSpec& spec);

/// CRIU's stats-dump (images/stats.proto: dump_stats_entry) by name; empty when it cannot be read.
std::map<std::string, std::int64_t> decode_dump_statistics(const std::string& stats_dump);

}  // namespace warmd::podman
