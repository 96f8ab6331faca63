#include "daemon/service/pools.h"

#include <algorithm>
#include <atomic>
#include <fstream>
#include <functional>
#include <future>
#include <iterator>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/service_fixture.h"
#include "tests/unit/expect_error.h"

namespace warmd {
namespace {

using namespace std::chrono_literals;
using test::contains;
using test::expect_error;

const TemplateName kQuick{"quick"};

/// Time passes only by `pass`; what is waited for besides is real.
class PoolsTest : public test::ServiceFixture {
protected:
    PoolsTest() { manual_time = true; }

    void set_pool(const PoolPolicy& policy)
    {
        Template entry = test::quick_template();
        entry.command = {"sleep", "1000"};  // one process, whose state tells whether it is frozen
        entry.pool = policy;
        add(entry);
    }

    Pools& pools() { return service().pools(); }
    PoolStatus status() { return pools().status(kQuick); }

    void pass(Duration duration)
    {
        manual_clock.sleep_for(duration, {});
        pools().step();
    }

    bool settles(int idle, int leased = 0)
    {
        return eventually([&] {
            const PoolStatus now = status();
            return now.idle == idle && now.leased == leased && now.filling == 0 && now.draining == 0;
        });
    }
    /// Has tried `restores` times in all, and waits before it tries again.
    bool is_held_back_after(int restores)
    {
        return eventually([&] {
            const PoolStatus now = status();
            return engine.calls("restore") == restores && now.filling == 0 && !now.held_back.empty();
        });
    }

    bool is_ended(const InstanceId& id)
    {
        return eventually([&] { return catalog().get(id).state == InstanceState::terminated; });
    }

    std::set<InstanceId> idle_instances()
    {
        std::set<InstanceId> ids;
        for (const Instance& instance : catalog().instances(Page::all())) {
            if (instance.pooled && instance.state == InstanceState::idle) ids.insert(instance.id);
        }
        return ids;
    }

    Lease acquire(Duration wait = 1min, Duration ttl = 1min) { return pools().acquire(kQuick, wait, ttl, false, {}); }
    Lease acquire_cold() { return pools().acquire(kQuick, 1min, 1min, true, {}); }

    struct Request {
        std::stop_source stop;
        std::future<Lease> lease;
    };

    /// A request for a lease that waits by now.
    Request request(bool cold = false)
    {
        const int before = status().waiting;
        Request made;
        made.lease = std::async(std::launch::async, [this, cold, stop = made.stop.get_token()] {
            return pools().acquire(kQuick, 1min, 1min, cold, stop);
        });
        EXPECT_TRUE(eventually([&] { return status().waiting > before; }));
        return made;
    }

    /// As /proc tells it: 'T' for a stopped process, which is how the fake engine freezes.
    char process_state(const InstanceId& id)
    {
        const auto container = engine.inspect(container_name(id));
        if (!container) return '-';
        std::ifstream file{"/proc/" + std::to_string(container->pid) + "/stat"};
        const std::string text{std::istreambuf_iterator<char>{file}, {}};
        const std::size_t name_end = text.rfind(") ");
        return name_end == std::string::npos ? '-' : text.at(name_end + 2);
    }
};

TEST_F(PoolsTest, APoolFillsItselfOnceThereIsACheckpoint)
{
    set_pool({.min_idle = 2});
    pools().step();
    EXPECT_EQ(status().held_back, "its template, as it is now, has no available checkpoint");
    const Checkpoint made = checkpoint();
    ASSERT_TRUE(settles(2));
    EXPECT_EQ(status().checkpoint, made.id);
    EXPECT_EQ(status().held_back, "");
    EXPECT_EQ(engine.container_names().size(), 2U);
    for (const Instance& instance : catalog().instances(Page::all())) {
        EXPECT_TRUE(instance.pooled);
        EXPECT_EQ(instance.state, InstanceState::idle);
        EXPECT_EQ(instance.checkpoint, made.id);
    }
    ASSERT_EQ(pools().all().size(), 1U);
    EXPECT_EQ(pools().all().front().idle, 2);
}

TEST_F(PoolsTest, ALeaseTakesAnInstanceOutOfThePoolAndAnotherFillsItsPlace)
{
    set_pool({.min_idle = 2});
    checkpoint();
    ASSERT_TRUE(settles(2));
    const std::set<InstanceId> ready = idle_instances();
    bool announced = false;
    const Lease lease = pools().acquire(kQuick, 1min, 2min, false, {},
                                        [&](InstancePath, const std::string&) { announced = true; });
    EXPECT_FALSE(announced) << "there was nothing to wait for";
    EXPECT_EQ(lease.path, InstancePath::pool);
    EXPECT_EQ(lease.state, LeaseState::active);
    EXPECT_EQ(lease.ttl, 2min);
    EXPECT_EQ(lease.expires_at, manual_clock.now() + 2min);
    EXPECT_TRUE(ready.contains(lease.instance));
    EXPECT_EQ(catalog().get(lease.instance).state, InstanceState::leased);
    EXPECT_EQ(exec(lease.instance, "echo $((1 + 2))"), "3\n");
    EXPECT_TRUE(settles(2, 1));
    EXPECT_EQ(pools().get(lease.id).instance, lease.instance);
    ASSERT_EQ(pools().leases(Page::all(), false).size(), 1U);
}

TEST_F(PoolsTest, WithoutAPoolALeaseIsRestoredAndAnnounced)
{
    const Checkpoint made = checkpoint();
    std::vector<std::pair<InstancePath, std::string>> announced;
    const Lease lease = pools().acquire(
        kQuick, 1min, 1min, false, {},
        [&](InstancePath path, const std::string& detail) { announced.emplace_back(path, detail); });
    EXPECT_EQ(lease.path, InstancePath::linked);
    EXPECT_EQ(catalog().get(lease.instance).checkpoint, made.id);
    ASSERT_EQ(announced.size(), 1U);
    EXPECT_EQ(announced.front().first, InstancePath::linked);
    EXPECT_FALSE(announced.front().second.empty());
    EXPECT_TRUE(settles(0, 1));
}

TEST_F(PoolsTest, WithoutACheckpointTheApplicationIsStartedForWhoWantsThat)
{
    std::vector<InstancePath> announced;
    const Lease lease = pools().acquire(kQuick, 1min, 1min, true, {},
                                        [&](InstancePath path, const std::string&) { announced.push_back(path); });
    EXPECT_EQ(lease.path, InstancePath::cold);
    EXPECT_EQ(announced, std::vector<InstancePath>{InstancePath::cold});
    EXPECT_EQ(catalog().get(lease.instance).origin, Origin::warm);
    EXPECT_TRUE(settles(0, 1));
}

TEST_F(PoolsTest, WithoutACheckpointOthersAreToldThatThereIsNone)
{
    Request waiting = request();
    EXPECT_TRUE(eventually([&] { return !status().held_back.empty(); }));
    const Error error = expect_error(ErrorCode::busy, [&] { acquire(Duration::zero()); });
    EXPECT_TRUE(contains(error.cause(), "no available checkpoint")) << error.cause();
    EXPECT_FALSE(error.hint().empty());
    EXPECT_EQ(engine.calls("create"), 0);
    waiting.stop.request_stop();
    expect_error(ErrorCode::cancelled, [&] { waiting.lease.get(); });
}

TEST_F(PoolsTest, AColdStartThatFailsEndsTheWaitWithItsCause)
{
    engine.fail_next("create", Error{ErrorCode::engine_failed, "no luck today"});
    const Error error = expect_error(ErrorCode::not_ready, [&] { acquire_cold(); });
    EXPECT_TRUE(contains(error.cause(), "no luck today")) << error.cause();
    EXPECT_TRUE(settles(0));
    EXPECT_EQ(acquire_cold().path, InstancePath::cold);
}

TEST_F(PoolsTest, ATemplateThatIsNotThereHasNoPool)
{
    const TemplateName nobody{"nobody"};
    expect_error(ErrorCode::not_found, [&] { pools().acquire(nobody, 1min, 1min, true, {}); });
    expect_error(ErrorCode::not_found, [&] { static_cast<void>(pools().status(nobody)); });
    for (const auto& ask : std::vector<std::function<void(const LeaseId&)>>{
             [&](const LeaseId& id) { static_cast<void>(pools().get(id)); },
             [&](const LeaseId& id) { pools().heartbeat(id); }, [&](const LeaseId& id) { pools().release(id); },
             [&](const LeaseId& id) { pools().use(id); }}) {
        expect_error(ErrorCode::not_found, [&] { ask(LeaseId{"lease-nobody"}); });
    }
}

TEST_F(PoolsTest, WhoCameFirstIsServedFirst)
{
    set_pool({.max_size = 1});
    checkpoint();
    const Lease first = acquire();
    Request second = request();
    Request third = request();
    EXPECT_EQ(status().waiting, 2);
    pools().release(first.id);
    const Lease next = second.lease.get();
    EXPECT_EQ(status().waiting, 1);
    EXPECT_NE(third.lease.wait_for(0s), std::future_status::ready);
    pools().release(next.id);
    EXPECT_NE(third.lease.get().instance, next.instance);
}

TEST_F(PoolsTest, WhenTheWaitIsOverMaxSizeIsNamed)
{
    set_pool({.max_size = 1});
    checkpoint();
    const Lease lease = acquire();
    Request waiting = request();
    EXPECT_TRUE(eventually([&] { return !status().held_back.empty(); }));
    const Error error = expect_error(ErrorCode::busy, [&] { acquire(Duration::zero()); });
    EXPECT_TRUE(contains(error.cause(), "max_size")) << error.cause();
    pools().release(lease.id);
    waiting.lease.get();
    EXPECT_TRUE(settles(0, 1));
}

TEST_F(PoolsTest, AReleasedInstanceIsDestroyedAndNeverUsedAgain)
{
    checkpoint();
    const Lease lease = acquire();
    const Lease released = pools().release(lease.id);
    EXPECT_EQ(released.state, LeaseState::released);
    EXPECT_EQ(released.ended_at, manual_clock.now());
    ASSERT_TRUE(is_ended(lease.instance));
    EXPECT_EQ(catalog().get(lease.instance).reason, "its lease was released");
    EXPECT_TRUE(engine.container_names().empty());
    EXPECT_NE(acquire().instance, lease.instance);
    EXPECT_EQ(pools().release(lease.id).state, LeaseState::released) << "again is no error";
    const Error error = expect_error(ErrorCode::conflict, [&] { pools().use(lease.id); });
    EXPECT_TRUE(contains(error.what(), "is released")) << error.what();
    EXPECT_EQ(pools().leases(Page::all(), true).size(), 2U);
    EXPECT_EQ(pools().leases(Page::all(), false).size(), 1U);
}

TEST_F(PoolsTest, ALeaseExpiresWhenItsTimeIsOver)
{
    checkpoint();
    const Lease lease = acquire(1min, 10s);
    pass(10s - 1us);
    EXPECT_EQ(pools().get(lease.id).state, LeaseState::active);
    pass(1us);
    EXPECT_TRUE(eventually([&] { return pools().get(lease.id).state == LeaseState::expired; }));
    ASSERT_TRUE(is_ended(lease.instance));
    EXPECT_EQ(catalog().get(lease.instance).reason, "its lease expired");
    expect_error(ErrorCode::conflict, [&] { pools().heartbeat(lease.id); });
    EXPECT_TRUE(settles(0));
}

TEST_F(PoolsTest, AHeartbeatGivesALeaseItsFullTimeOnceMore)
{
    checkpoint();
    const Lease lease = acquire(1min, 10s);
    pass(9s);
    EXPECT_EQ(pools().heartbeat(lease.id).expires_at, lease.expires_at + 9s);
    EXPECT_EQ(pools().get(lease.id).expires_at, lease.expires_at + 9s);
    EXPECT_EQ(pools().leases(Page::all(), false).front().expires_at, lease.expires_at + 9s);
    pass(9s);
    EXPECT_EQ(pools().get(lease.id).state, LeaseState::active);
    pass(1s);
    EXPECT_TRUE(eventually([&] { return pools().get(lease.id).state == LeaseState::expired; }));
}

TEST_F(PoolsTest, ALeaseInUseDoesNotExpireAndTheEndOfItsUseIsAHeartbeat)
{
    checkpoint();
    const Lease lease = acquire(1min, 10s);
    auto first = pools().use(lease.id);
    auto second = pools().use(lease.id);
    pass(1h);
    first.reset();
    pass(1h);
    EXPECT_EQ(pools().get(lease.id).state, LeaseState::active);
    second.reset();
    pass(9s);
    EXPECT_EQ(pools().get(lease.id).state, LeaseState::active);
    pass(1s);
    EXPECT_TRUE(eventually([&] { return pools().get(lease.id).state == LeaseState::expired; }));
}

TEST_F(PoolsTest, AUseMayOutliveItsLease)
{
    checkpoint();
    const Lease lease = acquire();
    const auto use = pools().use(lease.id);
    EXPECT_EQ(pools().release(lease.id).state, LeaseState::released);
    EXPECT_TRUE(is_ended(lease.instance));
}

TEST_F(PoolsTest, ALeaseWhoseInstanceDiedIsLost)
{
    checkpoint();
    const Lease lease = acquire();
    engine.kill_container(container_name(lease.instance));
    // A sweep leaves an instance alone while the operation that made it has not quite ended.
    EXPECT_TRUE(eventually([&] { return service().operations().active() == 0; }));
    service().reconcile();
    pools().step();
    EXPECT_TRUE(eventually([&] { return pools().get(lease.id).state == LeaseState::lost; }));
    EXPECT_TRUE(settles(0));
    const Error error = expect_error(ErrorCode::conflict, [&] { pools().use(lease.id); });
    EXPECT_TRUE(contains(error.what(), "is lost")) << error.what();
    EXPECT_EQ(catalog().get(lease.instance).reason, "its container has ended");
}

TEST_F(PoolsTest, ALeaseWhoseInstanceWasTerminatedByRequestIsLost)
{
    checkpoint();
    const Lease lease = acquire();
    EXPECT_EQ(finish(service().terminate(lease.instance)).state, OperationState::succeeded);
    pools().step();
    EXPECT_TRUE(eventually([&] { return pools().get(lease.id).state == LeaseState::lost; }));
    EXPECT_TRUE(settles(0));
}

TEST_F(PoolsTest, AnIdleInstanceWhoseContainerDiedIsNotHandedOut)
{
    set_pool({.min_idle = 1});
    checkpoint();
    ASSERT_TRUE(settles(1));
    const InstanceId dead = *idle_instances().begin();
    engine.kill_container(container_name(dead));
    const Lease lease = acquire();
    EXPECT_NE(lease.instance, dead);
    EXPECT_EQ(exec(lease.instance, "echo alive"), "alive\n");
    ASSERT_TRUE(is_ended(dead));
    EXPECT_EQ(catalog().get(dead).reason, "its container has ended");
    EXPECT_TRUE(settles(1, 1));
}

TEST_F(PoolsTest, AnIdleInstanceThatWasTerminatedIsReplaced)
{
    set_pool({.min_idle = 1});
    checkpoint();
    ASSERT_TRUE(settles(1));
    const InstanceId first = *idle_instances().begin();
    EXPECT_EQ(finish(service().terminate(first)).state, OperationState::succeeded);
    pools().step();
    EXPECT_TRUE(eventually([&] { return idle_instances().size() == 1 && !idle_instances().contains(first); }));
}

TEST_F(PoolsTest, ANewCheckpointReplacesTheWholePool)
{
    set_pool({.min_idle = 2});
    checkpoint();
    ASSERT_TRUE(settles(2));
    const std::set<InstanceId> old = idle_instances();
    const Lease lease = acquire();
    const Checkpoint newer = checkpoint();
    EXPECT_TRUE(eventually([&] {
        const auto now = idle_instances();
        return now.size() == 2 && std::all_of(now.begin(), now.end(), [&](const InstanceId& id) {
                   return catalog().get(id).checkpoint == newer.id;
               });
    }));
    EXPECT_EQ(pools().get(lease.id).state, LeaseState::active);
    for (const InstanceId& id : old) {
        if (id == lease.instance) continue;
        ASSERT_TRUE(is_ended(id));
        EXPECT_EQ(catalog().get(id).reason, "its pool has a newer checkpoint, or none");
    }
}

TEST_F(PoolsTest, APoolWhoseCheckpointIsDeletedIsEmptied)
{
    set_pool({.min_idle = 2});
    const Checkpoint made = checkpoint();
    ASSERT_TRUE(settles(2));
    EXPECT_EQ(finish(service().delete_checkpoint(made.id)).state, OperationState::succeeded);
    ASSERT_TRUE(settles(0));
    EXPECT_TRUE(engine.container_names().empty());
    EXPECT_TRUE(status().checkpoint.empty());
    EXPECT_EQ(status().held_back, "its template, as it is now, has no available checkpoint");
}

TEST_F(PoolsTest, WhatAPoolDoesNotNeedEndsAfterItsIdleTtl)
{
    set_pool({.min_idle = 2});
    checkpoint();
    ASSERT_TRUE(settles(2));
    set_pool({.min_idle = 1, .idle_ttl = 1min});
    restart();
    pass(59s);
    EXPECT_TRUE(settles(2));
    pass(1s);
    EXPECT_TRUE(settles(1));
    pass(1h);
    EXPECT_TRUE(settles(1));
    EXPECT_EQ(engine.container_names().size(), 1U);
}

TEST_F(PoolsTest, WhatStoodInAPoolForTooLongIsReplaced)
{
    set_pool({.min_idle = 1, .max_lifetime = 1h});
    checkpoint();
    ASSERT_TRUE(settles(1));
    const InstanceId old = *idle_instances().begin();
    pass(1h);
    ASSERT_TRUE(is_ended(old));
    EXPECT_EQ(catalog().get(old).reason, "it stood in its pool for too long");
    EXPECT_TRUE(settles(1));
}

TEST_F(PoolsTest, FailingRestoresAreTriedAgainLaterAndLater)
{
    set_pool({.min_idle = 1});
    for (int i = 0; i < 4; ++i) engine.fail_next("restore", Error{ErrorCode::timeout, "Podman hangs"});
    checkpoint();
    ASSERT_TRUE(is_held_back_after(1));
    EXPECT_EQ(status().held_back, "the last restore failed: Podman hangs");
    for (int i = 0; i < 5; ++i) pools().step();
    EXPECT_TRUE(is_held_back_after(1));
    pass(1s);
    ASSERT_TRUE(is_held_back_after(2));
    pass(1s);
    EXPECT_TRUE(is_held_back_after(2)) << "the second delay is twice as long";
    pass(1s);
    ASSERT_TRUE(is_held_back_after(3));
    pass(4s);
    ASSERT_TRUE(is_held_back_after(4));
    pass(8s);
    ASSERT_TRUE(settles(1));
    EXPECT_EQ(status().held_back, "");
    EXPECT_EQ(engine.container_names().size(), 1U);
}

TEST_F(PoolsTest, WhenARestoreFailsTheApplicationIsStartedForWhoWantsThat)
{
    engine.fail_next("restore", Error{ErrorCode::timeout, "Podman hangs"});
    checkpoint();
    EXPECT_EQ(acquire_cold().path, InstancePath::cold);
    EXPECT_EQ(engine.calls("restore"), 1);
    expect_error(ErrorCode::busy, [&] { acquire(Duration::zero()); });
    EXPECT_EQ(engine.calls("restore"), 1);
    pass(1s);
    EXPECT_EQ(acquire_cold().path, InstancePath::linked);
}

TEST_F(PoolsTest, NothingIsMadeWhileMemoryIsShort)
{
    std::atomic<std::uint64_t> memory = std::uint64_t{100} << 20U;
    options.pools.available_memory = [&memory] { return memory.load(); };
    set_pool({.min_idle = 1});
    checkpoint();
    ASSERT_TRUE(eventually([&] { return contains(status().held_back, "memory: 100 MiB are available"); }))
        << status().held_back;
    EXPECT_EQ(engine.calls("restore"), 0);
    memory = std::uint64_t{10} << 30U;
    pools().step();
    EXPECT_TRUE(settles(1));
    EXPECT_EQ(status().held_back, "");
    stop();
}

TEST_F(PoolsTest, IdleInstancesAreFrozenAndThawedByTheirLease)
{
    set_pool({.min_idle = 1, .frozen = true});
    checkpoint();
    ASSERT_TRUE(settles(1));
    const InstanceId id = *idle_instances().begin();
    EXPECT_TRUE(eventually([&] { return process_state(id) == 'T'; }));
    const Lease lease = acquire();
    EXPECT_EQ(lease.instance, id);
    EXPECT_TRUE(eventually([&] { return process_state(id) != 'T'; }));
    EXPECT_EQ(exec(id, "echo thawed"), "thawed\n");
}

TEST_F(PoolsTest, NoCommandRunsInAnInstanceThatStandsInAPool)
{
    set_pool({.min_idle = 1});
    checkpoint();
    ASSERT_TRUE(settles(1));
    const InstanceId id = *idle_instances().begin();
    const Error error = expect_error(ErrorCode::conflict, [&] { exec(id, "true"); });
    EXPECT_TRUE(contains(error.what(), "stands in a pool")) << error.what();
    EXPECT_TRUE(contains(error.hint(), "/v1/pools/quick/leases")) << error.hint();
    EXPECT_EQ(engine.calls("exec"), 0);
}

TEST_F(PoolsTest, NoCheckpointIsMadeOfAPooledInstance)
{
    set_pool({.min_idle = 1});
    checkpoint();
    ASSERT_TRUE(settles(1));
    const InstanceId id = *idle_instances().begin();
    expect_error(ErrorCode::conflict, [&] { service().checkpoint(id); });
    const Lease lease = acquire();
    expect_error(ErrorCode::conflict, [&] { service().checkpoint(lease.instance); });
    EXPECT_EQ(engine.calls("checkpoint"), 1);
}

TEST_F(PoolsTest, ARestartTakesOverIdleInstancesAndLeases)
{
    set_pool({.min_idle = 1});
    checkpoint();
    const Lease lease = acquire();
    ASSERT_TRUE(settles(1, 1));
    const std::set<InstanceId> idle = idle_instances();
    const int restores = engine.calls("restore");
    exec(lease.instance, "touch mine");
    restart();
    pools().step();
    EXPECT_TRUE(settles(1, 1));
    EXPECT_EQ(idle_instances(), idle);
    EXPECT_EQ(engine.calls("restore"), restores);
    EXPECT_EQ(pools().get(lease.id).state, LeaseState::active);
    EXPECT_EQ(exec(lease.instance, "ls mine"), "mine\n");
    const Lease next = acquire();
    EXPECT_EQ(next.path, InstancePath::pool);
    EXPECT_TRUE(idle.contains(next.instance));
    EXPECT_EQ(pools().release(lease.id).state, LeaseState::released);
    EXPECT_TRUE(is_ended(lease.instance));
}

TEST_F(PoolsTest, ARestartEndsWhatIsLeasedToNobodyAndLeasesOfWhatIsGone)
{
    set_pool({.min_idle = 1});
    checkpoint();
    const Lease lease = acquire();
    ASSERT_TRUE(settles(1, 1));
    const InstanceId idle = *idle_instances().begin();
    stop();
    engine.kill_container(container_name(lease.instance));
    {
        Catalog raw{(directory.path() / "catalog.sqlite").string()};
        raw.transition(idle, {InstanceState::idle}, InstanceState::leased);
    }
    EXPECT_EQ(pools().get(lease.id).state, LeaseState::lost);
    ASSERT_TRUE(is_ended(idle));
    EXPECT_EQ(catalog().get(idle).reason, "it is leased to nobody");
    EXPECT_TRUE(settles(1));
}

TEST_F(PoolsTest, AShutdownEndsTheWait)
{
    Request waiting = request();
    service().shut_down();
    expect_error(ErrorCode::unavailable, [&] { waiting.lease.get(); });
}

TEST_F(PoolsTest, AShutdownLeavesInstancesAndLeasesAsTheyAre)
{
    set_pool({.min_idle = 1});
    checkpoint();
    const Lease lease = acquire();
    ASSERT_TRUE(settles(1, 1));
    service().shut_down();
    EXPECT_EQ(engine.container_names().size(), 2U);
    EXPECT_EQ(pools().get(lease.id).state, LeaseState::active);
}

TEST_F(PoolsTest, ARequestThatIsGivenUpLeavesTheQueue)
{
    Request first = request();
    Request second = request();
    first.stop.request_stop();
    expect_error(ErrorCode::cancelled, [&] { first.lease.get(); });
    EXPECT_EQ(status().waiting, 1);
    checkpoint();
    EXPECT_EQ(second.lease.get().path, InstancePath::linked);
    EXPECT_EQ(status().waiting, 0);
}

TEST_F(PoolsTest, OnlySoManyInstancesAreMadeAtOnce)
{
    options.pools.parallel_fills = 2;
    set_pool({.min_idle = 3});
    for (int i = 0; i < 3; ++i) engine.hang_next("restore");
    checkpoint();
    ASSERT_TRUE(eventually([&] { return engine.calls("restore") == 2; }));
    for (int i = 0; i < 3; ++i) pools().step();
    EXPECT_EQ(status().filling, 2);
    EXPECT_EQ(service().operations().active(), 2);
    EXPECT_EQ(engine.calls("restore"), 2);
    service().shut_down();
    EXPECT_EQ(status().filling, 0);
}

TEST_F(PoolsTest, AFillThatIsCancelledIsMadeAnew)
{
    set_pool({.min_idle = 1});
    engine.hang_next("restore");
    checkpoint();
    ASSERT_TRUE(eventually([&] { return engine.calls("restore") == 1; }));
    for (const Operation& operation : service().operations().list(Page::all())) {
        if (!is_final(operation.state)) service().operations().cancel(operation.id);
    }
    ASSERT_TRUE(is_held_back_after(1));
    pass(1s);
    EXPECT_TRUE(settles(1));
}

TEST_F(PoolsTest, ManyAtOnceNeverMakeMoreThanMaxSizeAndLeaveNothingBehind)
{
    constexpr int kMaxSize = 3;
    set_pool({.min_idle = 1, .max_size = kMaxSize});
    checkpoint();
    std::atomic<int> most = 0;
    std::mutex mutex;
    std::multiset<InstanceId> used;  // protected by mutex
    {
        std::jthread watch{[&](const std::stop_token& stop) {
            while (!stop.stop_requested()) {
                const PoolStatus now = status();
                most = std::max(most.load(), now.idle + now.leased + now.filling);
                std::this_thread::yield();
            }
        }};
        std::vector<std::jthread> clients;
        for (int client = 0; client < 6; ++client) {
            clients.emplace_back([&] {
                for (int i = 0; i < 4; ++i) {
                    const Lease lease = acquire();
                    {
                        const std::scoped_lock lock{mutex};
                        used.insert(lease.instance);
                    }
                    pools().release(lease.id);
                }
            });
        }
        clients.clear();
    }
    EXPECT_LE(most, kMaxSize);
    EXPECT_EQ(used.size(), 24U);
    EXPECT_EQ(std::set<InstanceId>(used.begin(), used.end()).size(), 24U) << "an instance was handed out twice";
    ASSERT_TRUE(settles(1));
    EXPECT_EQ(engine.container_names().size(), 1U);
    EXPECT_EQ(catalog().instances(Page::all()).size(), 1U);
    EXPECT_TRUE(pools().leases(Page::all(), false).empty());
}

TEST_F(PoolsTest, FrozenInstancesAreThawedAlsoWhenTheirTemplateDoesNotFreezeAnyMore)
{
    set_pool({.min_idle = 1, .frozen = true});
    checkpoint();
    ASSERT_TRUE(settles(1));
    const InstanceId id = *idle_instances().begin();
    ASSERT_TRUE(eventually([&] { return process_state(id) == 'T'; }));
    set_pool({.min_idle = 1, .frozen = false});
    restart();
    EXPECT_EQ(acquire().instance, id);
    EXPECT_TRUE(eventually([&] { return process_state(id) != 'T'; }));
}

TEST_F(PoolsTest, ALeaseThatIsTakenOverSaysThatItHasItsFullTimeOnceMore)
{
    checkpoint();
    const Lease lease = acquire(1min, 10s);
    pass(9s);
    restart();
    EXPECT_EQ(pools().get(lease.id).expires_at, lease.expires_at + 9s);
    pass(9s);
    EXPECT_EQ(pools().get(lease.id).state, LeaseState::active);
}

TEST_F(PoolsTest, WhatOneCouldNotTakeIsGivenToTheNext)
{
    set_pool({.max_size = 1, .frozen = true});
    checkpoint();
    const Lease held = acquire();
    Request first = request();
    Request second = request();
    // The first is for freezing, which may fail; the second for thawing.
    for (int i = 0; i < 2; ++i) engine.fail_next("set_frozen", Error{ErrorCode::engine_failed, "no luck"});
    pools().release(held.id);
    expect_error(ErrorCode::engine_failed, [&] { first.lease.get(); });
    EXPECT_EQ(second.lease.get().state, LeaseState::active);
}

TEST_F(PoolsTest, WhoWasGivenADeadInstanceKeepsItsPlaceAndTheInstanceGoes)
{
    set_pool({.max_size = 1, .frozen = true});
    checkpoint();
    const Lease held = acquire();
    Request first = request();
    Request second = request();
    for (int i = 0; i < 2; ++i) engine.fail_next("set_frozen", Error{ErrorCode::conflict, "it is gone"});
    pools().release(held.id);
    EXPECT_TRUE(eventually([&] {
        return first.lease.wait_for(0s) == std::future_status::ready ||
               second.lease.wait_for(0s) == std::future_status::ready;
    }));
    EXPECT_EQ(first.lease.wait_for(0s), std::future_status::ready);
    EXPECT_EQ(status().waiting, 1);
    pools().release(first.lease.get().id);
    const Lease last = second.lease.get();
    ASSERT_TRUE(settles(0, 1));
    EXPECT_EQ(engine.container_names(), std::vector<std::string>{container_name(last.instance)});
}

TEST_F(PoolsTest, InstancesThatAreTakenOverAreFrozenWhenTheirTemplateWantsThatNow)
{
    set_pool({.min_idle = 1, .frozen = false});
    checkpoint();
    ASSERT_TRUE(settles(1));
    const InstanceId id = *idle_instances().begin();
    set_pool({.min_idle = 1, .frozen = true});
    restart();
    EXPECT_TRUE(eventually([&] { return process_state(id) == 'T'; }));
    EXPECT_EQ(acquire().instance, id);
    EXPECT_TRUE(eventually([&] { return process_state(id) != 'T'; }));
}

TEST_F(PoolsTest, WhoWaitsWhileWarmdBeginsIsGivenWhatIsTakenOver)
{
    set_pool({.min_idle = 1, .max_size = 1, .frozen = true});
    checkpoint();
    ASSERT_TRUE(settles(1));
    const InstanceId id = *idle_instances().begin();
    engine.fail_next("list", Error{ErrorCode::unavailable, "Podman does not listen yet"});
    restart();
    Request early = request();
    service().reconcile();
    EXPECT_EQ(early.lease.get().instance, id);
    EXPECT_TRUE(eventually([&] { return process_state(id) != 'T'; })) << "it was frozen again under its lease";
}

TEST_F(PoolsTest, AColdStartSaysNothingAboutTheNextRestore)
{
    for (int i = 0; i < 3; ++i) engine.fail_next("restore", Error{ErrorCode::timeout, "Podman hangs"});
    checkpoint();
    EXPECT_EQ(acquire_cold().path, InstancePath::cold);
    pass(1s);
    EXPECT_EQ(acquire_cold().path, InstancePath::cold);
    EXPECT_EQ(engine.calls("restore"), 2);
    pass(1s);
    EXPECT_EQ(acquire_cold().path, InstancePath::cold);
    EXPECT_EQ(engine.calls("restore"), 2) << "the second failure is to be waited out for two seconds";
}

TEST_F(PoolsTest, AFailedColdStartHoldsBackNoRestore)
{
    engine.fail_next("create", Error{ErrorCode::engine_failed, "no luck"});
    expect_error(ErrorCode::not_ready, [&] { acquire_cold(); });
    checkpoint();
    EXPECT_EQ(acquire().path, InstancePath::linked);
}

TEST_F(PoolsTest, ANewCheckpointIsTriedAtOnceWhateverTheLastOneDid)
{
    set_pool({.min_idle = 1});
    engine.fail_next("restore", Error{ErrorCode::timeout, "Podman hangs"});
    checkpoint();
    ASSERT_TRUE(is_held_back_after(1));
    checkpoint();
    EXPECT_TRUE(settles(1));
}

TEST_F(PoolsTest, ATemplateWithoutAPoolHasACheckpointAllTheSame)
{
    EXPECT_TRUE(status().checkpoint.empty());
    const Checkpoint made = checkpoint();
    EXPECT_EQ(status().checkpoint, made.id);
    EXPECT_EQ(status().policy.max_size, PoolPolicy{}.max_size);
}

TEST_F(PoolsTest, InstancesThatAreNotPooledMakeNoPool)
{
    warm();
    restart();
    EXPECT_TRUE(pools().all().empty());
}

TEST_F(PoolsTest, AfterAChangeOfItsTemplateNothingOfTheOldOneIsHandedOut)
{
    set_pool({.min_idle = 1});
    checkpoint();
    ASSERT_TRUE(settles(1));
    const InstanceId restored = *idle_instances().begin();
    Instance started = warm();
    stop();
    {
        Catalog raw{(directory.path() / "catalog.sqlite").string()};
        started.pooled = true;  // as one whose request for a cold start was given up
        raw.save(started);
    }
    Template changed = test::quick_template();
    changed.digest = std::string(64, 'e');
    add(changed);
    const Lease lease = acquire_cold();
    EXPECT_NE(lease.instance, restored);
    EXPECT_NE(lease.instance, started.id);
    EXPECT_EQ(lease.path, InstancePath::cold);
    EXPECT_TRUE(is_ended(restored));
    EXPECT_TRUE(is_ended(started.id));
}

}  // namespace
}  // namespace warmd
