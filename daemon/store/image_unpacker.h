#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>

#include "daemon/base/unique_fd.h"

namespace warmd {

/// Fills `buffer` with the next bytes of a tarball; 0 at its end.
using TarballBytes = std::function<std::size_t(std::span<char> buffer)>;

/// The SHA-256 of each file that was written, by its name: of the images in `checkpoint`, and of `rest.tar`.
struct UnpackedSums {
    std::map<std::string, std::string> images;
    std::string rest;
};

/// Reads a checkpoint tarball and writes, into the existing directory `into`, `checkpoint/` with its CRIU images and
/// `rest.tar` with everything else. Reads to the tarball's end. The sums are of the bytes as they were written, not as
/// they might be read again. Throws Error: `unsupported_media` when the images are
/// not plain files in one directory, as Podman 4.3 to 5.8 write them (libpod/container_internal_common.go,
/// exportCheckpoint), `no_space`, `corrupt`, and what `read` throws.
/// `may_grow` is asked now and then: when it says no, that is `no_space`.
UnpackedSums unpack_images(const TarballBytes& read, const std::filesystem::path& into,
                           const std::function<bool()>& may_grow = {});

/// A tarball with `checkpoint` as a symbolic link to `images`, and with all that is in `rest`, a tarball without
/// images. It is an unnamed file in the directory `scratch`, to be read from its beginning. Throws Error.
UniqueFd link_images(const std::filesystem::path& rest, const std::filesystem::path& images,
                     const std::filesystem::path& scratch);

inline constexpr const char* kImagesDirectory = "checkpoint";
inline constexpr const char* kRestTarball = "rest.tar";

}  // namespace warmd
