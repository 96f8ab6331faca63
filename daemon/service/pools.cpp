#include "daemon/service/pools.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "daemon/base/error.h"
#include "daemon/base/scope_exit.h"
#include "daemon/service/instance_end.h"

namespace warmd {

namespace {

constexpr Duration kLookEvery = std::chrono::seconds{1};  // for what nobody tells: times, memory, ended instances
constexpr Duration kFirstRetry = std::chrono::seconds{1};
constexpr Duration kLastRetry = std::chrono::minutes{5};
/// Left to others when instances are made.
constexpr std::uint64_t kSpareMemory = std::uint64_t{256} << 20U;

Duration delay_after(int failures)
{
    Duration delay = kFirstRetry;
    for (int i = 1; i < failures && delay < kLastRetry; ++i) delay *= 2;
    return std::min(delay, kLastRetry);
}

Error has_ended(const Lease& lease)
{
    return Error{ErrorCode::conflict, "lease " + lease.id.value() + " is " + std::string{to_string(lease.state)}}
        .with_hint("acquire another one: POST /v1/pools/" + lease.template_name.value() + "/leases");
}

std::string megabytes(std::uint64_t bytes) { return std::to_string(bytes >> 20U) + " MiB"; }

Error as_error(const std::exception& failure)
{
    const auto* const known = dynamic_cast<const Error*>(&failure);
    return known != nullptr ? *known : Error{ErrorCode::internal, failure.what()};
}

}  // namespace

/// Counted by `plan`, given back by `finish` or at its end.
class Pools::Ticket {
public:
    Ticket(Pools& pools, TemplateName name, std::uint64_t bytes) : pools_{pools}, name_{std::move(name)}, bytes_{bytes}
    {
    }
    ~Ticket()
    {
        const std::scoped_lock lock{pools_.mutex_};
        finish();
    }
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;

    void finish()  // with the mutex held
    {
        if (std::exchange(finished_, true)) return;
        --pools_.pools_[name_].filling;
        --pools_.filling_;
        pools_.filling_bytes_ -= bytes_;
        pools_.wake_ = true;
        pools_.changed_.notify_all();
    }

private:
    Pools& pools_;
    TemplateName name_;
    std::uint64_t bytes_;
    bool finished_ = false;
};

Pools::Pools(Catalog& catalog, ContainerEngine& engine, Clock& clock, const Templates& templates, const HostView& host,
             Rewarm& rewarm, Restore& restore, Warm& warm, Submit submit, PoolOptions options)
    : catalog_{catalog},
      engine_{engine},
      clock_{clock},
      templates_{templates},
      host_{host},
      rewarm_{rewarm},
      restore_{restore},
      warm_{warm},
      submit_{std::move(submit)},
      options_{std::move(options)}
{
}

Pools::~Pools() { shut_down(); }

void Pools::start()
{
    {
        const std::scoped_lock lock{mutex_};
        if (std::exchange(started_, true) || stopping_) return;
    }
    // Before anybody can be given one: a lease must not find its instance frozen again.
    for (const Instance& instance : catalog_.instances(Page::all())) {
        if (instance.pooled && instance.state == InstanceState::idle) {
            set_frozen(instance.container, policy_of(instance.template_name).frozen);  // that may have changed
        }
    }
    {
        const std::scoped_lock lock{mutex_};
        adopt();
    }
    keeper_ = std::jthread{[this](const std::stop_token& stop) { keep(stop); }};
    reaper_ = std::jthread{[this](const std::stop_token& stop) { reap(stop); }};
}

void Pools::shut_down()
{
    {
        const std::scoped_lock lock{mutex_};
        stopping_ = true;
        changed_.notify_all();
    }
    for (std::jthread* const thread : {&keeper_, &reaper_}) {
        thread->request_stop();
        if (thread->joinable()) thread->join();
    }
}

void Pools::adopt()
{
    for (const auto& [name, from] : templates_.all()) {
        if (from.pool.min_idle > 0) pools_[name];
    }
    std::map<InstanceId, Lease> leases;
    for (const Lease& lease : catalog_.leases(Page::all())) leases.emplace(lease.instance, lease);
    for (const Instance& instance : catalog_.instances(Page::all())) {
        const bool idle = instance.pooled && instance.state == InstanceState::idle;
        if (!idle && instance.state != InstanceState::leased) continue;
        Pool& pool = pools_[instance.template_name];
        if (instance.state == InstanceState::leased) {
            const auto found = leases.find(instance.id);
            if (found == leases.end()) {
                leave(catalog_.transition(instance.id, {InstanceState::leased}, InstanceState::draining,
                                          "it is leased to nobody"));
                continue;
            }
            ++pool.leased;
            Active& active = leases_[found->second.id];
            active.lease = found->second;
            renew(active);
            leases.erase(found);
        } else if (const auto [fitting, newest] = choose(instance.template_name);
                   !(fitting && fitting->id == instance.checkpoint) && !(newest && newest->id == instance.checkpoint)) {
            leave(catalog_.transition(instance.id, {InstanceState::idle}, InstanceState::draining,
                                      "it is not of the newest checkpoint of its template as that is now"));
        } else {
            pool.idle.push_front({instance.id, instance.checkpoint, clock_.steady_now()});
        }
    }
    for (auto& [instance, lease] : leases) {
        lease.state = LeaseState::lost;
        lease.ended_at = clock_.now();
        catalog_.end(lease, {});
    }
    for (auto& [name, pool] : pools_) hand_out(pool);
}

void Pools::keep(const std::stop_token& stop)
{
    while (!stop.stop_requested()) {
        {
            const std::scoped_lock lock{mutex_};
            wake_ = false;  // here: a step that fails must not be repeated at once
        }
        try {
            step();
        } catch (const std::exception& error) {
            spdlog::error("pools: {}", error.what());
        }
        std::unique_lock lock{mutex_};
        changed_.wait_for(lock, stop, kLookEvery, [this] { return wake_; });
    }
}

void Pools::step()
{
    end_leases();
    std::vector<Fill> fills;
    std::vector<TemplateName> lacking;
    {
        const std::scoped_lock lock{mutex_};
        if (stopping_) return;
        const std::uint64_t memory = options_.available_memory();
        for (auto& [name, pool] : pools_) {
            observe(name, pool);
            if (pool.misfit) lacking.push_back(name);
            for (Fill& fill : plan(name, pool, memory)) fills.push_back(std::move(fill));
        }
    }
    for (const TemplateName& name : lacking) rewarm_.begin(templates_.get(name));
    for (Fill& fill : fills) submit(std::move(fill));
}

void Pools::end_leases()
{
    std::vector<std::pair<LeaseId, LeaseState>> ending;
    {
        const std::scoped_lock lock{mutex_};
        for (const auto& [id, active] : leases_) {
            const auto instance = catalog_.find(active.lease.instance);
            if (!instance || instance->state != InstanceState::leased) {
                ending.emplace_back(id, LeaseState::lost);
            } else if (active.uses == 0 && clock_.steady_now() >= active.expires) {
                ending.emplace_back(id, LeaseState::expired);
            }
        }
    }
    for (const auto& [id, state] : ending) end(id, state, "its lease expired");
}

PoolPolicy Pools::policy_of(const TemplateName& name) const
{
    const auto known = templates_.all().find(name);
    return known == templates_.all().end() ? PoolPolicy{} : known->second.pool;
}

Pools::Choice Pools::choose(const TemplateName& name) const
{
    const auto known = templates_.all().find(name);
    if (known == templates_.all().end()) return {};
    Choice choice;
    choice.fitting = catalog_.newest_available(name, known->second.digest, [this, &choice](const Checkpoint& next) {
        if (!choice.newest) choice.newest = next;
        return host_.fits(next);
    });
    return choice;
}

void Pools::observe(const TemplateName& name, Pool& pool) const
{
    std::erase_if(pool.idle, [this](const IdleInstance& idle) {
        const auto instance = catalog_.find(idle.id);
        return !instance || instance->state != InstanceState::idle;
    });
    const auto [fitting, newest] = choose(name);
    const CheckpointId id = fitting ? fitting->id : CheckpointId{};
    if (pool.checkpoint != id) {  // how restores of the last one went says nothing about it
        pool.failures = 0;
        pool.retry_at = {};
    }
    pool.checkpoint = id;
    pool.checkpoint_bytes = fitting ? fitting->size_bytes : 0;
    pool.newest = newest ? newest->id : CheckpointId{};
    pool.misfit.reset();
    if (newest && !fitting) pool.misfit = incompatible_host(*newest, host_.differences(*newest));
}

std::vector<Pools::Fill> Pools::plan(const TemplateName& name, Pool& pool, std::uint64_t memory)
{
    const PoolPolicy policy = policy_of(name);
    const auto takes_cold = [](const Waiter* waiter) { return waiter->cold; };
    const PoolPlan plan = plan_pool(
        {.policy = policy,
         .checkpoint = pool.checkpoint,
         .newest = pool.newest,
         .idle = {pool.idle.begin(), pool.idle.end()},
         .leased = pool.leased,
         .filling = pool.filling,
         .waiting = static_cast<int>(pool.waiters.size()),
         .waiting_cold = static_cast<int>(std::count_if(pool.waiters.begin(), pool.waiters.end(), takes_cold)),
         .can_restore = clock_.steady_now() >= pool.retry_at,
         .now = clock_.steady_now()});
    for (const auto& [id, reason] : plan.retire) retire(pool, id, reason);

    pool.held_back.clear();
    const int wanted = policy.min_idle + static_cast<int>(pool.waiters.size());
    const bool short_of = static_cast<int>(pool.idle.size()) + pool.filling < wanted;
    if (short_of && pool.misfit) {
        const Template& from = templates_.get(name);
        pool.held_back = std::string{pool.misfit->what()} + "; " + rewarm_.describe(from);
        if (from.rewarm == RewarmPolicy::never) {
            turn_away(
                pool, [](const Waiter& waiter) { return !waiter.cold; }, *pool.misfit);
        }
    } else if (short_of && pool.checkpoint.empty()) {
        pool.held_back = "its template, as it is now, has no available checkpoint";
    } else if (short_of && clock_.steady_now() < pool.retry_at) {
        pool.held_back = "the last restore failed: " + pool.last_failure;
    } else if (short_of && plan.restore + plan.start == 0) {
        pool.held_back = "it has max_size instances";
    }
    std::vector<Fill> fills;
    const std::uint64_t each = plan.restore > 0 ? pool.checkpoint_bytes : 0;
    for (int i = 0; i < plan.restore + plan.start && filling_ < options_.parallel_fills; ++i) {
        if (memory < filling_bytes_ + each + kSpareMemory) {
            pool.held_back = "memory: " + megabytes(memory) + " are available, an instance may need " +
                             megabytes(each) + ", " + megabytes(filling_bytes_ + kSpareMemory) + " are for others";
            break;
        }
        ++pool.filling;
        ++filling_;
        filling_bytes_ += each;
        fills.push_back({.name = name,
                         .checkpoint = plan.restore > 0 ? pool.checkpoint : CheckpointId{},
                         .ticket = std::make_shared<Ticket>(*this, name, each)});
    }
    return fills;
}

void Pools::submit(Fill fill)
{
    const OperationKind kind = fill.checkpoint.empty() ? OperationKind::warm : OperationKind::restore;
    Operation draft{.kind = kind, .template_name = fill.name, .checkpoint = fill.checkpoint};
    try {
        submit_(std::move(draft), [this, fill](OperationRun& run) {
            try {
                const Instance made = fill.checkpoint.empty()
                                          ? warm_.run(templates_.get(fill.name), run, /*pooled=*/true)
                                          : restore_.run(fill.checkpoint, {.pooled = true}, run);
                add(fill, made);
            } catch (const std::exception& error) {
                failed(fill, as_error(error));
                throw;
            }
        });
    } catch (const std::exception& error) {
        failed(fill, as_error(error));
    }
}

void Pools::set_frozen(const ContainerId& container, bool frozen) noexcept
{
    try {
        engine_.set_frozen(container, frozen);
    } catch (const std::exception& error) {
        spdlog::warn("container {} cannot be frozen or thawed: {}", container.value(), error.what());
    }
}

void Pools::add(const Fill& fill, const Instance& instance)
{
    if (policy_of(fill.name).frozen) set_frozen(instance.container, true);
    const std::scoped_lock lock{mutex_};
    fill.ticket->finish();
    Pool& pool = pools_[fill.name];
    if (!fill.checkpoint.empty()) pool.failures = 0;
    pool.idle.push_back({instance.id, instance.checkpoint, clock_.steady_now()});
    hand_out(pool);
}

void Pools::failed(const Fill& fill, const Error& why)
{
    const std::scoped_lock lock{mutex_};
    fill.ticket->finish();
    Pool& pool = pools_[fill.name];
    const std::string what = "no instance of \"" + fill.name.value() + "\" could be made";
    if (why.code() == ErrorCode::no_space) {  // nor will another one be
        turn_away(
            pool, [](const Waiter&) { return true; },
            Error{ErrorCode::no_space, what}
                .with_cause(why.what())
                .with_hint("free some: warmctl df, warmctl prune, warmctl instance rm"));
    }
    if (!fill.checkpoint.empty()) {
        if (fill.checkpoint != pool.checkpoint) return;  // that of another says nothing
        pool.last_failure = why.what();
        pool.retry_at = clock_.steady_now() + delay_after(++pool.failures);
        return;
    }
    // Nothing is left to try for those who wait for a cold start.
    turn_away(
        pool, [](const Waiter& waiter) { return waiter.cold; },
        Error{ErrorCode::not_ready, what}.with_cause(why.what()));
}

void Pools::turn_away(Pool& pool, const std::function<bool(const Waiter&)>& which, const Error& why)
{
    std::erase_if(pool.waiters, [&which, &why](Waiter* waiter) {
        const bool away = which(*waiter);
        if (away) waiter->failure = why;
        return away;
    });
    changed_.notify_all();
}

void Pools::give_back(Pool& pool, const IdleInstance& given)
{
    --pool.leased;
    pool.idle.push_front(given);
    hand_out(pool);
}

void Pools::hand_out(Pool& pool)
{
    while (!pool.waiters.empty() && !pool.idle.empty()) {
        pool.waiters.front()->given = pool.idle.front();
        pool.waiters.pop_front();
        pool.idle.pop_front();
        ++pool.leased;
    }
    wake_ = true;
    changed_.notify_all();
}

Lease Pools::acquire(const TemplateName& name, Duration wait, Duration ttl, bool cold, std::stop_token stop,
                     const Announce& announce, const std::optional<RequestKey>& key)
{
    const Template& from = templates_.get(name);
    const SteadyTime began = std::chrono::steady_clock::now();
    Waiter self{.cold = cold};
    bool at_once = true;
    for (bool again = false;; again = true) {
        std::unique_lock lock{mutex_};
        Pool& pool = pools_[name];
        if (!again && waiting_ >= options_.max_waiting) {
            throw Error{ErrorCode::busy, "too many requests wait for an instance"}.with_hint(
                "try again later; api.streams in warmd.toml bounds how many may wait");
        }
        ++waiting_;
        // Who was given one that turned out to be gone was the first.
        pool.waiters.insert(again ? pool.waiters.begin() : pool.waiters.end(), &self);
        const ScopeExit leave_queue{[&]() noexcept {
            if (!lock.owns_lock()) lock.lock();
            pool.waiters.remove(&self);
            --waiting_;
            if (self.given) give_back(pool, *self.given);
        }};
        hand_out(pool);
        if (!self.given && std::exchange(at_once, false) && announce) {
            const bool can_restore = clock_.steady_now() >= pool.retry_at;
            lock.unlock();
            tell(announce, from, can_restore);
            lock.lock();
        }
        const auto over = [&] { return self.given || self.failure || stopping_; };
        changed_.wait_until(lock, stop, began + wait, over);
        if (!self.given) refuse(self, pool, name, stop);
        const IdleInstance given = *std::exchange(self.given, std::nullopt);
        lock.unlock();
        auto lease = begin(from, given, ttl, at_once, began, key);
        lock.lock();
        if (lease) return *lease;
    }
}

void Pools::tell(const Announce& announce, const Template& from, bool can_restore) const
{
    const Choice choice = choose(from.name);
    if (!choice.fitting) {
        announce(InstancePath::cold, choice.newest
                                         ? "no checkpoint fits this host: the application is being started"
                                         : "there is no checkpoint to restore: the application is being started");
    } else if (!can_restore) {
        announce(InstancePath::cold, "the last restore failed: the application is being started");
    } else {
        announce(InstancePath::linked, "no instance is idle: one is being restored, or waited for");
    }
}

void Pools::refuse(const Waiter& waiter, const Pool& pool, const TemplateName& name, const std::stop_token& stop) const
{
    if (stop.stop_requested()) throw Error{ErrorCode::cancelled, "the request for an instance was given up"};
    if (stopping_) throw Error{ErrorCode::unavailable, "warmd is stopping"};
    if (waiter.failure) throw *waiter.failure;
    throw Error{ErrorCode::busy, "no instance of \"" + name.value() + "\" became free in time"}
        .with_cause(pool.held_back)
        .with_hint("wait longer, raise max_size in the template's [pool], or look at GET /v1/pools/" + name.value());
}

std::optional<Lease> Pools::begin(const Template& from, const IdleInstance& given, Duration ttl, bool at_once,
                                  SteadyTime began, const std::optional<RequestKey>& key)
{
    try {
        const Instance instance = catalog_.get(given.id);
        static_cast<void>(engine_.running_pid(instance.container));  // it may have ended since
        if (from.pool.frozen) engine_.set_frozen(instance.container, false);
        Lease lease{.id = LeaseId{new_id(kLeasePrefix)},
                    .template_name = from.name,
                    .instance = given.id,
                    .path = at_once ? InstancePath::pool : instance.path,
                    .ttl = ttl,
                    .created_at = clock_.now()};
        lease.expires_at = lease.created_at + ttl;
        lease.elapsed = std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now() - began);
        catalog_.begin(lease, key);
        options_.began(lease);
        const std::scoped_lock lock{mutex_};
        leases_.emplace(lease.id, Active{.lease = lease, .expires = clock_.steady_now() + ttl});
        return lease;
    } catch (const Error& error) {
        const std::scoped_lock lock{mutex_};
        Pool& pool = pools_[from.name];
        const bool gone = error.code() == ErrorCode::conflict || error.code() == ErrorCode::not_found;
        if (!gone) {
            give_back(pool, given);  // it is as good as before
            throw;
        }
        --pool.leased;
        spdlog::warn("instance_id={} cannot be leased: {}", given.id.value(), error.what());
        retire(pool, given.id, "its container has ended");
        return std::nullopt;
    }
}

Pools::Active& Pools::active(const LeaseId& id)
{
    const auto found = leases_.find(id);
    if (found != leases_.end()) return found->second;
    throw has_ended(catalog_.get(id));
}

std::unique_ptr<Pools::Use> Pools::use(const LeaseId& id)
{
    const std::scoped_lock lock{mutex_};
    ++active(id).uses;
    return std::make_unique<Use>(*this, id);
}

void Pools::end_use(const LeaseId& id)
{
    const std::scoped_lock lock{mutex_};
    const auto found = leases_.find(id);
    if (found == leases_.end()) return;
    --found->second.uses;
    renew(found->second);
}

void Pools::renew(Active& active) const
{
    active.expires = clock_.steady_now() + active.lease.ttl;
    active.lease.expires_at = clock_.now() + active.lease.ttl;
}

Lease Pools::heartbeat(const LeaseId& id)
{
    const std::scoped_lock lock{mutex_};
    Active& found = active(id);
    renew(found);
    return found.lease;
}

Lease Pools::release(const LeaseId& id)
{
    end(id, LeaseState::released, "its lease was released");
    return catalog_.get(id);
}

void Pools::end(const LeaseId& id, LeaseState state, const std::string& reason)
{
    std::unique_lock lock{mutex_};
    const auto found = leases_.find(id);
    if (found == leases_.end()) return;
    const auto node = leases_.extract(found);
    lock.unlock();
    Lease lease = node.mapped().lease;
    lease.state = state;
    lease.ended_at = clock_.now();
    std::optional<Instance> instance;
    try {
        instance = catalog_.end(lease, reason);
    } catch (...) {
        lock.lock();
        leases_.emplace(id, node.mapped());
        throw;
    }
    lock.lock();
    Pool& pool = pools_[lease.template_name];
    --pool.leased;
    if (instance) leave(*std::move(instance));
    wake_ = true;
    changed_.notify_all();
}

void Pools::retire(Pool& pool, const InstanceId& id, const std::string& reason)
{
    std::erase_if(pool.idle, [&id](const IdleInstance& idle) { return idle.id == id; });
    try {
        leave(catalog_.transition(id, {InstanceState::idle}, InstanceState::draining, reason));
    } catch (const Error& error) {
        spdlog::debug("instance_id={} is not retired: {}", id.value(), error.what());  // somebody else has ended it
    }
}

void Pools::leave(Instance instance)
{
    ++pools_[instance.template_name].draining;
    leaving_.push_back(std::move(instance));
    changed_.notify_all();
}

void Pools::reap(const std::stop_token& stop)
{
    std::unique_lock lock{mutex_};
    while (changed_.wait(lock, stop, [this] { return !leaving_.empty(); }) && !stop.stop_requested()) {
        Instance instance = leaving_.front();  // stays there while it is worked on
        lock.unlock();
        end_instance_quietly(catalog_, engine_, clock_, instance, instance.reason);
        lock.lock();
        leaving_.pop_front();
        --pools_[instance.template_name].draining;
        wake_ = true;
        changed_.notify_all();
    }
}

void Pools::want(const TemplateName& name)
{
    const std::scoped_lock lock{mutex_};
    pools_[name];
    wake_ = true;
    changed_.notify_all();
}

bool Pools::works_on(const InstanceId& id) const
{
    const std::scoped_lock lock{mutex_};
    return std::any_of(leaving_.begin(), leaving_.end(), [&id](const Instance& leaving) { return leaving.id == id; });
}

void Pools::wake()
{
    const std::scoped_lock lock{mutex_};
    wake_ = true;
    changed_.notify_all();
}

Lease Pools::get(const LeaseId& id) const
{
    {
        const std::scoped_lock lock{mutex_};
        if (const auto found = leases_.find(id); found != leases_.end()) return found->second.lease;
    }
    return catalog_.get(id);
}

std::vector<Lease> Pools::leases(const Page& page, bool with_ended) const
{
    std::vector<Lease> leases = catalog_.leases(page, with_ended);
    const std::scoped_lock lock{mutex_};
    for (Lease& lease : leases) {
        if (const auto found = leases_.find(lease.id); found != leases_.end()) lease = found->second.lease;
    }
    return leases;
}

PoolStatus Pools::describe(const TemplateName& name, const Pool& pool) const
{
    return {.template_name = name,
            .policy = policy_of(name),
            .checkpoint = pool.checkpoint,
            .idle = static_cast<int>(pool.idle.size()),
            .leased = pool.leased,
            .filling = pool.filling,
            .draining = pool.draining,
            .waiting = static_cast<int>(pool.waiters.size()),
            .held_back = pool.held_back};
}

PoolStatus Pools::status(const TemplateName& name) const
{
    static_cast<void>(templates_.get(name));
    const std::scoped_lock lock{mutex_};
    if (const auto found = pools_.find(name); found != pools_.end()) return describe(name, found->second);
    Pool none;
    observe(name, none);
    return describe(name, none);
}

std::vector<PoolStatus> Pools::all() const
{
    const std::scoped_lock lock{mutex_};
    std::vector<PoolStatus> all;
    for (const auto& [name, pool] : pools_) all.push_back(describe(name, pool));
    return all;
}

}  // namespace warmd
