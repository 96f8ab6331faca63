#pragma once

#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "daemon/base/clock.h"
#include "daemon/host/host_files.h"
#include "daemon/host/probe.h"
#include "daemon/model/doctor_report.h"
#include "daemon/ports/container_engine.h"

namespace warmd {

struct DoctorOptions {
    HostFiles files;
    std::filesystem::path store;  // where the tarballs lie
    std::string podman_socket;
    /// Runs a shell command and returns its exit status and what it said. Absent: checks that need it are skipped.
    std::function<std::pair<int, std::string>(const std::string& command)> run;
};

/// Looks at all that warmd needs of this machine, and says what to do about what is not as it should be. The checks are
/// in the files *_checks.cpp, in the order in which they are reported.
class Doctor {
public:
    /// Both must outlive this.
    Doctor(ContainerEngine& engine, Probe& probe, DoctorOptions options)
        : engine_{engine}, probe_{probe}, options_{std::move(options)}
    {
    }

    /// Blocks for a few seconds: it asks Podman, writes 64 MiB into the store's file system and reads them, and runs
    /// the probe. One at a time: others wait. Never throws; what cannot be looked at is a finding as well. `only`: the
    /// one check of this name; empty: all.
    DoctorReport examine(const std::stop_token& stop, const std::string& only = {});

private:
    ContainerEngine& engine_;
    Probe& probe_;
    const DoctorOptions options_;
    std::mutex turn_;
};

}  // namespace warmd
