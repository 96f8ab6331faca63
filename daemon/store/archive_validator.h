#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace warmd {

/// Whose tarball it is. Podman's own export is written by a program that can be trusted, of a container that cannot.
/// Of one that comes from elsewhere nothing can.
enum class ArchiveOrigin { own, foreign };

/// What an archive may hold at most. None of it is ever unpacked, so these bound what Podman and CRIU will be given.
struct ArchiveLimits {
    std::uint64_t bytes = std::uint64_t{1} << 40U;  // of the tarball
    std::uint64_t members = 100'000;                // of the tarball
    std::uint64_t nested_members = 1'000'000;       // of each archive in it
    std::uint64_t name_bytes = 64U << 20U;          // of all their names together, for each
    std::uint64_t document_bytes = 4U << 20U;       // of a JSON document
    std::uint64_t deleted_bytes = 8U << 20U;        // of the list of deleted files
};

/// Looks at a checkpoint tarball that passes by on its way into the store. It must be what Podman 4.3 to 5.8 export
/// (libpod/container_internal_common.go, exportCheckpoint), and unpacking it as Podman does, with root's rights and
/// without a look at where a path leads, must stay within the new container:
///
/// - Members of known names alone, files and directories, none twice, none compressed.
/// - `rootfs-diff.tar` and the other archives in it: no path out of them, none through a symbolic link that they bring
///   along, no link to outside, no devices.
/// - `deleted.files`: absolute paths without `..`, none through such a link (Podman #27977), none with something of
///   `rootfs-diff.tar` below it: that is how a directory in the place of the image's symbolic link looks.
/// - `config.dump`, `spec.dump`: JSON objects of limited depth and size. What they ask for is another question:
///   see `require_no_more_than`.
///
/// The CRIU images themselves are opaque here: who can write them can run any code as root in the container, and CRIU
/// reads them with root's rights. Hence signatures.
class ArchiveValidator {
public:
    explicit ArchiveValidator(ArchiveOrigin origin, const ArchiveLimits& limits = {});
    ~ArchiveValidator();
    ArchiveValidator(const ArchiveValidator&) = delete;
    ArchiveValidator& operator=(const ArchiveValidator&) = delete;

    /// Takes the next piece, cut anywhere. Throws Error{invalid_archive}, which names the member; do not go on then.
    void write(std::string_view bytes);
    /// Call after the last byte. Throws as `write`.
    void finish();

    /// The documents, after `finish`.
    [[nodiscard]] const std::string& config_dump() const;
    [[nodiscard]] const std::string& spec_dump() const;

private:
    class State;
    std::unique_ptr<State> state_;
};

}  // namespace warmd
