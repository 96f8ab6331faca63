#pragma once

#include <string>
#include <string_view>

#include "daemon/model/template.h"

namespace warmd {

/// What Podman takes a restored container from.
struct ContainerDocuments {
    std::string_view config_dump;  // libpod.ContainerConfig
    std::string_view spec_dump;    // the OCI runtime's config.json
};

/// Whether a checkpoint that comes from elsewhere asks for no more of this host than a container that this host makes
/// from `from` and the image `image_id` has: root without further capabilities, in namespaces of its own, behind
/// Podman's seccomp filter and masked paths; mounts of the template alone; its network; no devices, hooks, ports,
/// volumes or secrets; nothing that Podman, conmon, the runtime or CRIU would run or write outside of the container.
/// What Podman replaces itself when it restores (/dev/shm, /etc/hosts and so on) does not count, and neither do limits.
///
/// Throws Error{invalid_archive}, which names document and member. Settings that are not known here are refused
/// unless they are empty: a newer Podman's may mean anything.
void require_no_more_than(const Template& from, const std::string& image_id, const ContainerDocuments& documents);

}  // namespace warmd
