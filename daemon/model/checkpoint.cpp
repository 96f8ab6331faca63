#include "daemon/model/checkpoint.h"

#include <utility>

#include "daemon/base/error.h"

namespace warmd {

bool is_being_made(CheckpointState state)
{
    return state == CheckpointState::pending || state == CheckpointState::dumping ||
           state == CheckpointState::verifying;
}

void require_deletable(const Checkpoint& checkpoint)
{
    if (is_being_made(checkpoint.state)) {
        throw Error{ErrorCode::conflict, "checkpoint " + checkpoint.id.value() + " is being made"}.with_hint(
            "cancel its operation instead: DELETE /v1/operations/{id}");
    }
    if (!checkpoint.pinned) return;
    throw Error{ErrorCode::conflict, "checkpoint " + checkpoint.id.value() + " is pinned"}.with_hint(
        "if it is to go: warmctl checkpoint unpin " + checkpoint.id.value());
}

void set_failed(Checkpoint& checkpoint, std::string reason)
{
    checkpoint.state = CheckpointState::failed;
    checkpoint.reason = std::move(reason);
    checkpoint.size_bytes = 0;
    checkpoint.sha256.clear();
    checkpoint.available_at.reset();
}

}  // namespace warmd
