#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>

namespace warmd {

/// Fills `buffer` with the next bytes of a tarball; 0 at its end.
using TarballBytes = std::function<std::size_t(std::span<char> buffer)>;

/// Reads a checkpoint tarball and writes, into the existing directory `into`, `checkpoint/` with its CRIU images and
/// `linked.tar`, the tarball with a symbolic link into `link_target` for each image. Images of UTS namespaces stay in
/// it as they are: each restored container has a host name of its own. Reads to the tarball's end. Throws Error:
/// `unsupported_media` when the images are not plain files in one directory, as Podman 4.3 to 5.8 write them
/// (libpod/container_internal_common.go, exportCheckpoint), `no_space`, `corrupt`, and what `read` throws.
void unpack_images(const TarballBytes& read, const std::filesystem::path& into, const std::string& link_target);

inline constexpr const char* kImagesDirectory = "checkpoint";
inline constexpr const char* kLinkedTarball = "linked.tar";

}  // namespace warmd
