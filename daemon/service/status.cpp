#include "daemon/service/status.h"

#include <chrono>

namespace warmd {

namespace {

constexpr std::chrono::milliseconds kPoolsEvery{100};
constexpr std::chrono::seconds kDiskEvery{1};

}  // namespace

ServiceStatus StatusBoard::read() const
{
    const SteadyTime now = std::chrono::steady_clock::now();
    const auto current = [this] { return snapshot_.with([](const Shared& shared) { return shared; }); };
    Shared snapshot = current();
    if (snapshot && is_fresh(*snapshot, now)) return snapshot->status;
    std::unique_lock turn{counting_, std::try_to_lock};
    if (!turn && snapshot) return snapshot->status;
    if (!turn) turn.lock();  // there is nothing else yet
    snapshot = current();    // somebody may have counted meanwhile
    if (!snapshot || !is_fresh(*snapshot, now)) {
        snapshot = count(snapshot.get(), now);
        snapshot_.with([&snapshot](Shared& shared) { shared = snapshot; });
    }
    return snapshot->status;
}

bool StatusBoard::is_fresh(const Snapshot& snapshot, SteadyTime now) const
{
    return snapshot.status.last_event == catalog_.last_event() && now - snapshot.pools_at < kPoolsEvery &&
           now - snapshot.disk_at < kDiskEvery;
}

StatusBoard::Shared StatusBoard::count(const Snapshot* before, SteadyTime now) const
{
    auto next = std::make_shared<Snapshot>(before != nullptr ? *before : Snapshot{});
    ServiceStatus& status = next->status;
    // First: what comes while the rest is counted is then told to who follows from here.
    const std::int64_t newest = catalog_.last_event();
    if (before == nullptr || status.last_event != newest) {
        status.last_event = newest;
        status.instances = static_cast<int>(catalog_.instances(Page::all()).size());
        status.leases_active = static_cast<int>(catalog_.leases(Page::all()).size());
        status.checkpoints_available = 0;
        status.checkpoint_bytes = 0;
        for (const Checkpoint& checkpoint : catalog_.checkpoints(Page::all())) {
            if (checkpoint.state != CheckpointState::available) continue;
            ++status.checkpoints_available;
            status.checkpoint_bytes += checkpoint.size_bytes;
        }
    }
    status.pools = pools_.all();
    next->pools_at = now;
    if (before == nullptr || now - next->disk_at >= kDiskEvery) {
        status.store = store_.space();
        next->disk_at = now;
    }
    return next;
}

}  // namespace warmd
