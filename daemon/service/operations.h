#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "daemon/base/clock.h"
#include "daemon/catalog/catalog.h"
#include "daemon/model/operation.h"
#include "daemon/model/request_key.h"
#include "daemon/service/progress.h"

namespace warmd {

/// What the work of an operation is given: its stop token, and the way to tell how far it is.
class OperationRun {
public:
    [[nodiscard]] std::stop_token stop() const;
    /// Throws Error{cancelled} once the operation is to stop. For places with no blocking call.
    void check() const;

    [[nodiscard]] OperationId id() const;
    void set_instance(const InstanceId& id);
    /// That the operation works on this instance as well, which is nothing to tell the client of.
    void add_helper(const InstanceId& id);
    void set_checkpoint(const CheckpointId& id);
    void add_deletion(const Deletion& deletion);

    /// Runs `fn` as the named phase and records how long it took, also when it throws. Throws
    /// Error{cancelled} instead once the operation is to stop.
    template <typename Fn>
    auto phase(const std::string& name, Fn&& fn)
    {
        check();
        return settle(name, std::forward<Fn>(fn));
    }

    /// As `phase`, for what must be done to the end whether or not the operation was cancelled meanwhile.
    template <typename Fn>
    auto settle(const std::string& name, Fn&& fn)
    {
        const PhaseTimer timer{*this, name};
        return std::forward<Fn>(fn)();
    }

    /// The phases that have ended so far.
    [[nodiscard]] Phases phases() const;

private:
    friend class Operations;
    struct Shared;
    explicit OperationRun(std::shared_ptr<Shared> shared) : shared_{std::move(shared)} {}

    class PhaseTimer {
    public:
        PhaseTimer(OperationRun& run, const std::string& name);
        ~PhaseTimer();
        PhaseTimer(const PhaseTimer&) = delete;
        PhaseTimer& operator=(const PhaseTimer&) = delete;

    private:
        OperationRun& run_;
        Phase phase_;
        SteadyTime began_;
    };

    std::shared_ptr<Shared> shared_;
};

/// Runs long actions on a few threads. An operation's row is durable from its submission; what changes
/// while it runs (the phase) lives in memory, and the row is written again at its end: a row that is not
/// final when warmd starts belongs to a warmd that was killed. Thread-safe.
class Operations {
public:
    using Work = std::function<void(OperationRun&)>;

    /// Told of each one that has ended, before those who wait for it are.
    using Ended = std::function<void(const Operation&)>;

    Operations(Catalog& catalog, Clock& clock, int workers, int queue_limit, Ended ended = {});
    /// As `shut_down`.
    ~Operations();
    Operations(const Operations&) = delete;
    Operations& operator=(const Operations&) = delete;

    /// Queues `work`. `draft` holds the kind and the ids that are known; the rest is filled in. Errors that
    /// the work throws become the operation's. Throws Error{busy} when the queue is full and
    /// Error{unavailable} after `shut_down`.
    /// `key`: of the request that asks for it; recorded with the operation.
    Operation submit(Operation draft, Work work, const std::optional<RequestKey>& key = std::nullopt);

    /// As it is now. Throws Error{not_found}.
    [[nodiscard]] Operation get(const OperationId& id) const;
    [[nodiscard]] std::vector<Operation> list(const Page& page) const;

    /// Blocks until it has ended, at most for `patience`, and returns it as it then is.
    [[nodiscard]] Operation wait(const OperationId& id, Duration patience) const;

    /// Asks it to stop and returns at once: `wait` tells when it has. Throws Error{conflict} for one that
    /// has ended.
    Operation cancel(const OperationId& id);

    /// Refuses new ones, stops all (they end as failed, `interrupted`) and waits for their ends.
    void shut_down();

    /// Writes the ends that could not be recorded when they came (a full disk): until then they are known here alone.
    /// Tried again with each next end, too. Blocks on the catalog.
    void record_ends() noexcept;

    /// Which phases operations begin.
    [[nodiscard]] ProgressFeed& progress() { return progress_; }

    /// True while a queued or running operation concerns the instance, or the checkpoint.
    [[nodiscard]] bool works_on(const InstanceId& id) const;
    [[nodiscard]] bool works_on(const CheckpointId& id) const;

    /// Queued and running ones.
    [[nodiscard]] int active() const;

private:
    using Shared = OperationRun::Shared;

    void work();
    void run(const std::shared_ptr<Shared>& shared);
    void finish(const std::shared_ptr<Shared>& shared, OperationState state, std::optional<Error> error);
    bool record(const Operation& ended) noexcept;

    Catalog& catalog_;
    Clock& clock_;
    const std::size_t queue_limit_;
    ProgressFeed progress_;
    const Ended ended_;

    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    // State below is protected by mutex_; so are the contents of every Shared.
    std::deque<std::shared_ptr<Shared>> queue_;
    std::map<OperationId, std::shared_ptr<Shared>> live_;
    std::map<OperationId, Operation> unrecorded_;  // have ended, and the catalog does not know
    bool stopping_ = false;

    std::vector<std::jthread> workers_;
};

}  // namespace warmd
