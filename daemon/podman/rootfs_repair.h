#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/podman/tar_splice.h"

// Podman's export of a checkpoint loses changes to the image's own files. For each "modified" entry of the
// container's root file system it looks whether that path exists on the *host* and leaves the entry out if
// not (pkg/checkpoint/crutils/checkpoint_restore_utils.go, CRCreateRootFsDiffTar: os.Stat(file.Path); the
// same from 4.3 to 5.8). Directories whose mode or owner changed are never kept. Added and deleted files are.
//
// A directory that the container has put in the place of something of the image's is worse: Podman records it as
// deleted, and not as a directory. On restore it unpacks what is in the new directory into the old one, then deletes
// all of it. Where the image has a symbolic link at that place, it unpacks through the link, with root's rights on the
// host (archive.Untar without chroot, Podman 5.4): a container could have files written anywhere. The repair puts such
// a directory first, twice: as a file, which removes what the image has there, and as the directory. And it takes it
// off the list of deleted files.
//
// The repair reads what was modified from the container's own layer (the overlay's upper directory), while
// the container is stopped, and puts it in front of what Podman recorded in rootfs-diff.tar. On restore
// Podman unpacks that archive over the image. The tarball stays self-contained and depends on no image but
// the one that the container was made from.

namespace warmd::podman {

/// Whether an overlay file system with these mount options leaves in lower layers what was changed (metacopy,
/// redirect_dir). It names only options that differ from the kernel's defaults, which are the other two arguments.
/// Its marks on files (trusted.overlay.*) tell more, and are shown only to CAP_SYS_ADMIN, which warmd does without.
bool keeps_changes_elsewhere(std::string_view mount_options, bool metacopy_default, bool redirect_default);
/// The same with the defaults of this kernel.
bool keeps_changes_elsewhere(std::string_view mount_options);

struct RootfsRepair {
    SizedSource entries;                // tar entries without an end-of-archive mark; empty size when there are none
    std::int64_t count = 0;             // how many
    std::vector<std::string> replaced;  // of the paths that are deleted, those where a directory is now
};

/// `modified`, `deleted`: absolute paths in the container, as Podman's list of changes calls them. `upper_directory`:
/// the container's own layer on the host. Modified paths that are not in that layer are passed over (an ancestor that
/// Podman lists may be unchanged itself), and so are deleted ones unless a directory is there. Entries are spooled to
/// an unnamed file in `spool_directory`. Throws Error: `engine_failed` for a layer that cannot be read as it stands
/// (overlay's metacopy or redirect), `no_space`, `internal`.
RootfsRepair collect_modified(const std::vector<std::string>& modified, std::vector<std::string> deleted,
                              const std::string& upper_directory, const std::string& spool_directory);

}  // namespace warmd::podman
