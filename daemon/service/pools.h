#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "daemon/base/clock.h"
#include "daemon/base/memory.h"
#include "daemon/catalog/catalog.h"
#include "daemon/model/lease.h"
#include "daemon/model/pool.h"
#include "daemon/ports/container_engine.h"
#include "daemon/service/host_view.h"
#include "daemon/service/operations.h"
#include "daemon/service/pool_plan.h"
#include "daemon/service/restore.h"
#include "daemon/service/rewarm.h"
#include "daemon/service/templates.h"
#include "daemon/service/warm.h"

namespace warmd {

struct PoolOptions {
    int parallel_fills = 2;  // restores and starts for pools at once
    int max_waiting = 32;    // requests for an instance; each of them holds a thread
    std::function<std::uint64_t()> available_memory = warmd::available_memory;
    std::function<void(const Lease&)> began = [](const Lease&) {};  // told of each new lease
};

/// Keeps instances ready and hands them out, each once. One thread fills, retires and lets leases expire; another
/// destroys what is on its way out. Instances are made by operations, so that they can be watched and cancelled.
/// Thread-safe.
class Pools {
public:
    using Submit = std::function<Operation(Operation draft, Operations::Work work)>;

    Pools(Catalog& catalog, ContainerEngine& engine, Clock& clock, const Templates& templates, const HostView& host,
          Rewarm& rewarm, Restore& restore, Warm& warm, Submit submit, PoolOptions options);
    ~Pools();
    Pools(const Pools&) = delete;
    Pools& operator=(const Pools&) = delete;

    /// Takes over what an earlier run of the daemon has left, and begins to work. Active leases get their full time
    /// once more. Does nothing when called again.
    void start();
    /// Stops both threads and refuses who waits. Instances and leases live on. Call while `submit` is still valid.
    void shut_down();

    /// What an acquisition that has to wait is told once: how its instance is being made, and that in words.
    using Announce = std::function<void(InstancePath path, const std::string& detail)>;

    /// Waits, in turn, until an instance stands ready. Throws Error{not_found} for the template, Error{busy} with what
    /// keeps the pool from growing when none does in `wait`, Error{incompatible_host} when no checkpoint fits this host
    /// and none will be made, Error{cancelled} when `stop` is requested. `cold`: where nothing can be restored, the
    /// application is started for this request.
    /// `key`: of the request that asks for it; recorded with the lease.
    Lease acquire(const TemplateName& name, Duration wait, Duration ttl, bool cold, std::stop_token stop,
                  const Announce& announce = {}, const std::optional<RequestKey>& key = std::nullopt);

    /// Keeps a lease from expiring while it lives, and counts as a heartbeat at its end.
    class Use {
    public:
        Use(Pools& pools, LeaseId id) : pools_{pools}, id_{std::move(id)} {}
        ~Use() { pools_.end_use(id_); }
        Use(const Use&) = delete;
        Use& operator=(const Use&) = delete;

    private:
        Pools& pools_;
        LeaseId id_;
    };
    /// Throws Error{not_found}, Error{conflict} for a lease that has ended.
    std::unique_ptr<Use> use(const LeaseId& id);

    /// Throws as `use`.
    Lease heartbeat(const LeaseId& id);
    /// Ends the lease; its instance is destroyed soon after. Returns the lease as it is when it has ended before.
    Lease release(const LeaseId& id);

    [[nodiscard]] Lease get(const LeaseId& id) const;
    [[nodiscard]] std::vector<Lease> leases(const Page& page, bool with_ended) const;

    /// Throws Error{not_found} for the template.
    [[nodiscard]] PoolStatus status(const TemplateName& name) const;
    /// Of all templates that have a pool, or had a lease since the daemon started.
    [[nodiscard]] std::vector<PoolStatus> all() const;

    /// True for an instance that is waiting for its end here.
    [[nodiscard]] bool works_on(const InstanceId& id) const;

    /// Something has changed that pools depend on: a checkpoint was made or deleted.
    void wake();
    /// Somebody would restore the template: it is looked after from now on, though it may have no pool.
    void want(const TemplateName& name);
    /// Does at once what the thread would do next. For tests.
    void step();

private:
    struct Waiter {
        bool cold = false;
        std::optional<IdleInstance> given;
        std::optional<Error> failure;  // of the cold start that it waited for, or why waiting is no use
    };
    struct Pool {
        std::deque<IdleInstance> idle;  // oldest first
        std::list<Waiter*> waiters;     // in turn
        CheckpointId checkpoint;
        CheckpointId newest;  // see PoolSituation
        std::uint64_t checkpoint_bytes = 0;
        std::optional<Error> misfit;  // there are checkpoints, and none fits this host: of the newest
        int leased = 0;               // or about to be
        int filling = 0;
        int draining = 0;
        int failures = 0;  // in a row
        std::string last_failure;
        SteadyTime retry_at;
        std::string held_back;
    };
    struct Active {
        Lease lease;
        int uses = 0;
        SteadyTime expires;
    };
    class Ticket;
    struct Fill {
        TemplateName name;
        CheckpointId checkpoint;  // empty: start the application
        std::shared_ptr<Ticket> ticket;
    };

    void set_frozen(const ContainerId& container, bool frozen) noexcept;
    [[nodiscard]] PoolPolicy policy_of(const TemplateName& name) const;
    void keep(const std::stop_token& stop);
    void reap(const std::stop_token& stop);
    void end_leases();
    void submit(Fill fill);
    void add(const Fill& fill, const Instance& instance);
    void failed(const Fill& fill, const Error& why);
    void end(const LeaseId& id, LeaseState state, const std::string& reason);
    void end_use(const LeaseId& id);
    void tell(const Announce& announce, const Template& from, bool can_restore) const;
    /// What a template's pool is filled from.
    struct Choice {
        std::optional<Checkpoint> fitting;  // the newest that fits this host
        std::optional<Checkpoint> newest;
    };
    [[nodiscard]] Choice choose(const TemplateName& name) const;
    /// Nothing when the instance turns out to be gone.
    std::optional<Lease> begin(const Template& from, const IdleInstance& given, Duration ttl, bool at_once,
                               SteadyTime began, const std::optional<RequestKey>& key);

    // With the mutex held:
    void adopt();
    void observe(const TemplateName& name, Pool& pool) const;
    std::vector<Fill> plan(const TemplateName& name, Pool& pool, std::uint64_t memory);
    void hand_out(Pool& pool);
    /// Those of `which` wait no longer.
    void turn_away(Pool& pool, const std::function<bool(const Waiter&)>& which, const Error& why);
    /// What was handed out and not taken.
    void give_back(Pool& pool, const IdleInstance& given);
    void retire(Pool& pool, const InstanceId& id, const std::string& reason);
    void leave(Instance instance);
    void renew(Active& active) const;
    [[noreturn]] void refuse(const Waiter& waiter, const Pool& pool, const TemplateName& name,
                             const std::stop_token& stop) const;
    [[nodiscard]] Active& active(const LeaseId& id);
    [[nodiscard]] PoolStatus describe(const TemplateName& name, const Pool& pool) const;

    Catalog& catalog_;
    ContainerEngine& engine_;
    Clock& clock_;
    const Templates& templates_;
    const HostView& host_;
    Rewarm& rewarm_;
    Restore& restore_;
    Warm& warm_;
    const Submit submit_;
    const PoolOptions options_;

    mutable std::mutex mutex_;
    std::condition_variable_any changed_;  // for waiters and both threads
    // State below is protected by mutex_.
    std::map<TemplateName, Pool> pools_;
    std::map<LeaseId, Active> leases_;
    std::deque<Instance> leaving_;  // the first is being ended
    int waiting_ = 0;
    int filling_ = 0;
    std::uint64_t filling_bytes_ = 0;
    bool wake_ = false;
    bool started_ = false;
    bool stopping_ = false;

    std::jthread keeper_;
    std::jthread reaper_;
};

}  // namespace warmd
