#pragma once

#include <optional>
#include <string>
#include <vector>

#include "daemon/base/clock.h"
#include "daemon/base/error.h"
#include "daemon/base/id.h"
#include "daemon/model/phase.h"
#include "daemon/model/retention.h"

namespace warmd {

enum class OperationKind {
    warm,
    checkpoint,
    restore,
    terminate,
    delete_checkpoint,
    verify_checkpoint,
    import_checkpoint,
    push_checkpoint,
    pull_checkpoint,
    prune
};
std::string_view to_string(OperationKind kind);
std::optional<OperationKind> operation_kind_from_string(std::string_view text);

enum class OperationState { queued, running, succeeded, failed, cancelled };
std::string_view to_string(OperationState state);
std::optional<OperationState> operation_state_from_string(std::string_view text);
bool is_final(OperationState state);

/// One long action, durable from before the client hears of it until it is pruned.
struct Operation {
    OperationId id;
    OperationKind kind = OperationKind::warm;
    OperationState state = OperationState::queued;
    TemplateName template_name;  // what it works on and what it makes: empty where it does not apply
    InstanceId instance;
    CheckpointId checkpoint;
    std::string phase;  // what it is doing now; empty when it is not running
    Phases phases;      // what it has done
    Time created_at;
    std::optional<Time> started_at;
    std::optional<Time> finished_at;
    std::optional<Error> error;         // of a failed or cancelled one
    std::vector<Deletion> deletions{};  // what a prune has deleted so far
};

}  // namespace warmd
