#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "daemon/base/id.h"
#include "daemon/base/unique_fd.h"
#include "daemon/store/file_sum.h"
#include "daemon/store/image_unpacker.h"
#include "daemon/store/space_ledger.h"

namespace warmd {

/// The CRIU images of checkpoints, unpacked once for all restores: `ID/checkpoint/*.img`, and beside them `rest.tar`,
/// the tarball without them. Each restore gets a directory of its own with hard links to the images and a host name of
/// its own, and the tarball with a symbolic link to that directory. Podman unpacks that in no time, crun follows the
/// link, CRIU reads the memory from the page cache, and what Podman removes after the restore is the link (measured
/// with Podman 5.4, crun 1.21 and CRIU 4.2; none of them promises it). Symbolic links to the single images would not
/// do: CRIU opens some of them from within the container's file system.
///
/// A cache: what is missing or does not match is made again from the tarball. A manifest in it has the sum of each
/// file, taken from the very bytes that had the tarball's sum, and what the kernel says of the file. While that is so,
/// nothing is read; when it is not (another boot, warmd was killed, somebody was there), the sums decide. Thread-safe.
class UnpackedImages {
public:
    /// Both exist, are private to root and on one file system. `ledger`, which must outlive this: of that file system;
    /// what it has promised to tarballs is not taken from them.
    UnpackedImages(std::filesystem::path directory, std::filesystem::path scratch, const SpaceLedger* ledger = nullptr);

    /// Unpacks a tarball that passes by on its way into the store. A failure (no space, a tarball of another form) ends
    /// the unpacking and is logged; the stream does not notice, and a restore tries again.
    class Staged {
    public:
        ~Staged();
        Staged(const Staged&) = delete;
        Staged& operator=(const Staged&) = delete;

        void write(std::string_view bytes) noexcept;
        /// Call after the last byte, with the tarball's sum. True when the images are there.
        bool publish(const std::string& sha256) noexcept;

    private:
        friend class UnpackedImages;
        Staged(UnpackedImages& images, const CheckpointId& id);
        struct Unpacking;
        std::unique_ptr<Unpacking> unpacking_;
    };
    /// Nothing when it cannot begin.
    std::unique_ptr<Staged> stage(const CheckpointId& id) noexcept;

    /// Keeps images from being dropped while it lives, and the directory with links to them.
    class Hold {
    public:
        ~Hold();
        Hold(const Hold&) = delete;
        Hold& operator=(const Hold&) = delete;
        [[nodiscard]] const UniqueFd& linked_tarball() const { return linked_; }

    private:
        friend class UnpackedImages;
        Hold(UnpackedImages& images, CheckpointId id, std::filesystem::path view, UniqueFd linked);
        UnpackedImages& images_;
        CheckpointId id_;
        std::filesystem::path view_;
        UniqueFd linked_;
    };

    /// The images of the tarball with this sum, for a container with this host name; empty: the dumped one's. Nothing
    /// when they are not there, are another tarball's or another boot's, or a file is not as it was left (inode, size,
    /// mode, owner, times of modification and of change). Throws Error{no_space | internal} when the disk does not let
    /// them be linked.
    std::unique_ptr<Hold> open(const CheckpointId& id, const std::string& sha256, const std::string& hostname);

    /// Makes them from the tarball, unless those that are there have the right sums. One call at a time; others wait.
    /// Throws Error: `corrupt` when the tarball's sum is another, what `unpack_images` throws, and what `read` and
    /// `pace` throw.
    void unpack(const CheckpointId& id, const std::string& sha256, const TarballBytes& read, const ReadPace& pace = {});

    enum class Check { none, intact, dropped };
    /// Reads all of them. Those that are not what was unpacked are dropped, and made again when they are needed. Throws
    /// what `pace` throws.
    Check check(const CheckpointId& id, const std::string& sha256, const ReadPace& pace = {});

    /// Success when there are none.
    void drop(const CheckpointId& id);
    /// Drops those that were used longest ago and are not held. False when there are none.
    bool drop_oldest();
    /// Drops all that are not of these.
    void keep_only(const std::function<bool(const CheckpointId&)>& wanted);

private:
    struct Use {
        int holds = 0;
        std::uint64_t last = 0;  // counts uses
    };
    void release(const CheckpointId& id, const std::filesystem::path& view);
    void publish(const CheckpointId& id, const std::filesystem::path& staged, const std::string& sha256,
                 const UnpackedSums& sums);
    /// True when the files are those of the manifest, and now as they were left. Reads them without the mutex.
    bool sums_are_right(const CheckpointId& id, const std::string& sha256, const ReadPace& pace);
    [[nodiscard]] std::filesystem::path images_of(const CheckpointId& id) const;
    UnpackedSums unpack_into(const std::filesystem::path& staging, const TarballBytes& read) const;

    const std::filesystem::path directory_;
    const std::filesystem::path scratch_;
    const SpaceLedger* const ledger_;
    std::mutex unpacking_;  // one at a time: it is bound by memory and disk
    std::mutex mutex_;      // protects what follows, and the directories' names
    std::map<CheckpointId, Use> uses_;
    std::uint64_t count_ = 0;
};

}  // namespace warmd
