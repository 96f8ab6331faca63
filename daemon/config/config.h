#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "daemon/base/clock.h"
#include "daemon/model/access.h"
#include "daemon/model/registry_options.h"
#include "daemon/model/retention.h"
#include "daemon/model/template.h"
#include "daemon/model/trust.h"

namespace warmd {

/// What warmd.toml says. Every default stands here.
struct Config {
    std::string log_level = "info";
    std::filesystem::path socket = "/run/warmd/warmd.sock";
    std::string socket_group = "warmd";  // owns the socket, mode 0660; nobody but root when it does not exist
    bool socket_for_everybody = false;   // users outside that group have roles: mode 0666
    std::string tcp;                     // "127.0.0.1:8642", on loopback; empty: none
    AccessOptions access;                // unless said otherwise, the group's members may do everything
    int http_threads = 8;                // for requests that take milliseconds
    int http_streams = 256;              // requests that stream or wait, at once
    int http_connections = 4096;         // at once
    std::filesystem::path state_directory = "/var/lib/warmd";
    Duration verify_every = std::chrono::hours{7 * 24};  // how often each checkpoint is read and compared; zero: never
    std::filesystem::path podman_socket = "/run/podman/podman.sock";
    Duration podman_timeout = std::chrono::seconds{30};
    int operation_workers = 4;
    int operation_queue = 64;
    int pool_fills = 2;                           // instances that are made for pools at once
    RetentionPolicy retention;                    // of the checkpoints of all templates together
    std::optional<std::uint64_t> min_free_bytes;  // see TarballStore; nothing: what that thinks right
    int history = 1000;                           // finished operations and terminated instances that are remembered
    TrustOptions trust;                           // nothing is signed, nothing imported
    RegistryOptions registry;                     // nothing is shared
    std::map<TemplateName, Template> templates;
};

/// One thing that is wrong, with the file and, where known, the line.
struct ConfigProblem {
    std::string where;    // "/etc/warmd/templates.d/octave.toml:12"
    std::string message;  // names the key
};

/// Reads `directory`/warmd.toml (may be missing) and `directory`/templates.d/*.toml (one template a file,
/// named after it). Reports every problem instead of stopping at the first: unknown keys, wrong types,
/// values out of range. The result is usable only when `problems` stays empty.
Config load_config(const std::filesystem::path& directory, std::vector<ConfigProblem>& problems);

}  // namespace warmd
