#include "daemon/service/operations.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <set>

#include "daemon/base/error.h"
#include "daemon/base/text.h"

namespace warmd {

struct OperationRun::Shared {
    std::mutex& mutex;
    std::condition_variable& changed;
    Clock& clock;
    ProgressFeed& progress;
    Operation operation;

    /// Without the mutex held.
    void tell_progress(const std::string& phase) noexcept
    {
        // Neither of these changes once the operation runs.
        progress.publish(operation.id, operation.kind, operation.template_name, phase, clock.now());
    }

    Operations::Work work;
    std::stop_source stop;
    std::set<InstanceId> helpers{};
};

std::stop_token OperationRun::stop() const { return shared_->stop.get_token(); }

void OperationRun::check() const
{
    if (shared_->stop.stop_requested()) throw Error{ErrorCode::cancelled, "the operation was cancelled"};
}

OperationId OperationRun::id() const
{
    const std::scoped_lock lock{shared_->mutex};
    return shared_->operation.id;
}

void OperationRun::set_instance(const InstanceId& id)
{
    const std::scoped_lock lock{shared_->mutex};
    shared_->operation.instance = id;
}

void OperationRun::add_helper(const InstanceId& id)
{
    const std::scoped_lock lock{shared_->mutex};
    shared_->helpers.insert(id);
}

void OperationRun::set_checkpoint(const CheckpointId& id)
{
    const std::scoped_lock lock{shared_->mutex};
    shared_->operation.checkpoint = id;
}

void OperationRun::add_deletion(const Deletion& deletion)
{
    const std::scoped_lock lock{shared_->mutex};
    shared_->operation.deletions.push_back(deletion);
}

Phases OperationRun::phases() const
{
    const std::scoped_lock lock{shared_->mutex};
    return shared_->operation.phases;
}

OperationRun::PhaseTimer::PhaseTimer(OperationRun& run, const std::string& name)
    : run_{run}, phase_{.name = name, .started_at = run.shared_->clock.now()}, began_{run.shared_->clock.steady_now()}
{
    {
        const std::scoped_lock lock{run_.shared_->mutex};
        run_.shared_->operation.phase = name;
    }
    run_.shared_->tell_progress(name);
}

OperationRun::PhaseTimer::~PhaseTimer()
{
    phase_.elapsed = std::chrono::duration_cast<Duration>(run_.shared_->clock.steady_now() - began_);
    {
        const std::scoped_lock lock{run_.shared_->mutex};
        run_.shared_->operation.phase.clear();
        run_.shared_->operation.phases.push_back(std::move(phase_));
    }
    run_.shared_->tell_progress({});
}

Operations::Operations(Catalog& catalog, Clock& clock, int workers, int queue_limit, Ended ended)
    : catalog_{catalog},
      clock_{clock},
      queue_limit_{static_cast<std::size_t>(queue_limit)},
      progress_{[&catalog] { catalog.nudge(); }},
      ended_{std::move(ended)}
{
    for (int i = 0; i < workers; ++i) workers_.emplace_back([this] { work(); });
}

Operations::~Operations() { shut_down(); }

Operation Operations::submit(Operation draft, Work work, const std::optional<RequestKey>& key)
{
    draft.id = OperationId{new_id(kOperationPrefix)};
    draft.state = OperationState::queued;
    draft.created_at = clock_.now();
    const auto refuse_if_full = [this] {  // with the mutex held
        if (stopping_) throw Error{ErrorCode::unavailable, "warmd is stopping"}.with_hint("try again in a moment");
        if (queue_.size() >= queue_limit_) {
            throw Error{ErrorCode::busy, "too many operations are waiting"}.with_hint(
                "try again later, or raise operations.queue in warmd.toml");
        }
    };
    {
        const std::scoped_lock lock{mutex_};
        refuse_if_full();
    }
    catalog_.save(draft, key);
    auto shared = std::make_shared<Shared>(Shared{.mutex = mutex_,
                                                  .changed = changed_,
                                                  .clock = clock_,
                                                  .progress = progress_,
                                                  .operation = draft,
                                                  .work = std::move(work),
                                                  .stop = {}});
    {
        const std::scoped_lock lock{mutex_};
        if (!stopping_) {
            live_.emplace(draft.id, shared);
            queue_.push_back(std::move(shared));
            changed_.notify_all();
            return draft;
        }
    }
    // It came too late: its row must not claim that it will run.
    draft.state = OperationState::failed;
    draft.finished_at = clock_.now();
    draft.error = Error{ErrorCode::interrupted, "warmd was stopped before it could run"};
    catalog_.save(draft);
    return draft;
}

Operation Operations::get(const OperationId& id) const
{
    {
        const std::scoped_lock lock{mutex_};
        if (const auto live = live_.find(id); live != live_.end()) return live->second->operation;
        if (const auto ended = unrecorded_.find(id); ended != unrecorded_.end()) return ended->second;
    }
    return catalog_.get(id);
}

std::vector<Operation> Operations::list(const Page& page) const
{
    std::vector<Operation> rows = catalog_.operations(page);
    const std::scoped_lock lock{mutex_};
    for (Operation& row : rows) {
        if (const auto live = live_.find(row.id); live != live_.end()) row = live->second->operation;
        if (const auto ended = unrecorded_.find(row.id); ended != unrecorded_.end()) row = ended->second;
    }
    return rows;
}

Operation Operations::wait(const OperationId& id, Duration patience) const
{
    {
        std::unique_lock lock{mutex_};
        changed_.wait_for(lock, patience, [&] { return stopping_ || !live_.contains(id); });
    }
    return get(id);
}

Operation Operations::cancel(const OperationId& id)
{
    std::shared_ptr<Shared> shared;
    {
        const std::scoped_lock lock{mutex_};
        if (const auto live = live_.find(id); live != live_.end()) shared = live->second;
    }
    if (!shared) {
        const Operation ended = get(id);
        throw Error{ErrorCode::conflict,
                    "operation " + id.value() + " has already " + std::string{to_string(ended.state)}};
    }
    // A queued one ends when a worker takes it up: at its first check.
    shared->stop.request_stop();
    return get(id);
}

void Operations::shut_down()
{
    std::vector<std::stop_source> running;
    {
        const std::scoped_lock lock{mutex_};
        stopping_ = true;
        for (const auto& [id, shared] : live_) running.push_back(shared->stop);
        changed_.notify_all();
    }
    // Outside the lock: a stop callback may want it.
    for (std::stop_source& stop : running) stop.request_stop();
    workers_.clear();
}

bool Operations::works_on(const InstanceId& id) const
{
    const std::scoped_lock lock{mutex_};
    return std::any_of(live_.begin(), live_.end(), [&id](const auto& entry) {
        return entry.second->operation.instance == id || entry.second->helpers.contains(id);
    });
}

bool Operations::works_on(const CheckpointId& id) const
{
    const std::scoped_lock lock{mutex_};
    return std::any_of(live_.begin(), live_.end(),
                       [&id](const auto& entry) { return entry.second->operation.checkpoint == id; });
}

int Operations::active() const
{
    const std::scoped_lock lock{mutex_};
    return static_cast<int>(live_.size());
}

void Operations::work()
{
    while (true) {
        std::shared_ptr<Shared> next;
        {
            std::unique_lock lock{mutex_};
            changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
            if (queue_.empty()) return;
            next = std::move(queue_.front());
            queue_.pop_front();
            next->operation.state = OperationState::running;
            next->operation.started_at = clock_.now();
        }
        run(next);
    }
}

void Operations::run(const std::shared_ptr<Shared>& shared)
{
    OperationRun handle{shared};
    try {
        handle.check();
        shared->work(handle);
        finish(shared, OperationState::succeeded, std::nullopt);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::cancelled) {
            finish(shared, OperationState::failed, error);
            return;
        }
        bool stopping = false;
        {
            const std::scoped_lock lock{mutex_};
            stopping = stopping_;
        }
        if (stopping) finish(shared, OperationState::failed, Error{ErrorCode::interrupted, "warmd was stopped"});
        else finish(shared, OperationState::cancelled, error);
    } catch (const std::exception& error) {
        finish(shared, OperationState::failed, Error{ErrorCode::internal, error.what()});
    }
}

void Operations::finish(const std::shared_ptr<Shared>& shared, OperationState state, std::optional<Error> error)
{
    Operation ended;
    {
        const std::scoped_lock lock{mutex_};
        shared->operation.phase.clear();
        shared->operation.finished_at = clock_.now();
        shared->operation.error = std::move(error);
        ended = shared->operation;
    }
    ended.state = state;
    if (ended.error) {
        const auto level = state == OperationState::cancelled ? spdlog::level::warn : spdlog::level::err;
        spdlog::log(level, "operation_id={} {} {}: {} {}", ended.id.value(), to_string(ended.kind), to_string(state),
                    printable(ended.error->what()), printable(ended.error->cause()));
    } else {
        spdlog::info("operation_id={} {} {}", ended.id.value(), to_string(ended.kind), to_string(state));
    }
    if (ended_) ended_(ended);
    const bool recorded = record(ended);
    {
        // Only now: whoever waited finds the end in the catalog, or here.
        const std::scoped_lock lock{mutex_};
        if (!recorded) unrecorded_.emplace(ended.id, ended);
        live_.erase(ended.id);
        changed_.notify_all();
    }
    if (recorded) record_ends();  // there may be room again
}

bool Operations::record(const Operation& ended) noexcept
{
    try {
        catalog_.save(ended);
        return true;
    } catch (const std::exception& failure) {
        // A start before it is tried again finds the row unfinished and calls it interrupted.
        spdlog::error("operation_id={} its end cannot be recorded yet: {}", ended.id.value(), failure.what());
        return false;
    }
}

void Operations::record_ends() noexcept
{
    std::map<OperationId, Operation> waiting;
    {
        const std::scoped_lock lock{mutex_};
        waiting = unrecorded_;
    }
    for (const auto& [id, ended] : waiting) {
        if (!record(ended)) return;
        const std::scoped_lock lock{mutex_};
        unrecorded_.erase(id);
    }
}

}  // namespace warmd
