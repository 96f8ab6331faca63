#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/base/clock.h"
#include "daemon/catalog/catalog.h"
#include "daemon/model/retention.h"
#include "daemon/service/host_view.h"
#include "daemon/service/operations.h"
#include "daemon/service/retention_plan.h"
#include "daemon/service/templates.h"
#include "daemon/store/tarball_store.h"

namespace warmd {

struct RetentionOptions {
    RetentionPolicy all;
    /// Reserved for a checkpoint beside what is known of its size: a process grows between two looks at it.
    std::uint64_t margin = std::uint64_t{16} << 20U;
    /// True while an operation works on the checkpoint.
    std::function<bool(const CheckpointId&)> in_work = [](const CheckpointId&) { return false; };
    /// Told of each checkpoint that has gone.
    std::function<void(const Deletion&)> deleted = [](const Deletion&) {};
};

/// Deletes checkpoints that need not be kept, and finds the space for new ones. What goes is decided by
/// `plan_retention`. Every deletion is an event with its reason. Thread-safe.
class Retention {
public:
    Retention(Catalog& catalog, TarballStore& store, Clock& clock, const HostView& host, const Templates& templates,
              RetentionOptions options)
        : catalog_{catalog},
          store_{store},
          clock_{clock},
          host_{host},
          templates_{templates},
          options_{std::move(options)}
    {
    }

    /// Deletes what the policies say, and ends deletions that were interrupted. What fails is logged and tried again
    /// the next time.
    void enforce() noexcept;

    /// What a prune would delete now.
    [[nodiscard]] std::vector<Deletion> plan(const PruneRequest& request) const;
    /// Prunes, and tells `run` what has gone. Throws the last Error when something could not be deleted, after the rest
    /// has been.
    void prune(const PruneRequest& request, OperationRun& run);

    /// Deletes this one. Throws Error{conflict} for one that is being made or pinned, Error{not_found}.
    void remove(const CheckpointId& id);

    /// Space for a checkpoint of the template, `bytes` at first. While it is short the policies are carried out, then
    /// unpacked images are given up, then the policies are carried out as if the checkpoint were there already. Throws
    /// Error{no_space}; then nothing is reserved.
    std::unique_ptr<SpaceLedger::Reservation> reserve(const TemplateName& name, std::uint64_t bytes);
    /// More is known of the size: as `reserve`.
    void raise(SpaceLedger::Reservation& reservation, const TemplateName& name, std::uint64_t bytes);
    /// Throws Error{no_space} when `reserve` could do nothing about it. Deletes nothing.
    void require_room(const TemplateName& name) const;

    /// How many bytes to reserve for a checkpoint of the template: those of its last one, or of the memory in use,
    /// where known the larger, and something more.
    [[nodiscard]] std::uint64_t estimate(const TemplateName& name, std::uint64_t memory = 0) const;

    [[nodiscard]] StoreUsage usage() const;

private:
    [[nodiscard]] RetentionSituation look() const;
    void carry_out(const Deletion& deletion, const char* who, bool spare_used);
    void erase_files(const Deletion& deletion, const std::string& reason);
    void enforce(const std::optional<RetentionSituation::Incoming>& incoming) noexcept;
    void finish_deletions();

    Catalog& catalog_;
    TarballStore& store_;
    Clock& clock_;
    const HostView& host_;
    const Templates& templates_;
    const RetentionOptions options_;
    std::mutex deleting_;  // held while a checkpoint is: one that is `deleting` otherwise was interrupted
};

}  // namespace warmd
