#include "daemon/service/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <vector>

#include "daemon/service/process_figures.h"

namespace warmd {

namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Histogram;
using prometheus::Labels;
using prometheus::MetricFamily;
using prometheus::MetricType;

const Histogram::BucketBoundaries kWorkSeconds{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300};
const Histogram::BucketBoundaries kWaitSeconds{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                               0.25,  0.5,    1,     2.5,  5,     10,   60};
const Histogram::BucketBoundaries kRequestSeconds{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30};

std::string word(std::string_view text) { return std::string{text}; }

double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

/// The methods that the API has; a client may send any word.
std::string known_method(const std::string& method)
{
    constexpr std::array<std::string_view, 4> kKnown{"GET", "HEAD", "POST", "DELETE"};
    return std::find(kKnown.begin(), kKnown.end(), method) != kKnown.end() ? method : "other";
}

MetricFamily family(const char* name, const char* help, MetricType type = MetricType::Gauge)
{
    MetricFamily result;
    result.name = name;
    result.help = help;
    result.type = type;
    return result;
}

void add(MetricFamily& to, double value, const Labels& labels = {})
{
    prometheus::ClientMetric metric;
    for (const auto& [name, text] : labels) metric.label.push_back({name, text});
    if (to.type == MetricType::Counter) metric.counter.value = value;
    else metric.gauge.value = value;
    to.metric.push_back(std::move(metric));
}

MetricFamily one(const char* name, const char* help, double value, MetricType type = MetricType::Gauge)
{
    MetricFamily result = family(name, help, type);
    add(result, value);
    return result;
}

void add_pools(std::vector<MetricFamily>& all, const std::vector<PoolStatus>& pools)
{
    MetricFamily instances = family("warmd_pool_instances", "Instances of a pool, by state.");
    MetricFamily least = family("warmd_pool_min_idle", "How many instances of a pool are to be idle.");
    MetricFamily most = family("warmd_pool_max_size", "How many instances a pool may have.");
    MetricFamily waiting = family("warmd_pool_waiting", "Requests that wait for an instance.");
    MetricFamily leases = family("warmd_leases_active", "Leases that are active.");
    for (const PoolStatus& pool : pools) {
        const std::string& name = pool.template_name.value();
        add(instances, pool.idle, {{"template", name}, {"state", "idle"}});
        add(instances, pool.leased, {{"template", name}, {"state", "leased"}});
        add(instances, pool.filling, {{"template", name}, {"state", "filling"}});
        add(instances, pool.draining, {{"template", name}, {"state", "draining"}});
        add(least, pool.policy.min_idle, {{"template", name}});
        add(most, pool.policy.max_size, {{"template", name}});
        add(waiting, pool.waiting, {{"template", name}});
        add(leases, pool.leased, {{"template", name}});
    }
    for (MetricFamily* const each : {&instances, &least, &most, &waiting, &leases}) all.push_back(std::move(*each));
}

void add_store(std::vector<MetricFamily>& all, const Levels& levels)
{
    MetricFamily checkpoints = family("warmd_checkpoints", "Checkpoints, by template and state.");
    for (const auto& [key, count] : levels.checkpoints) {
        add(checkpoints, count, {{"template", key.first.value()}, {"state", word(to_string(key.second))}});
    }
    all.push_back(std::move(checkpoints));
    MetricFamily store = family("warmd_store_bytes",
                                "Of tarballs, of unpacked images, reserved for tarballs, and free.");
    add(store, static_cast<double>(levels.status.checkpoint_bytes), {{"what", "tarballs"}});
    add(store, static_cast<double>(levels.status.store.unpacked_bytes), {{"what", "unpacked"}});
    add(store, static_cast<double>(levels.reserved_bytes), {{"what", "reserved"}});
    add(store, static_cast<double>(levels.status.store.free_bytes), {{"what", "free"}});
    all.push_back(std::move(store));
    if (levels.oldest_look) {
        all.push_back(one("warmd_oldest_verification_time_seconds",
                          "When the checkpoint was last verified, or made, of which that was longest ago, since 1970.",
                          seconds(levels.oldest_look->time_since_epoch())));
    }
    all.push_back(one("warmd_store_min_free_bytes", "What no checkpoint may take: retention.min_free_bytes.",
                      static_cast<double>(levels.min_free_bytes)));
}

void add_process(std::vector<MetricFamily>& all)
{
    const ProcessFigures process = process_figures();
    all.push_back(
        one("process_resident_memory_bytes", "Resident memory.", static_cast<double>(process.resident_bytes)));
    all.push_back(one("process_open_fds", "Open file descriptors.", process.open_fds));
    all.push_back(one("process_threads", "Threads.", process.threads));
    all.push_back(one("process_start_time_seconds", "When the process began, since 1970.", process.start_time));
    all.push_back(one("process_cpu_seconds_total", "User and system time.", process.cpu_seconds, MetricType::Counter));
}

}  // namespace

struct Metrics::Families {
    prometheus::Registry registry;
    Family<Histogram>& phases = prometheus::BuildHistogram()
                                    .Name("warmd_operation_phase_seconds")
                                    .Help(
                                        "Phases of operations, by the operation's kind and how its instance was made.")
                                    .Register(registry);
    Family<Counter>& operations = prometheus::BuildCounter()
                                      .Name("warmd_operations_total")
                                      .Help("Operations that have ended.")
                                      .Register(registry);
    Family<Counter>& verifications = prometheus::BuildCounter()
                                         .Name("warmd_verifications_total")
                                         .Help("Checkpoints that were read and compared, by verdict.")
                                         .Register(registry);
    Family<Counter>& deletions = prometheus::BuildCounter()
                                     .Name("warmd_checkpoints_deleted_total")
                                     .Help("Checkpoints that were deleted, by reason.")
                                     .Register(registry);
    Family<Histogram>& lease_waits = prometheus::BuildHistogram()
                                         .Name("warmd_lease_wait_seconds")
                                         .Help("From a request for an instance to its lease.")
                                         .Register(registry);
    Family<Counter>& leases =
        prometheus::BuildCounter().Name("warmd_leases_total").Help("Leases that have begun.").Register(registry);
    Family<Histogram>& exec_seconds =
        prometheus::BuildHistogram().Name("warmd_exec_seconds").Help("Commands that have ended.").Register(registry);
    Family<Counter>& execs =
        prometheus::BuildCounter().Name("warmd_execs_total").Help("Commands, by outcome.").Register(registry);
    Family<Counter>& requests = prometheus::BuildCounter()
                                    .Name("warmd_http_requests_total")
                                    .Help("Requests that were answered.")
                                    .Register(registry);
    Family<Histogram>& request_seconds = prometheus::BuildHistogram()
                                             .Name("warmd_http_request_seconds")
                                             .Help("From a whole request to the beginning of its answer.")
                                             .Register(registry);
};

Metrics::Metrics() : families_{std::make_unique<Families>()} {}
Metrics::~Metrics() = default;

void Metrics::operation_ended(const Operation& operation, std::optional<InstancePath> path)
{
    const std::string kind = word(to_string(operation.kind));
    families_->operations.Add({{"kind", kind}, {"state", word(to_string(operation.state))}}).Increment();
    for (const Phase& phase : operation.phases) {
        families_->phases
            .Add({{"kind", kind}, {"phase", phase.name}, {"path", path ? word(to_string(*path)) : ""}}, kWorkSeconds)
            .Observe(seconds(phase.elapsed));
    }
}

void Metrics::checkpoint_verified(Verdict verdict)
{
    families_->verifications.Add({{"verdict", word(to_string(verdict))}}).Increment();
}

void Metrics::checkpoint_deleted(const Deletion& deletion)
{
    families_->deletions
        .Add({{"template", deletion.template_name.value()}, {"reason", word(to_string(deletion.reason))}})
        .Increment();
}

void Metrics::lease_began(const Lease& lease)
{
    const Labels labels{{"template", lease.template_name.value()}, {"path", word(to_string(lease.path))}};
    families_->leases.Add(labels).Increment();
    families_->lease_waits.Add(labels, kWaitSeconds).Observe(seconds(lease.elapsed));
}

void Metrics::exec_ended(const std::optional<ExecResult>& result)
{
    const char* const outcome = !result                    ? "failed"
                                : result->timed_out        ? "timeout"
                                : result->exit_status == 0 ? "ok"
                                                           : "nonzero";
    families_->execs.Add({{"outcome", outcome}}).Increment();
    if (!result) return;
    families_->exec_seconds.Add({{"path", word(to_string(result->path))}}, kWorkSeconds)
        .Observe(seconds(result->elapsed));
}

void Metrics::request_answered(const std::string& route, const std::string& method, int status, Duration elapsed)
{
    const std::string pattern = route.empty() ? "none" : route;
    families_->requests.Add({{"route", pattern}, {"method", known_method(method)}, {"status", std::to_string(status)}})
        .Increment();
    families_->request_seconds.Add({{"route", pattern}}, kRequestSeconds).Observe(seconds(elapsed));
}

std::string Metrics::text(const Levels& levels) const
{
    std::vector<MetricFamily> all = families_->registry.Collect();
    MetricFamily build = family("warmd_build_info", "Always 1; the label says which warmd this is.");
    add(build, 1, {{"version", levels.version}});
    all.push_back(std::move(build));
    all.push_back(
        one("warmd_operations_active", "Operations that are queued or running.", levels.status.operations_active));
    add_pools(all, levels.status.pools);
    add_store(all, levels);
    add_process(all);
    return prometheus::TextSerializer{}.Serialize(all);
}

}  // namespace warmd
