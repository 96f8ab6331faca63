#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/guarded.h"
#include "daemon/base/id.h"
#include "daemon/base/sha256.h"
#include "daemon/base/unique_fd.h"
#include "daemon/model/checkpoint.h"
#include "daemon/store/file_sum.h"
#include "daemon/store/space_ledger.h"
#include "daemon/store/unpacked_images.h"

namespace warmd {

/// Bytes on the file system that holds the tarballs.
struct StoreSpace {
    std::uint64_t free_bytes = 0;
    std::uint64_t total_bytes = 0;
    std::uint64_t unpacked_bytes = 0;  // of unpacked images
};

/// A tarball on its way into the store. Discards its file unless published. Its images are unpacked meanwhile.
class StagedTarball {
public:
    StagedTarball(StagedTarball&&) noexcept = default;
    StagedTarball& operator=(StagedTarball&&) = delete;
    ~StagedTarball();

    /// Appends and hashes. Where space is short the cache of unpacked images goes first. Throws Error{no_space} or
    /// Error{internal}.
    void write(std::string_view bytes);

    /// Fills in the checkpoint's size and sum, and makes the tarball permanent with its manifest beside it: fsync of
    /// both files, rename of the manifest, then of the tarball, fsync of the directory. When it returns, both survive
    /// a power cut. When it throws, there is neither: a failed fsync is never tried again, because the kernel forgets
    /// what it could not write. `checkpoint` is the one that was staged, as its row is going to be.
    void publish(Checkpoint& checkpoint);

private:
    friend class TarballStore;
    StagedTarball(std::filesystem::path staged, std::filesystem::path final_path, UnpackedImages& unpacked,
                  const CheckpointId& id, SpaceLedger::Reservation* room);
    bool give_up_cache();

    std::filesystem::path staged_;    // empty once published
    std::filesystem::path manifest_;  // empty unless there is one that goes with the tarball's failure
    std::filesystem::path final_;
    UniqueFd file_;
    std::unique_ptr<Sha256> hash_;
    std::uint64_t size_ = 0;
    UnpackedImages* cache_;           // whose space is ours when there is no other
    SpaceLedger::Reservation* room_;  // null: whatever is free
    std::unique_ptr<UnpackedImages::Staged> unpacked_;
};

/// The directory of checkpoint tarballs: `checkpoints/ID.tar` with `checkpoints/ID.json`, their manifests,
/// `unpacked/ID` as a cache of their images, and, on the same file system, `tmp/` for what is not complete. All 0700,
/// files 0600: they hold process memory. A manifest is there before its tarball and goes after it: one alone is what a
/// crash left. Thread-safe.
class TarballStore {
public:
    /// Creates the directories. Throws Error{internal} when it cannot. `min_free_bytes`: what reservations leave free;
    /// nothing: a twentieth of the file system, 1 GiB at most. `free`: asked how much is; without it the file system
    /// is.
    explicit TarballStore(std::filesystem::path root, std::optional<std::uint64_t> min_free_bytes = std::nullopt,
                          SpaceLedger::FreeBytes free = {});

    /// `room`, which must outlive the tarball: what it may take of the file system. Without it, whatever is free.
    StagedTarball stage(const CheckpointId& id, SpaceLedger::Reservation* room = nullptr);

    [[nodiscard]] SpaceLedger& ledger() { return ledger_; }
    [[nodiscard]] const SpaceLedger& ledger() const { return ledger_; }

    /// Opens for reading. Throws Error{corrupt} when the file is missing or not `size_bytes` long, and Error{internal}
    /// when it cannot be opened.
    [[nodiscard]] UniqueFd open(const CheckpointId& id, std::uint64_t size_bytes) const;
    /// As `open`, and throws Error{corrupt} when what the descriptor reads has another sum than the checkpoint's. Reads
    /// it all, unless this very file was read with this sum since the store was made and has not changed since.
    [[nodiscard]] UniqueFd open_verified(const Checkpoint& checkpoint, const ReadPace& pace = {});
    /// As `open_verified`, and always reads it all.
    void verify(const Checkpoint& checkpoint, const ReadPace& pace = {});

    /// With its manifest and its unpacked images. Success when there is none. Durable on return.
    void remove(const CheckpointId& id);

    /// Ids for which there is a tarball, and those for which there is a manifest.
    [[nodiscard]] std::vector<CheckpointId> list() const;
    [[nodiscard]] std::vector<CheckpointId> manifests() const;
    [[nodiscard]] std::filesystem::path path_of(const CheckpointId& id) const;
    [[nodiscard]] std::filesystem::path manifest_path_of(const CheckpointId& id) const;

    /// What the manifest says; nothing when there is none. Throws Error{corrupt} when it is damaged or another's.
    [[nodiscard]] std::optional<Checkpoint> read_manifest(const CheckpointId& id) const;
    /// Makes or replaces the manifest. Durable on return.
    void write_manifest(const Checkpoint& checkpoint);

    /// Removes what a crash left in `tmp/`. Call before the first `stage`.
    void sweep();

    [[nodiscard]] UnpackedImages& unpacked() { return unpacked_; }

    [[nodiscard]] std::uint64_t free_bytes() const;
    /// Looks at every unpacked file. Throws Error{internal} when the file system cannot be asked.
    [[nodiscard]] StoreSpace space() const;
    /// How many bytes the unpacked images of each checkpoint take. Looks at every file.
    [[nodiscard]] std::map<CheckpointId, std::uint64_t> unpacked_sizes() const;
    [[nodiscard]] const std::filesystem::path& scratch() const { return scratch_; }
    [[nodiscard]] std::filesystem::path root() const { return scratch_.parent_path(); }

private:
    UniqueFd open_and_verify(const Checkpoint& checkpoint, bool trust_earlier, const ReadPace& pace);

    std::filesystem::path checkpoints_;
    std::filesystem::path scratch_;
    std::filesystem::path unpacked_directory_;
    SpaceLedger ledger_;
    UnpackedImages unpacked_;
    struct Verified {
        FileStamp stamp;
        std::string sha256;
    };
    Guarded<std::map<CheckpointId, Verified>> verified_;
};

}  // namespace warmd
