#pragma once

#include <map>
#include <optional>
#include <string>

#include "daemon/base/clock.h"
#include "daemon/base/id.h"
#include "daemon/model/phase.h"

namespace warmd {

enum class InstanceState { warming, restoring, idle, leased, draining, terminated };
std::string_view to_string(InstanceState state);
std::optional<InstanceState> instance_state_from_string(std::string_view text);

/// Whether commands may run in an instance in this state, and whether it may be ended.
bool is_usable(InstanceState state);

/// The label of an image that says where in its containers the agent listens.
inline constexpr std::string_view kAgentLabel = "io.warmd.agent";

/// How an instance came to be.
enum class Origin { warm, restore };
std::string_view to_string(Origin origin);
std::optional<Origin> origin_from_string(std::string_view text);

/// How a ready instance was come by, fastest first: it stood in its pool; it was restored from the unpacked images, or
/// from the tarball as Podman does by itself; the application was started.
enum class InstancePath { pool, linked, archive, cold };
std::string_view to_string(InstancePath path);
std::optional<InstancePath> instance_path_from_string(std::string_view text);

/// A container that warm or restore made.
struct Instance {
    InstanceId id;
    TemplateName template_name;
    InstanceState state = InstanceState::warming;
    std::string reason;  // why it is terminated or draining; empty otherwise
    Origin origin = Origin::warm;
    InstancePath path = InstancePath::cold;  // how it was made, hence never `pool`
    bool pooled = false;                     // made for its template's pool: commands run in it only under a lease
    CheckpointId checkpoint;                 // restored from; empty for a warmed one
    ContainerId container;                   // empty until Podman has created it
    std::string agent_socket;                // in the container; empty when its image has no agent
    Time created_at;
    std::optional<Time> terminated_at;
    Phases phases;
};

/// The name of an instance's container. Together with the label below it is how recovery knows a container
/// for warmd's own; one without the other belongs to somebody else (a tarball restored by hand keeps labels).
std::string container_name(const InstanceId& id);
/// The reverse. Nothing for a name of another form.
std::optional<InstanceId> instance_of(std::string_view container_name);

/// The labels that an instance's container carries: warmd.instance and warmd.template.
std::map<std::string, std::string> container_labels(const Instance& instance);

inline constexpr std::string_view kInstanceLabel = "warmd.instance";
inline constexpr std::string_view kTemplateLabel = "warmd.template";

}  // namespace warmd
