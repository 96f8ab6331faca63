#pragma once

#include <optional>

#include "daemon/base/error.h"
#include "daemon/host/doctor.h"

// One function for each finding. They read and do not change anything, except that `store_speed` writes a file that has
// no name, and `probe` makes a container and removes it.

namespace warmd {

/// What the checks have to go by.
struct Examined {
    const DoctorOptions& options;
    /// Nothing, with the reason, while Podman does not answer.
    std::optional<EngineInfo> engine;
    std::optional<Error> engine_error;

    [[nodiscard]] const HostFiles& files() const { return options.files; }
};

namespace checks {

// engine_checks.cpp
Finding podman(const Examined& host);
Finding podman_version(const Examined& host);
Finding runtime(const Examined& host);
Finding storage_driver(const Examined& host);
Finding exec_remains(const Examined& host);

// criu_checks.cpp
Finding criu(const Examined& host);
Finding libcriu(const Examined& host);
Finding criu_and_kernel(const Examined& host);
Finding criu_check(const Examined& host);
Finding iptables(const Examined& host);

// kernel_checks.cpp
Finding kernel_features(const Examined& host);
Finding cgroups(const Examined& host);
Finding security_module(const Examined& host);
Finding cpu(const Examined& host);
Finding huge_pages(const Examined& host);

// space_checks.cpp
Finding store_space(const Examined& host);
Finding store_speed(const Examined& host);
Finding catalog(const Examined& host);
Finding export_space(const Examined& host);
Finding memory(const Examined& host);

// doctor.cpp
Finding probe(Probe& probe, const std::stop_token& stop);

}  // namespace checks

}  // namespace warmd
