#include "daemon/service/quarantine.h"

#include <spdlog/spdlog.h>

#include <exception>

namespace warmd {

void Quarantine::put(const CheckpointId& id, const Error& why) noexcept
{
    try {
        catalog_.transition(id, {CheckpointState::available}, CheckpointState::quarantined, why.what());
    } catch (const Error& error) {
        // It is being deleted, is gone, or somebody else was first.
        if (error.code() == ErrorCode::conflict || error.code() == ErrorCode::not_found) return;
        spdlog::error("checkpoint_id={} cannot be quarantined: {}", id.value(), error.what());
        return;
    } catch (const std::exception& error) {
        spdlog::error("checkpoint_id={} cannot be quarantined: {}", id.value(), error.what());
        return;
    }
    spdlog::error("checkpoint_id={} quarantined: {} ({})", id.value(), why.what(), why.cause());
    store_.unpacked().drop(id);
    changed_();
}

}  // namespace warmd
