#include "daemon/store/tarball_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>

#include "daemon/base/error.h"
#include "daemon/base/file_io.h"
#include "daemon/base/scope_exit.h"
#include "daemon/store/manifest.h"

namespace warmd {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kSuffix = ".tar";
constexpr std::string_view kManifestSuffix = ".json";
constexpr std::uintmax_t kLargestManifest = std::uintmax_t{1} << 20U;

void sync_directory(const fs::path& directory)
{
    const UniqueFd handle{::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!handle.valid() || ::fsync(handle.get()) != 0) throw system_error("sync " + directory.string(), errno);
}

/// Makes the file, which must not exist. Durable on return but for its name.
void write_durably(const fs::path& path, std::string_view bytes)
{
    const UniqueFd file{::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)};
    if (!file.valid()) throw system_error("create " + path.string(), errno);
    write_all(file, bytes, "write " + path.string());
    if (::fsync(file.get()) != 0) throw system_error("sync " + path.string(), errno);
}

void move_file(const fs::path& from, const fs::path& to)
{
    if (::rename(from.c_str(), to.c_str()) != 0) throw system_error("publish " + to.string(), errno);
}

std::vector<CheckpointId> ids_with(const fs::path& directory, std::string_view suffix)
{
    std::vector<CheckpointId> ids;
    for (const fs::directory_entry& entry : fs::directory_iterator{directory}) {
        if (entry.path().extension() == suffix && is_valid_name(entry.path().stem().string())) {
            ids.emplace_back(entry.path().stem().string());
        }
    }
    return ids;
}

void make_private_directory(const fs::path& directory)
{
    std::error_code error;
    fs::create_directories(directory, error);
    if (error || ::chmod(directory.c_str(), 0700) != 0) {
        throw system_error("create " + directory.string(), error ? error.value() : errno).with_field("store.directory");
    }
}

fs::space_info ask_space(const fs::path& directory)
{
    std::error_code error;
    const fs::space_info space = fs::space(directory, error);
    if (!error) return space;
    throw Error{ErrorCode::internal, "cannot ask how much space there is at " + directory.string()}.with_cause(
        error.message());
}

std::uint64_t usual_floor(const fs::path& root)
{
    constexpr std::uint64_t kPart = 20;
    constexpr std::uint64_t kMost = std::uint64_t{1} << 30U;
    make_private_directory(root);  // before there is anything to ask about
    return std::min<std::uint64_t>(kMost, ask_space(root).capacity / kPart);
}

}  // namespace

StagedTarball::StagedTarball(fs::path staged, fs::path final_path, UnpackedImages& unpacked, const CheckpointId& id,
                             SpaceLedger::Reservation* room)
    : staged_{std::move(staged)},
      final_{std::move(final_path)},
      file_{::open(staged_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)},
      hash_{std::make_unique<Sha256>()},
      cache_{&unpacked},
      room_{room}
{
    if (!file_.valid()) {
        const int error = errno;
        const std::string path = std::exchange(staged_, {}).string();
        throw system_error("create " + path, error);
    }
    unpacked_ = unpacked.stage(id);
}

StagedTarball::~StagedTarball()
{
    if (!staged_.empty()) ::unlink(staged_.c_str());
    if (!manifest_.empty()) ::unlink(manifest_.c_str());
}

/// First the images that can be unpacked again, those of this very tarball last. False when nothing is left.
bool StagedTarball::give_up_cache() { return cache_->drop_oldest() || std::exchange(unpacked_, nullptr); }

void StagedTarball::write(std::string_view bytes)
{
    hash_->update(bytes);
    size_ += bytes.size();
    while (room_ != nullptr) {
        const std::uint64_t missing = room_->take(bytes.size());
        if (missing == 0) break;
        if (!give_up_cache()) throw room_->refusal(missing);
    }
    if (unpacked_) unpacked_->write(bytes);
    while (!bytes.empty()) {
        const ssize_t count = ::write(file_.get(), bytes.data(), bytes.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) {
            const int error = errno;
            if ((error == ENOSPC || error == EDQUOT) && give_up_cache()) continue;
            throw system_error("write " + staged_.string(), error);
        }
        bytes.remove_prefix(static_cast<std::size_t>(count));
    }
}

void StagedTarball::publish(Checkpoint& checkpoint)
{
    checkpoint.size_bytes = size_;
    checkpoint.sha256 = hash_->hex_digest();
    if (::fsync(file_.get()) != 0) throw system_error("sync " + staged_.string(), errno);
    manifest_ = fs::path{staged_}.replace_extension(kManifestSuffix);
    write_durably(manifest_, encode_manifest(checkpoint));
    // After each renaming the file to be discarded on failure is the published one.
    const fs::path final_manifest = fs::path{final_}.replace_extension(kManifestSuffix);
    move_file(manifest_, final_manifest);
    manifest_ = final_manifest;
    move_file(staged_, final_);
    staged_ = final_;
    sync_directory(final_.parent_path());
    staged_.clear();
    manifest_.clear();
    if (unpacked_) unpacked_->publish(checkpoint.sha256);
    unpacked_.reset();
}

TarballStore::TarballStore(fs::path root, std::optional<std::uint64_t> min_free_bytes, SpaceLedger::FreeBytes free)
    : checkpoints_{root / "checkpoints"},
      scratch_{root / "tmp"},
      unpacked_directory_{root / "unpacked"},
      ledger_{free ? std::move(free) : [directory = root] { return ask_space(directory).available; },
              min_free_bytes ? *min_free_bytes : usual_floor(root)},
      unpacked_{unpacked_directory_, scratch_, &ledger_}
{
    make_private_directory(root);
    make_private_directory(checkpoints_);
    make_private_directory(scratch_);
    make_private_directory(unpacked_directory_);
}

StagedTarball TarballStore::stage(const CheckpointId& id, SpaceLedger::Reservation* room)
{
    return StagedTarball{scratch_ / (id.value() + std::string{kSuffix}), path_of(id), unpacked_, id, room};
}

UniqueFd TarballStore::open(const CheckpointId& id, std::uint64_t size_bytes) const
{
    const fs::path path = path_of(id);
    UniqueFd file{::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC)};
    struct stat status {};
    if (!file.valid() || ::fstat(file.get(), &status) != 0) {
        const std::string attempted = "open the tarball " + path.string();
        // Another failure, too many open files for one, says nothing about the tarball.
        if (errno != ENOENT && errno != ELOOP) throw system_error(attempted, errno);
        throw system_error(attempted, errno, ErrorCode::corrupt)
            .with_hint("the file was removed behind warmd's back: delete this checkpoint and make another");
    }
    if (static_cast<std::uint64_t>(status.st_size) != size_bytes) {
        throw Error{ErrorCode::corrupt, "the tarball " + path.string() + " has " + std::to_string(status.st_size) +
                                            " bytes, the catalog says " + std::to_string(size_bytes)}
            .with_hint("delete this checkpoint and make another");
    }
    return file;
}

UniqueFd TarballStore::open_verified(const Checkpoint& checkpoint, const ReadPace& pace)
{
    return open_and_verify(checkpoint, /*trust_earlier=*/true, pace);
}

void TarballStore::verify(const Checkpoint& checkpoint, const ReadPace& pace)
{
    static_cast<void>(open_and_verify(checkpoint, /*trust_earlier=*/false, pace));
}

UniqueFd TarballStore::open_and_verify(const Checkpoint& checkpoint, bool trust_earlier, const ReadPace& pace)
{
    UniqueFd file = open(checkpoint.id, checkpoint.size_bytes);
    const FileStamp stamp = FileStamp::of(file);
    const bool known = verified_.with([&](const std::map<CheckpointId, Verified>& verified) {
        const auto found = verified.find(checkpoint.id);
        return found != verified.end() && found->second.stamp == stamp && found->second.sha256 == checkpoint.sha256;
    });
    if (known && trust_earlier) return file;
    const bool settled = stamp.is_settled(SystemClock{}.now());
    const std::string found = sha256_of(file, pace);
    if (found != checkpoint.sha256) {
        throw Error{ErrorCode::corrupt,
                    "the tarball of checkpoint " + checkpoint.id.value() + " is not what was stored"}
            .with_hint("delete this checkpoint and make another")
            .with_cause("its SHA-256 is " + found + ", the catalog says " + checkpoint.sha256);
    }
    // Not what has just been written: another change within the same tick of the kernel's clock would not show.
    if (settled && FileStamp::of(file) == stamp) {
        verified_.with([&](std::map<CheckpointId, Verified>& verified) {
            verified[checkpoint.id] = {.stamp = stamp, .sha256 = found};
        });
    }
    return file;
}

void TarballStore::remove(const CheckpointId& id)
{
    verified_.with([&id](std::map<CheckpointId, Verified>& verified) { verified.erase(id); });
    unpacked_.drop(id);
    for (const fs::path& path : {path_of(id), manifest_path_of(id)}) {
        if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw system_error("remove " + path.string(), errno);
    }
    sync_directory(checkpoints_);
}

std::vector<CheckpointId> TarballStore::list() const { return ids_with(checkpoints_, kSuffix); }
std::vector<CheckpointId> TarballStore::manifests() const { return ids_with(checkpoints_, kManifestSuffix); }

fs::path TarballStore::path_of(const CheckpointId& id) const
{
    return checkpoints_ / (id.value() + std::string{kSuffix});
}

fs::path TarballStore::manifest_path_of(const CheckpointId& id) const
{
    return checkpoints_ / (id.value() + std::string{kManifestSuffix});
}

std::optional<Checkpoint> TarballStore::read_manifest(const CheckpointId& id) const
{
    const fs::path path = manifest_path_of(id);
    std::error_code error;
    const fs::file_status status = fs::symlink_status(path, error);
    if (status.type() == fs::file_type::not_found) return std::nullopt;
    const auto refuse = [&path](const std::string& why) -> Error {
        return Error{ErrorCode::corrupt, "the manifest " + path.string() + " cannot be used"}.with_cause(why);
    };
    if (status.type() != fs::file_type::regular) throw refuse("it is no file");
    if (fs::file_size(path, error) > kLargestManifest) throw refuse("it is too large");
    std::ostringstream text;
    text << std::ifstream{path}.rdbuf();
    Checkpoint checkpoint;
    try {
        checkpoint = decode_manifest(text.str());
    } catch (const Error& damage) {
        throw refuse(damage.cause());
    }
    if (checkpoint.id != id) throw refuse("it is that of " + checkpoint.id.value());
    return checkpoint;
}

void TarballStore::write_manifest(const Checkpoint& checkpoint)
{
    const fs::path staged = scratch_ / (checkpoint.id.value() + "." + random_hex(8) + std::string{kManifestSuffix});
    const ScopeExit clean_up{[&staged]() noexcept { ::unlink(staged.c_str()); }};
    write_durably(staged, encode_manifest(checkpoint));
    move_file(staged, manifest_path_of(checkpoint.id));
    sync_directory(checkpoints_);
}

void TarballStore::sweep()
{
    for (const fs::directory_entry& entry : fs::directory_iterator{scratch_}) fs::remove_all(entry.path());
}

StoreSpace TarballStore::space() const
{
    StoreSpace space{.free_bytes = ledger_.free(), .total_bytes = ask_space(checkpoints_).capacity};
    for (const auto& [id, bytes] : unpacked_sizes()) space.unpacked_bytes += bytes;
    return space;
}

std::map<CheckpointId, std::uint64_t> TarballStore::unpacked_sizes() const
{
    std::map<CheckpointId, std::uint64_t> sizes;
    std::error_code error;
    for (fs::directory_iterator images{unpacked_directory_, error}; !error && images != fs::directory_iterator{};
         images.increment(error)) {
        std::uint64_t& bytes = sizes[CheckpointId{images->path().filename().string()}];
        // Files come and go meanwhile: what cannot be looked at is gone.
        std::error_code gone;
        for (fs::recursive_directory_iterator file{images->path(), gone};
             !gone && file != fs::recursive_directory_iterator{}; file.increment(gone)) {
            std::error_code unknown;
            if (!file->is_regular_file(unknown) || file->is_symlink(unknown)) continue;
            const std::uintmax_t size = file->file_size(unknown);
            if (!unknown) bytes += size;
        }
    }
    return sizes;
}

std::uint64_t TarballStore::free_bytes() const { return ledger_.free(); }

}  // namespace warmd
