#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "daemon/base/clock.h"
#include "daemon/model/checkpoint.h"
#include "daemon/model/exec.h"
#include "daemon/model/lease.h"
#include "daemon/model/operation.h"
#include "daemon/service/integrity.h"
#include "daemon/service/status.h"

namespace warmd {

/// What is not counted but looked up when somebody asks.
struct Levels {
    std::string version;
    ServiceStatus status;
    std::map<std::pair<TemplateName, CheckpointState>, int> checkpoints;
    std::optional<Time> oldest_look;  // when the available checkpoint was verified, or made, that was so longest ago
    std::uint64_t min_free_bytes = 0;
    std::uint64_t reserved_bytes = 0;  // for checkpoints that are being made
};

/// Counts and times what happens, for Prometheus. Labels are words of the program, names of templates and patterns of
/// routes: nothing that clients make up. Thread-safe.
class Metrics {
public:
    Metrics();
    ~Metrics();
    Metrics(const Metrics&) = delete;
    Metrics& operator=(const Metrics&) = delete;

    /// `path`: how its instance was made, where it made one.
    void operation_ended(const Operation& operation, std::optional<InstancePath> path);
    void checkpoint_verified(Verdict verdict);
    void checkpoint_deleted(const Deletion& deletion);
    void lease_began(const Lease& lease);
    /// Nothing: warmd or Podman failed.
    void exec_ended(const std::optional<ExecResult>& result);
    /// `route`: the pattern; empty where none matched. `elapsed`: until the answer begins.
    void request_answered(const std::string& route, const std::string& method, int status, Duration elapsed);

    /// In the text format, with the levels and what the kernel says of this process.
    [[nodiscard]] std::string text(const Levels& levels) const;

private:
    struct Families;
    std::unique_ptr<Families> families_;
};

}  // namespace warmd
