#include "daemon/service/service.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <functional>
#include <utility>

#include "daemon/base/error.h"
#include "daemon/service/instance_end.h"
#include "daemon/service/recovery.h"

namespace warmd {

namespace {

constexpr Duration kKeyLife = std::chrono::hours{24};
constexpr int kMostKeys = 10'000;

PoolOptions watched(PoolOptions options, Metrics& metrics)
{
    options.began = [&metrics](const Lease& lease) { metrics.lease_began(lease); };
    return options;
}

}  // namespace

Service::Service(Catalog& catalog, TarballStore& store, ContainerEngine& engine, AgentChannel& agent, Clock& clock,
                 Templates templates, ServiceOptions options)
    : catalog_{catalog},
      store_{store},
      engine_{engine},
      clock_{clock},
      templates_{std::move(templates)},
      options_{options},
      started_at_{clock.now()},
      probe_{engine, clock, options.agent},
      primer_{probe_, options.primed},
      doctor_{engine, probe_, options.doctor},
      keys_{catalog},
      exec_{catalog, engine,     agent,
            clock,   templates_, [this](const std::optional<ExecResult>& result) { metrics_.exec_ended(result); }},
      host_{engine, clock},
      warm_{catalog, engine, agent, clock, exec_},
      quarantine_{catalog, store, [this] { pools_.wake(); }},
      retention_{catalog,
                 store,
                 clock,
                 host_,
                 templates_,
                 {.all = options.retention,
                  .margin = options.space_margin,
                  .in_work = [this](const CheckpointId& id) { return operations_.works_on(id); },
                  .deleted = [this](const Deletion& deletion) { metrics_.checkpoint_deleted(deletion); }}},
      restore_{catalog, store, engine, agent, clock, host_, exec_, quarantine_, templates_},
      checkpoints_{catalog, store, engine, agent, clock, host_, warm_, exec_, restore_, retention_, templates_},
      integrity_{catalog,
                 store,
                 clock,
                 quarantine_,
                 restore_,
                 options.verify_every,
                 {.busy = [this] { return operations_.active() > 0; },
                  .verified = [this](Verdict verdict) { metrics_.checkpoint_verified(verdict); }}},
      transfer_{catalog, store, clock, retention_, templates_, options.trust},
      distribution_{catalog, store, clock, host_, transfer_, options.registry, store.root() / "registry"},
      rewarm_{catalog,
              clock,
              checkpoints_,
              distribution_,
              [this](Operation draft, Operations::Work work) { return submit(std::move(draft), std::move(work)); },
              {.made = [this](const Checkpoint& made) { share(made); }, .there = [this] { pools_.wake(); }}},
      pools_{catalog,
             engine,
             clock,
             templates_,
             host_,
             rewarm_,
             restore_,
             warm_,
             [this](Operation draft, Operations::Work work) { return submit(std::move(draft), std::move(work)); },
             watched(options.pools, metrics_)},
      board_{catalog, store, pools_},
      operations_{catalog, clock, options.operation_workers, options.operation_queue,
                  [this](const Operation& ended) { record(ended); }}
{
    const Recovered recovered = recover_catalog(catalog_, store_, clock_);
    integrity_.suspect(recovered.checkpoints);  // nothing but their size has been looked at
    rebuild_ = {.checkpoints = static_cast<int>(recovered.checkpoints.size()), .damaged = options_.damaged_catalog};
    if (!rebuild_.damaged.empty() || rebuild_.checkpoints > 0) {
        spdlog::error("the catalog did not know of {} checkpoints that are in the store: made again from their "
                      "manifests. Instances, leases and operations that it does not know of are lost{}",
                      rebuild_.checkpoints,
                      rebuild_.damaged.empty() ? "" : "; the damaged catalog is kept as " + rebuild_.damaged);
    }
}

void Service::reconcile() noexcept
{
    try {
        operations_.record_ends();
        reconcile_checkpoints(catalog_, store_, [this](const CheckpointId& id) { return operations_.works_on(id); });
        reconcile_instances(catalog_, engine_, clock_, [this](const InstanceId& id) { return works_on(id); });
        catalog_.prune_keys(clock_.now() - kKeyLife, kMostKeys);
        catalog_.prune_history(options_.history);
        host_.refresh(catalog_);
        retention_.enforce();
        recovered_ = true;
        if (!primer_.due()) pools_.start();
        obtain_missing();
    } catch (const std::exception& error) {
        const auto* const known = dynamic_cast<const Error*>(&error);
        spdlog::warn("cannot compare the catalog with the containers, will try again: {} ({})", error.what(),
                     known != nullptr ? known->cause() : "");
    }
}

void Service::maintain(std::stop_token stop)
{
    constexpr Duration kInterval = std::chrono::seconds{30};
    constexpr Duration kWaiting = std::chrono::seconds{1};
    while (!recovered_ && clock_.sleep_for(kWaiting, stop)) reconcile();
    const std::jthread follower{[this](const std::stop_token& end) { follow_engine(end); }};
    if (primer_.due() && !stop.stop_requested()) {
        primer_.run(stop);
        reconcile();  // which now starts the pools
    }
    while (clock_.sleep_for(kInterval, stop)) reconcile();
}

bool Service::works_on(const InstanceId& id) const { return operations_.works_on(id) || pools_.works_on(id); }

/// What is told here is found by the next sweep too, half a minute later.
void Service::follow_engine(const std::stop_token& stop)
{
    constexpr Duration kPause = std::chrono::seconds{1};
    const auto look = [this](const EngineEvent& event) {
        const auto id = instance_of(event.name);
        if (event.action != "died" || !id) return;
        reconcile_instance(catalog_, engine_, clock_, *id, [this](const InstanceId& one) { return works_on(one); });
        pools_.wake();
    };
    do {
        try {
            engine_.watch(kInstanceLabel, look, stop);
        } catch (const std::exception& error) {
            spdlog::debug("Podman's events end: {}", error.what());
        }
    } while (clock_.sleep_for(kPause, stop));
}

void Service::shut_down()
{
    pools_.shut_down();  // it submits operations
    operations_.shut_down();
}

void Service::require_recovered() const
{
    if (recovered_) return;
    throw Error{ErrorCode::unavailable, "warmd has just started and cannot reach Podman yet"}.with_hint(
        "systemctl start podman.socket; GET /readyz tells when it is ready");
}

Operation Service::submit(Operation draft, Operations::Work work, const std::optional<RequestKey>& key)
{
    require_recovered();
    return operations_.submit(std::move(draft), std::move(work), key);
}

Operation Service::warm(const TemplateName& name, const std::optional<RequestKey>& key)
{
    const Template& from = templates_.get(name);
    return submit(
        {.kind = OperationKind::warm, .template_name = name},
        [this, &from](OperationRun& run) { warm_.run(from, run); }, key);
}

Operation Service::checkpoint(const TemplateName& name, const std::optional<RequestKey>& key)
{
    const Template& from = templates_.get(name);
    retention_.require_room(name);
    return submit(
        {.kind = OperationKind::checkpoint, .template_name = name},
        [this, &from](OperationRun& run) {
            const Checkpoint made = checkpoints_.of_template(from, run);
            pools_.wake();
            share(made);
        },
        key);
}

Operation Service::checkpoint(const InstanceId& id, const std::optional<RequestKey>& key)
{
    const Instance instance = catalog_.get(id);
    static_cast<void>(templates_.get(instance.template_name));
    if (instance.state != InstanceState::idle) {
        throw Error{ErrorCode::conflict,
                    "instance " + id.value() + " is " + std::string{to_string(instance.state)} + ", not idle"}
            .with_hint("only idle instances can be checkpointed");
    }
    if (instance.pooled) {
        throw Error{ErrorCode::conflict, "instance " + id.value() + " stands in a pool and is like its checkpoint"};
    }
    retention_.require_room(instance.template_name);
    return submit(
        {.kind = OperationKind::checkpoint, .template_name = instance.template_name, .instance = id},
        [this, id](OperationRun& run) {
            const Checkpoint made = checkpoints_.of_instance(id, run);
            pools_.wake();
            share(made);
        },
        key);
}

void Service::require_fit(const Checkpoint& checkpoint, bool force)
{
    require_recovered();
    try {
        host_.require(checkpoint, force);
    } catch (const Error& error) {
        if (error.code() == ErrorCode::incompatible_host) throw;
        // What the engine cannot tell is not known to differ; whether it answers the operation will show.
    }
}

Operation Service::start_restore(const Checkpoint& checkpoint, const RestoreRequest& how,
                                 const std::optional<RequestKey>& key)
{
    const RestoreOptions options{.path = how.path, .checked = true};
    return submit(
        {.kind = OperationKind::restore, .template_name = checkpoint.template_name, .checkpoint = checkpoint.id},
        [this, id = checkpoint.id, options](OperationRun& run) { restore_.run(id, options, run); }, key);
}

Operation Service::restore(const CheckpointId& id, const RestoreRequest& how, const std::optional<RequestKey>& key)
{
    const Checkpoint checkpoint = catalog_.get(id);
    Restore::require_available(checkpoint);
    require_fit(checkpoint, how.force);
    return start_restore(checkpoint, how, key);
}

Operation Service::restore_newest(const TemplateName& name, const RestoreRequest& how,
                                  const std::optional<RequestKey>& key)
{
    const Template& from = templates_.get(name);
    const auto newest = catalog_.newest_available(name, from.digest);
    if (!newest) {
        throw Error{ErrorCode::not_found,
                    "template \"" + name.value() + "\", as it is now, has no available checkpoint"}
            .with_hint("make one: POST /v1/templates/" + name.value() + "/checkpoints");
    }
    std::optional<Error> misfit;  // of the newest
    const auto fits = [this, &misfit](const Checkpoint& checkpoint) {
        try {
            require_fit(checkpoint, false);
            return true;
        } catch (const Error& error) {
            if (error.code() != ErrorCode::incompatible_host) throw;
            if (!misfit) misfit = error;
            return false;
        }
    };
    if (const auto fitting = catalog_.newest_available(name, from.digest, fits)) {
        return submit(
            {.kind = OperationKind::restore, .template_name = name, .checkpoint = fitting->id},
            [this, &from, first = *fitting, path = how.path](OperationRun& run) {
                std::optional<Checkpoint> next = first;
                while (next) {
                    try {
                        run.set_checkpoint(next->id);
                        restore_.run(next->id, {.path = path, .checked = true}, run);
                        return;
                    } catch (const Error& error) {
                        if (error.code() != ErrorCode::corrupt) throw;
                        // It is in quarantine now, and thus not the newest any more.
                        const CheckpointId damaged = next->id;
                        next = next_best(from);
                        if (!next || next->id == damaged) throw;
                        spdlog::warn("operation_id={}: checkpoint {} is damaged, {} takes its place", run.id().value(),
                                     damaged.value(), next->id.value());
                    }
                }
            },
            key);
    }
    if (how.force) return restore(newest->id, how, key);
    if (from.rewarm == RewarmPolicy::never) throw *misfit;
    pools_.want(name);
    throw Error{ErrorCode::incompatible_host, misfit->what()}
        .with_cause(misfit->cause())
        .with_hint("warmd makes a new checkpoint by itself: try again when it is there (warmctl why " + name.value() +
                   ")");
}

std::optional<Checkpoint> Service::next_best(const Template& from)
{
    return catalog_.newest_available(from.name, from.digest,
                                     [this](const Checkpoint& checkpoint) { return host_.fits(checkpoint); });
}

Operation Service::verify_checkpoint(const CheckpointId& id, bool by_restore, const std::optional<RequestKey>& key)
{
    const Checkpoint checkpoint = catalog_.get(id);
    Restore::require_available(checkpoint);
    if (by_restore) require_fit(checkpoint, false);
    return submit(
        {.kind = OperationKind::verify_checkpoint, .template_name = checkpoint.template_name, .checkpoint = id},
        [this, id, by_restore](OperationRun& run) { integrity_.verify(id, by_restore, run); }, key);
}

Operation Service::terminate(const InstanceId& id)
{
    const Instance instance = catalog_.get(id);
    if (!is_usable(instance.state)) {
        throw Error{ErrorCode::conflict, "instance " + id.value() + " is " + std::string{to_string(instance.state)}}
            .with_hint("one that is being made ends with its operation: DELETE /v1/operations/{id}");
    }
    return submit({.kind = OperationKind::terminate, .template_name = instance.template_name, .instance = id},
                  [this, id](OperationRun& run) {
                      const std::string reason = "it was terminated by request";
                      Instance ending = catalog_.transition(id, {InstanceState::idle, InstanceState::leased},
                                                            InstanceState::draining, reason);
                      run.settle("remove", [&] { end_instance(catalog_, engine_, clock_, ending, reason); });
                  });
}

Operation Service::delete_checkpoint(const CheckpointId& id)
{
    const Checkpoint checkpoint = catalog_.get(id);
    require_deletable(checkpoint);
    return submit(
        {.kind = OperationKind::delete_checkpoint, .template_name = checkpoint.template_name, .checkpoint = id},
        [this, id](OperationRun& run) {
            run.settle("delete", [&] { retention_.remove(id); });
            pools_.wake();
        });
}

Operation Service::import_checkpoint(const std::string& name, const std::optional<RequestKey>& key)
{
    // What the descriptors refer to is what is imported, whatever happens to the names meanwhile.
    const auto incoming = std::make_shared<const Incoming>(transfer_.receive(name));
    return submit(
        {.kind = OperationKind::import_checkpoint, .template_name = incoming->checkpoint.template_name},
        [this, incoming](OperationRun& run) {
            transfer_.take_in(*incoming, run);
            pools_.wake();
        },
        key);
}

Operation Service::push_checkpoint(const CheckpointId& id, const std::optional<RequestKey>& key)
{
    distribution_.require_registry();
    const Checkpoint checkpoint = catalog_.get(id);
    Restore::require_available(checkpoint);
    return submit(
        {.kind = OperationKind::push_checkpoint, .template_name = checkpoint.template_name, .checkpoint = id},
        [this, id](OperationRun& run) { distribution_.push(id, run); }, key);
}

Operation Service::pull_checkpoint(const TemplateName& name, const std::optional<RequestKey>& key)
{
    distribution_.require_registry();
    const Template& from = templates_.get(name);
    return submit(
        {.kind = OperationKind::pull_checkpoint, .template_name = name},
        [this, &from](OperationRun& run) {
            distribution_.pull(from, run);
            pools_.wake();
        },
        key);
}

/// By an operation of its own: the checkpoint stands, whatever becomes of that.
void Service::share(const Checkpoint& made)
{
    if (!pushes(templates_.get_or_defaults(made.template_name).distribute)) return;
    try {
        push_checkpoint(made.id);
    } catch (const Error& error) {
        spdlog::warn("checkpoint_id={} is not pushed: {}", made.id.value(), error.what());
    }
}

/// Those templates whose checkpoints come from elsewhere need not wait for somebody to ask.
void Service::obtain_missing()
{
    for (const auto& [name, from] : templates_.all()) {
        if (pulls(from.distribute) && !next_best(from)) rewarm_.begin(from);
    }
}

Operation Service::prune(const PruneRequest& request, const std::optional<RequestKey>& key)
{
    return submit(
        {.kind = OperationKind::prune},
        [this, request](OperationRun& run) {
            retention_.prune(request, run);
            pools_.wake();
        },
        key);
}

std::string Service::logs(const InstanceId& id, int lines)
{
    const Instance instance = catalog_.get(id);
    if (instance.state == InstanceState::terminated || instance.container.empty()) {
        throw Error{ErrorCode::conflict, "instance " + id.value() + " has no container"};
    }
    return engine_.logs(instance.container, lines);
}

ServiceStatus Service::status() const
{
    ServiceStatus status = board_.read();
    status.started_at = started_at_;
    status.templates = static_cast<int>(templates_.all().size());
    status.operations_active = operations_.active();
    status.recovered = recovered_;
    status.priming = primer_.status();
    status.rebuild = rebuild_;
    return status;
}

void Service::record(const Operation& ended) noexcept
{
    try {
        const auto instance = ended.instance.empty() ? std::nullopt : catalog_.find(ended.instance);
        const bool makes = ended.kind == OperationKind::warm || ended.kind == OperationKind::restore;
        metrics_.operation_ended(ended, makes && instance ? std::optional{instance->path} : std::nullopt);
    } catch (const std::exception& error) {
        spdlog::warn("operation_id={} is not counted: {}", ended.id.value(), error.what());
    }
}

Levels Service::levels(const std::string& version) const
{
    Levels levels{.version = version,
                  .status = status(),
                  .checkpoints = {},
                  .oldest_look = {},
                  .min_free_bytes = store_.ledger().floor(),
                  .reserved_bytes = store_.ledger().reserved()};
    for (const Checkpoint& checkpoint : catalog_.checkpoints(Page::all())) {
        ++levels.checkpoints[{checkpoint.template_name, checkpoint.state}];
        if (checkpoint.state != CheckpointState::available) continue;
        const Time look = last_look(checkpoint);
        levels.oldest_look = std::min(look, levels.oldest_look.value_or(look));
    }
    return levels;
}

std::vector<ReadinessCheck> Service::readiness()
{
    std::vector<ReadinessCheck> checks;
    const auto look = [&checks](const char* name, const std::function<void()>& check) {
        std::optional<Error> failure;
        try {
            check();
        } catch (const Error& error) {
            failure = error;
        } catch (const std::exception& error) {
            failure = Error{ErrorCode::internal, error.what()};
        }
        checks.push_back({.name = name, .error = std::move(failure)});
    };
    look("podman", [this] {
        const EngineInfo info = engine_.info();
        if (info.runtime_has_criu) return;
        throw Error{ErrorCode::unavailable, "the container runtime " + info.runtime + " is built without CRIU"}
            .with_hint("install a crun with +CRIU in `crun --version`, or runc");
    });
    look("catalog", [this] { catalog_.ping(); });
    look("store", [this] {
        if (store_.free_bytes() > 0) return;
        throw Error{ErrorCode::no_space, "no space is free where the tarballs lie"}.with_hint("delete checkpoints");
    });
    look("recovered", [this] {
        if (recovered_) return;
        throw Error{ErrorCode::unavailable, "the catalog has not been compared with Podman's containers yet"}.with_hint(
            "this happens by itself once Podman answers");
    });
    return checks;
}

}  // namespace warmd
