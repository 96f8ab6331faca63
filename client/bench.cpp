#include "client/bench.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "client/podman_restore.h"
#include "daemon/base/text.h"

namespace warmd::client {

namespace {

constexpr const char* kCold = "cold start";
constexpr const char* kCheckpoint = "checkpoint";
constexpr const char* kPodman = "podman container restore --import";
constexpr const char* kLease = "lease from the pool";
constexpr std::chrono::milliseconds kPoll{20};
constexpr std::chrono::minutes kPoolPatience{2};

/// Filling a pool, and what a lease leaves behind, would disturb what is measured.
bool at_rest(const PoolStatus& pool) { return pool.filling + pool.draining == 0; }

using Steady = std::chrono::steady_clock;

Duration since(Steady::time_point begin) { return std::chrono::duration_cast<Duration>(Steady::now() - begin); }

std::string path_of(const InstanceId& id) { return "/v1/instances/" + percent_encode(id.value()); }
std::string path_of(const CheckpointId& id) { return "/v1/checkpoints/" + percent_encode(id.value()); }

}  // namespace

Bench::Bench(const ApiClient& api, const Output& output, BenchPlan plan)
    : api_{api}, output_{output}, plan_{std::move(plan)}, interrupts_{[this](const char*) { interrupted(); }}
{
}

Bench::~Bench()
{
    if (!lease_.empty()) clean_up([this] { (void)api_.del("/v1/leases/" + lease_.value()); });
    for (const InstanceId& id : std::exchange(instances_, {})) clean_up([this, &id] { remove_instance(id); });
    for (const CheckpointId& id : std::exchange(checkpoints_, {})) clean_up([this, &id] { remove_checkpoint(id); });
}

void Bench::run()
{
    for (int number = 0; number < plan_.runs; ++number) {
        if (!output_.quiet) std::fprintf(stderr, "run %d of %d\n", number + 1, plan_.runs);
        one_run(number);
    }
}

void Bench::one_run(int number)
{
    if (number < plan_.cold_runs) start_cold();
    restore_by_podman();
    std::string failures;
    const auto archive = restore("archive", failures);
    const auto linked = restore("linked", failures);
    if (!archive && !linked) throw Error{ErrorCode::engine_failed, "no restore succeeds"}.with_cause(failures);
    const InstanceId restored = linked ? *linked : *archive;
    execute("first exec after a restore", restored);
    execute("next exec", restored);
    if (archive) remove_instance(*archive);
    if (linked) remove_instance(*linked);
    lease();
}

void Bench::start_cold()
{
    const Operation warmed = timed(kCold, "/v1/templates/" + percent_encode(plan_.template_name.value()) + "/warm");
    const Operation dumped = timed(kCheckpoint, path_of(warmed.instance) + "/checkpoint");
    instances_.erase(warmed.instance);
    // The first is kept: what warmd prepares once for a checkpoint is then not paid for in each run.
    if (checkpoint_.empty()) checkpoint_ = dumped.checkpoint;
    else remove_checkpoint(dumped.checkpoint);
}

void Bench::restore_by_podman()
{
    check_stop();
    const auto obstacle = plan_.podman ? PodmanRestore::obstacle(checkpoint_) : std::string{"--no-podman"};
    if (obstacle) return report_.skip(kPodman, *obstacle);
    (void)pool_when(at_rest);
    try {
        const PodmanRestore restored{checkpoint_};
        report_.add(kPodman, restored.elapsed());
    } catch (const Error& error) {
        report_.skip(kPodman, error.what());
    }
}

std::optional<InstanceId> Bench::restore(const std::string& path, std::string& failures)
{
    const std::string row = "restore, " + path;
    try {
        return timed(row, path_of(checkpoint_) + "/restore?path=" + path).instance;
    } catch (const Error& error) {
        check_stop();
        report_.skip(row, error.what());
        failures += path + ": " + error.what() + "; ";
        return std::nullopt;
    }
}

void Bench::execute(const std::string& row, const InstanceId& instance)
{
    check_stop();
    int status = kExitEngineFailed;
    std::string complaint;
    const auto begin = Steady::now();
    api_.stream(path_of(instance) + "/exec", contract::encode(plan_.command),
                [&](const std::string&, const contract::ExecFrame& frame) {
                    if (frame.type == contract::FrameType::start) {
                        running_.with([&](Running& running) { running = {.instance = instance, .exec = frame.exec}; });
                    }
                    if (frame.type == contract::FrameType::err) complaint += frame.data;
                    if (frame.type == contract::FrameType::exit) status = frame.result.exit_status;
                    if (frame.type == contract::FrameType::error) throw Error{frame.error};
                });
    const Duration elapsed = since(begin);
    running_.with([](Running& running) { running = {}; });
    check_stop();
    if (status != 0) {
        throw Error{ErrorCode::engine_failed, "the command ended with " + std::to_string(status)}.with_cause(complaint);
    }
    report_.add(row, elapsed);
}

void Bench::lease()
{
    check_stop();
    const auto before = pool_when([](const PoolStatus& pool) { return pool.idle >= 1 && at_rest(pool); });
    if (!before) return report_.skip(kLease, "the template has no pool");
    if (before->idle < 1) {
        return report_.skip(kLease,
                            before->held_back.empty() ? "no instance of the pool became idle" : before->held_back);
    }
    const auto begin = Steady::now();
    const Lease got = contract::decode_lease(
        api_.start("/v1/pools/" + percent_encode(plan_.template_name.value()) + "/leases", Json::object(),
                   ApiClient::WhenBusy::report));
    const Duration elapsed = since(begin);
    lease_ = got.id;
    // Somebody else can have been faster.
    if (got.path == InstancePath::pool) report_.add(kLease, elapsed);
    (void)api_.del("/v1/leases/" + got.id.value());
    lease_ = {};
}

/// Nothing when the template has no pool.
std::optional<PoolStatus> Bench::pool() const
{
    try {
        PoolStatus pool = contract::decode_pool(api_.get("/v1/pools/" + percent_encode(plan_.template_name.value())));
        if (pool.policy.min_idle > 0) return pool;
    } catch (const Error& error) {
        if (error.code() != ErrorCode::not_found) throw;
    }
    return std::nullopt;
}

/// The pool when the condition has come true, or as it is when patience has ended.
std::optional<PoolStatus> Bench::pool_when(const std::function<bool(const PoolStatus&)>& condition)
{
    SystemClock clock;
    const auto end = Steady::now() + kPoolPatience;
    auto now = pool();
    while (now && !condition(*now) && Steady::now() < end) {
        if (!clock.sleep_for(kPoll, stop_.get_token())) check_stop();
        now = pool();
    }
    return now;
}

/// Starts an operation, follows it to its end and reports both its time as seen from here and its phases.
Operation Bench::timed(const std::string& row, const std::string& path)
{
    check_stop();
    (void)pool_when(at_rest);
    const auto begin = Steady::now();
    const Operation operation = finish(contract::decode_operation(api_.start(path)), stop_.get_token());
    const Duration elapsed = since(begin);
    if (operation.kind == OperationKind::checkpoint) {
        if (!operation.checkpoint.empty()) checkpoints_.insert(operation.checkpoint);  // a failed one leaves a record
    } else if (operation.state == OperationState::succeeded) {
        instances_.insert(operation.instance);
    }
    check_stop();
    if (operation.error) throw Error{*operation.error};
    report_.add(row, elapsed);
    report_.add_phases(row, operation.phases);
    return operation;
}

/// The operation at its end. Cancels it when `stop` is requested.
Operation Bench::finish(Operation operation, std::stop_token stop)
{
    bool cancelled = false;
    while (!is_final(operation.state)) {
        const std::string path = "/v1/operations/" + percent_encode(operation.id.value());
        if (stop.stop_requested() && !std::exchange(cancelled, true)) {
            operation = contract::decode_operation(api_.del(path));
            continue;
        }
        operation = contract::decode_operation(api_.get(path + "?wait=500ms"));
    }
    return operation;
}

void Bench::remove_instance(const InstanceId& id)
{
    const Operation removed = finish(contract::decode_operation(api_.del(path_of(id))), {});
    if (removed.error) throw Error{*removed.error};
    instances_.erase(id);
}

void Bench::remove_checkpoint(const CheckpointId& id)
{
    const Operation removed = finish(contract::decode_operation(api_.del(path_of(id))), {});
    if (removed.error) throw Error{*removed.error};
    checkpoints_.erase(id);
}

/// What is gone already, or ended by itself, is as good as removed.
void Bench::clean_up(const std::function<void()>& step) const
{
    try {
        step();
    } catch (const Error& error) {
        if (error.code() == ErrorCode::not_found || error.code() == ErrorCode::conflict) return;
        print_error(error, output_);
    } catch (const std::exception& error) {
        print_error(error, output_);
    }
}

void Bench::interrupted()
{
    if (!stop_.request_stop()) std::_Exit(kExitInterrupted);
    std::fputs("warmctl: stopping; a second signal leaves what was made\n", stderr);
    const Running running = running_.with([](const Running& known) { return known; });
    try {
        if (!running.exec.empty()) api_.signal(running.instance, running.exec, "INT");
    } catch (const Error&) {  // it has ended
    }
}

void Bench::check_stop() const
{
    if (stop_.stop_requested()) throw Error{ErrorCode::cancelled, "interrupted"};
}

}  // namespace warmd::client
