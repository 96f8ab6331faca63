// The words of the vocabulary, once for each enumeration: API, catalog and logs use the same.
#include "daemon/base/enum_names.h"
#include "daemon/model/access.h"
#include "daemon/model/checkpoint.h"
#include "daemon/model/event.h"
#include "daemon/model/exec.h"
#include "daemon/model/instance.h"
#include "daemon/model/lease.h"
#include "daemon/model/operation.h"
#include "daemon/model/retention.h"
#include "daemon/model/template.h"

namespace warmd {

namespace {

constexpr EnumNames<Role, 4> kRoles{
    {{{Role::none, "none"}, {Role::read, "read"}, {Role::exec, "exec"}, {Role::admin, "admin"}}}};

constexpr EnumNames<Network, 2> kNetworks{{{{Network::none, "none"}, {Network::bridge, "bridge"}}}};

constexpr EnumNames<RewarmPolicy, 2> kRewarmPolicies{
    {{{RewarmPolicy::automatic, "auto"}, {RewarmPolicy::never, "never"}}}};

constexpr EnumNames<Distribute, 4> kDistributes{{{
    {Distribute::none, "none"},
    {Distribute::push, "push"},
    {Distribute::pull, "pull"},
    {Distribute::both, "both"},
}}};

constexpr EnumNames<InstanceState, 6> kInstanceStates{{{
    {InstanceState::warming, "warming"},
    {InstanceState::restoring, "restoring"},
    {InstanceState::idle, "idle"},
    {InstanceState::leased, "leased"},
    {InstanceState::draining, "draining"},
    {InstanceState::terminated, "terminated"},
}}};

constexpr EnumNames<Origin, 2> kOrigins{{{{Origin::warm, "warm"}, {Origin::restore, "restore"}}}};

constexpr EnumNames<InstancePath, 4> kInstancePaths{{{
    {InstancePath::pool, "pool"},
    {InstancePath::linked, "linked"},
    {InstancePath::archive, "archive"},
    {InstancePath::cold, "cold"},
}}};

constexpr EnumNames<LeaseState, 4> kLeaseStates{{{
    {LeaseState::active, "active"},
    {LeaseState::released, "released"},
    {LeaseState::expired, "expired"},
    {LeaseState::lost, "lost"},
}}};

constexpr EnumNames<CheckpointState, 7> kCheckpointStates{{{
    {CheckpointState::pending, "pending"},
    {CheckpointState::dumping, "dumping"},
    {CheckpointState::verifying, "verifying"},
    {CheckpointState::available, "available"},
    {CheckpointState::failed, "failed"},
    {CheckpointState::quarantined, "quarantined"},
    {CheckpointState::deleting, "deleting"},
}}};

constexpr EnumNames<OperationKind, 10> kOperationKinds{{{
    {OperationKind::warm, "warm"},
    {OperationKind::checkpoint, "checkpoint"},
    {OperationKind::restore, "restore"},
    {OperationKind::terminate, "terminate"},
    {OperationKind::delete_checkpoint, "delete_checkpoint"},
    {OperationKind::import_checkpoint, "import_checkpoint"},
    {OperationKind::verify_checkpoint, "verify_checkpoint"},
    {OperationKind::push_checkpoint, "push_checkpoint"},
    {OperationKind::pull_checkpoint, "pull_checkpoint"},
    {OperationKind::prune, "prune"},
}}};

constexpr EnumNames<DeletionReason, 7> kDeletionReasons{{{
    {DeletionReason::expired, "expired"},
    {DeletionReason::superseded, "superseded"},
    {DeletionReason::earlier_template, "earlier_template"},
    {DeletionReason::over_size, "over_size"},
    {DeletionReason::failed, "failed"},
    {DeletionReason::quarantined, "quarantined"},
    {DeletionReason::requested, "requested"},
}}};

constexpr EnumNames<OperationState, 5> kOperationStates{{{
    {OperationState::queued, "queued"},
    {OperationState::running, "running"},
    {OperationState::succeeded, "succeeded"},
    {OperationState::failed, "failed"},
    {OperationState::cancelled, "cancelled"},
}}};

constexpr EnumNames<EventKind, 4> kEventKinds{{{
    {EventKind::instance, "instance"},
    {EventKind::checkpoint, "checkpoint"},
    {EventKind::operation, "operation"},
    {EventKind::lease, "lease"},
}}};

constexpr EnumNames<ExecPath, 2> kExecPaths{{{{ExecPath::agent, "agent"}, {ExecPath::podman, "podman"}}}};

}  // namespace

std::string_view to_string(Role role) { return kRoles.name(role); }
std::optional<Role> role_from_string(std::string_view text) { return kRoles.value(text); }

std::string_view to_string(ExecPath path) { return kExecPaths.name(path); }
std::optional<ExecPath> exec_path_from_string(std::string_view text) { return kExecPaths.value(text); }

std::string_view to_string(EventKind kind) { return kEventKinds.name(kind); }
std::optional<EventKind> event_kind_from_string(std::string_view text) { return kEventKinds.value(text); }

std::string_view to_string(Network network) { return kNetworks.name(network); }
std::optional<Network> network_from_string(std::string_view text) { return kNetworks.value(text); }

std::string_view to_string(RewarmPolicy policy) { return kRewarmPolicies.name(policy); }
std::optional<RewarmPolicy> rewarm_policy_from_string(std::string_view text) { return kRewarmPolicies.value(text); }

std::string_view to_string(Distribute distribute) { return kDistributes.name(distribute); }
std::optional<Distribute> distribute_from_string(std::string_view text) { return kDistributes.value(text); }
bool pushes(Distribute distribute) { return distribute == Distribute::push || distribute == Distribute::both; }
bool pulls(Distribute distribute) { return distribute == Distribute::pull || distribute == Distribute::both; }

std::string_view to_string(InstanceState state) { return kInstanceStates.name(state); }
std::optional<InstanceState> instance_state_from_string(std::string_view text) { return kInstanceStates.value(text); }

std::string_view to_string(Origin origin) { return kOrigins.name(origin); }
std::optional<Origin> origin_from_string(std::string_view text) { return kOrigins.value(text); }

std::string_view to_string(InstancePath path) { return kInstancePaths.name(path); }
std::optional<InstancePath> instance_path_from_string(std::string_view text) { return kInstancePaths.value(text); }

std::string_view to_string(LeaseState state) { return kLeaseStates.name(state); }
std::optional<LeaseState> lease_state_from_string(std::string_view text) { return kLeaseStates.value(text); }

std::string_view to_string(CheckpointState state) { return kCheckpointStates.name(state); }
std::optional<CheckpointState> checkpoint_state_from_string(std::string_view text)
{
    return kCheckpointStates.value(text);
}

std::string_view to_string(DeletionReason reason) { return kDeletionReasons.name(reason); }
std::optional<DeletionReason> deletion_reason_from_string(std::string_view text)
{
    return kDeletionReasons.value(text);
}

std::string_view to_string(OperationKind kind) { return kOperationKinds.name(kind); }
std::optional<OperationKind> operation_kind_from_string(std::string_view text) { return kOperationKinds.value(text); }

std::string_view to_string(OperationState state) { return kOperationStates.name(state); }
std::optional<OperationState> operation_state_from_string(std::string_view text)
{
    return kOperationStates.value(text);
}

bool is_usable(InstanceState state) { return state == InstanceState::idle || state == InstanceState::leased; }

bool is_final(OperationState state) { return state != OperationState::queued && state != OperationState::running; }

namespace {
constexpr std::string_view kContainerPrefix = "warmd-";
}

std::string container_name(const InstanceId& id) { return std::string{kContainerPrefix} + id.value(); }

std::optional<InstanceId> instance_of(std::string_view container_name)
{
    if (!container_name.starts_with(kContainerPrefix)) return std::nullopt;
    return InstanceId{std::string{container_name.substr(kContainerPrefix.size())}};
}

std::map<std::string, std::string> container_labels(const Instance& instance)
{
    return {{std::string{kInstanceLabel}, instance.id.value()},
            {std::string{kTemplateLabel}, instance.template_name.value()}};
}

}  // namespace warmd
