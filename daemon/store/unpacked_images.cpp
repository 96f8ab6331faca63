#include "daemon/store/unpacked_images.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <exception>
#include <fstream>
#include <optional>
#include <sstream>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "daemon/base/criu_image.h"
#include "daemon/base/error.h"
#include "daemon/base/file_io.h"
#include "daemon/base/json.h"
#include "daemon/base/process.h"
#include "daemon/base/scope_exit.h"
#include "daemon/base/sha256.h"

namespace warmd {

namespace fs = std::filesystem;

namespace {

constexpr const char* kManifest = "manifest.json";
/// Of what `unpack_images` writes, and of the manifest: what an older warmd has left is made anew.
constexpr int kLayout = 3;

/// What changes when anybody changes the file. The last two also when it gets or loses a link: see `restamp`.
Json stamp_of(const fs::path& file)
{
    struct stat status {};
    if (::lstat(file.c_str(), &status) != 0) throw system_error("look at " + file.string(), errno);
    return {status.st_ino,         status.st_size,         status.st_mode,        status.st_uid,
            status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_ctim.tv_sec, status.st_ctim.tv_nsec};
}

Json stamps_of(const fs::path& images)
{
    Json files = Json::object();
    for (const fs::directory_entry& entry : fs::directory_iterator{images / kImagesDirectory}) {
        files[entry.path().filename().string()] = stamp_of(entry.path());
    }
    return {{"boot", boot_id()}, {"images", std::move(files)}, {"rest", stamp_of(images / kRestTarball)}};
}

std::string read_file(const fs::path& path)
{
    std::ostringstream text;
    text << std::ifstream{path}.rdbuf();
    return std::move(text).str();
}

/// The manifest, if there is one of this layout and of the tarball with this sum. Never throws.
std::optional<Json> manifest_of(const fs::path& images, const std::string& sha256)
{
    try {
        Json manifest = parse_json(read_file(images / kManifest));
        if (manifest.at("layout") != kLayout || manifest.at("sha256") != sha256) return std::nullopt;
        return manifest;
    } catch (const std::exception&) {
        return std::nullopt;
    }
}

void write_manifest(const fs::path& images, const Json& manifest)
{
    const fs::path next = images / (std::string{kManifest} + ".next");
    std::ofstream file{next};
    file << dump_json(manifest) << std::flush;
    if (!file) throw system_error("write " + next.string(), errno);
    fs::rename(next, images / kManifest);
}

bool is_as_left(const fs::path& images, const Json& manifest) { return manifest.at("stamps") == stamps_of(images); }

/// After warmd itself has changed how many links the files have.
void restamp(const fs::path& images, Json& manifest)
{
    manifest["stamps"] = stamps_of(images);
    write_manifest(images, manifest);
}

fs::path make_staging(const fs::path& scratch, const CheckpointId& id)
{
    const fs::path staging = scratch / (id.value() + "." + random_hex(8) + ".unpacked");
    if (::mkdir(staging.c_str(), 0700) != 0) throw system_error("create " + staging.string(), errno);
    return staging;
}

void remove_quietly(const fs::path& directory) noexcept
{
    std::error_code error;
    fs::remove_all(directory, error);
    if (error) spdlog::warn("cannot remove {}: {}", directory.string(), error.message());
}

/// The images for one container: links to those of all, and the host name of its own. Throws Error.
void make_view(const fs::path& images, const fs::path& view, const std::string& hostname)
{
    if (::mkdir(view.c_str(), 0700) != 0) throw system_error("create " + view.string(), errno);
    for (const fs::directory_entry& entry : fs::directory_iterator{images}) {
        const fs::path path = view / entry.path().filename();
        if (!hostname.empty() && entry.path().filename().string().starts_with(kUtsImagePrefix)) {
            std::ofstream file{path};
            file << rename_host(read_file(entry.path()), hostname) << std::flush;
            if (!file) throw system_error("write " + path.string(), errno);
        } else if (::link(entry.path().c_str(), path.c_str()) != 0) {
            throw system_error("link " + path.string(), errno);
        }
    }
}

}  // namespace

/// A thread that unpacks what comes through a socket: libarchive pulls, an export pushes.
struct UnpackedImages::Staged::Unpacking {
    UnpackedImages& images;
    CheckpointId id;
    fs::path staging;
    UniqueFd in;
    UniqueFd out;
    std::exception_ptr failure;  // of the thread; both are read after its end
    UnpackedSums sums;
    std::jthread thread;

    Unpacking(UnpackedImages& images_, CheckpointId id_)
        : images{images_}, id{std::move(id_)}, staging{make_staging(images.scratch_, id)}
    {
        std::array<int, 2> ends{};
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
            const int error = errno;
            remove_quietly(staging);
            throw system_error("make a socket pair", error);
        }
        in = UniqueFd{ends[0]};
        out = UniqueFd{ends[1]};
        thread = std::jthread{[this] { run(); }};
    }
    Unpacking(const Unpacking&) = delete;
    Unpacking& operator=(const Unpacking&) = delete;

    ~Unpacking()
    {
        join();
        remove_quietly(staging);
    }

    void run()
    {
        try {
            sums = images.unpack_into(staging, [this](std::span<char> buffer) { return read(buffer); });
        } catch (...) {
            failure = std::current_exception();
        }
        ::shutdown(out.get(), SHUT_RD);  // nobody need wait for a reader that has given up
    }

    [[nodiscard]] std::size_t read(std::span<char> buffer) const
    {
        return read_some(out, buffer, "read from a socket pair");
    }

    void join()
    {
        in.reset();
        if (thread.joinable()) thread.join();
    }
};

UnpackedImages::Staged::Staged(UnpackedImages& images, const CheckpointId& id)
    : unpacking_{std::make_unique<Unpacking>(images, id)}
{
}

UnpackedImages::Staged::~Staged() = default;

void UnpackedImages::Staged::write(std::string_view bytes) noexcept
{
    while (unpacking_->in.valid() && !bytes.empty()) {
        const ssize_t count = ::send(unpacking_->in.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) unpacking_->in.reset();  // the thread has failed, and keeps the reason
        else bytes.remove_prefix(static_cast<std::size_t>(count));
    }
}

bool UnpackedImages::Staged::publish(const std::string& sha256) noexcept
{
    try {
        unpacking_->join();
        if (unpacking_->failure) std::rethrow_exception(unpacking_->failure);
        unpacking_->images.publish(unpacking_->id, unpacking_->staging, sha256, unpacking_->sums);
        return true;
    } catch (const std::exception& error) {
        spdlog::warn("checkpoint_id={} was not unpacked: {}", unpacking_->id.value(), error.what());
        return false;
    }
}

UnpackedImages::Hold::Hold(UnpackedImages& images, CheckpointId id, fs::path view, UniqueFd linked)
    : images_{images}, id_{std::move(id)}, view_{std::move(view)}, linked_{std::move(linked)}
{
}

UnpackedImages::Hold::~Hold() { images_.release(id_, view_); }

UnpackedImages::UnpackedImages(fs::path directory, fs::path scratch, const SpaceLedger* ledger)
    : directory_{std::move(directory)}, scratch_{std::move(scratch)}, ledger_{ledger}
{
}

UnpackedSums UnpackedImages::unpack_into(const fs::path& staging, const TarballBytes& read) const
{
    return unpack_images(read, staging, [this] { return ledger_ == nullptr || ledger_->missing_for(0) == 0; });
}

std::unique_ptr<UnpackedImages::Staged> UnpackedImages::stage(const CheckpointId& id) noexcept
{
    try {
        return std::unique_ptr<Staged>{new Staged{*this, id}};
    } catch (const std::exception& error) {
        spdlog::warn("checkpoint_id={} is not unpacked: {}", id.value(), error.what());
        return nullptr;
    }
}

std::unique_ptr<UnpackedImages::Hold> UnpackedImages::open(const CheckpointId& id, const std::string& sha256,
                                                           const std::string& hostname)
{
    const std::scoped_lock lock{mutex_};
    const fs::path images = images_of(id);
    auto manifest = manifest_of(images, sha256);
    if (!manifest) return nullptr;
    try {
        if (is_as_left(images, *manifest)) {
            fs::path view = scratch_ / (id.value() + "." + random_hex(8) + ".view");
            ScopeExit undo{[&view]() noexcept { remove_quietly(view); }};
            make_view(images / kImagesDirectory, view, hostname);
            UniqueFd linked = link_images(images / kRestTarball, view, scratch_);
            restamp(images, *manifest);
            Use& use = uses_[id];
            ++use.holds;
            use.last = ++count_;
            undo.dismiss();
            return std::unique_ptr<Hold>{new Hold{*this, id, std::move(view), std::move(linked)}};
        }
        spdlog::info("checkpoint_id={}: its unpacked images are not as they were left, or of another boot", id.value());
    } catch (const Error& error) {
        // What the disk does not do is not mended by unpacking again.
        if (error.code() == ErrorCode::no_space || error.code() == ErrorCode::internal) throw;
        spdlog::warn("checkpoint_id={}: its unpacked images cannot be used: {}", id.value(), error.what());
    } catch (const std::exception& error) {  // also of the file system, and of a manifest that is none
        spdlog::warn("checkpoint_id={}: its unpacked images cannot be used: {}", id.value(), error.what());
    }
    return nullptr;
}

void UnpackedImages::unpack(const CheckpointId& id, const std::string& sha256, const TarballBytes& read,
                            const ReadPace& pace)
{
    const std::scoped_lock one_at_a_time{unpacking_};
    if (open(id, sha256, {})) return;  // by the one that was waited for
    if (sums_are_right(id, sha256, pace)) return;
    const fs::path staging = make_staging(scratch_, id);
    const ScopeExit clean_up{[&staging]() noexcept { remove_quietly(staging); }};
    Sha256 sum;
    const TarballBytes read_and_sum = [&read, &sum](std::span<char> buffer) {
        const std::size_t count = read(buffer);
        sum.update({buffer.data(), count});
        return count;
    };
    std::exception_ptr malformed;
    UnpackedSums sums;
    try {
        sums = unpack_into(staging, read_and_sum);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::corrupt) throw;
        malformed = std::current_exception();
        std::vector<char> rest(std::size_t{256} * 1024);
        while (read_and_sum(rest) > 0) continue;  // whether it is damage the sum tells
    }
    if (const std::string found = sum.hex_digest(); found != sha256) {
        throw Error{ErrorCode::corrupt, "the tarball of checkpoint " + id.value() + " is not what was stored"}
            .with_hint("delete this checkpoint and make another")
            .with_cause("its SHA-256 is " + found + ", the catalog says " + sha256);
    }
    if (malformed) std::rethrow_exception(malformed);
    publish(id, staging, sha256, sums);
}

void UnpackedImages::publish(const CheckpointId& id, const fs::path& staged, const std::string& sha256,
                             const UnpackedSums& sums)
{
    const std::scoped_lock lock{mutex_};
    const fs::path images = images_of(id);
    fs::remove_all(images);
    fs::rename(staged, images);
    // After the renaming, which is a change of the directory alone.
    Json manifest{{"layout", kLayout}, {"sha256", sha256}, {"sums", {{"images", sums.images}, {"rest", sums.rest}}}};
    restamp(images, manifest);
    uses_[id].last = ++count_;
}

bool UnpackedImages::sums_are_right(const CheckpointId& id, const std::string& sha256, const ReadPace& pace)
{
    const fs::path images = images_of(id);
    auto manifest = manifest_of(images, sha256);
    if (!manifest) return false;
    try {
        const Json before = stamps_of(images);
        Json found = Json::object();
        for (const fs::directory_entry& entry : fs::directory_iterator{images / kImagesDirectory}) {
            found[entry.path().filename().string()] = sha256_of(entry.path(), pace);
        }
        const Json& sums = manifest->at("sums");
        if (sums.at("images") != found || sums.at("rest") != sha256_of(images / kRestTarball, pace)) return false;
        const std::scoped_lock lock{mutex_};
        manifest = manifest_of(images, sha256);
        // Meanwhile a restore may have linked them, which is fine; what nobody has done is not.
        if (!manifest) return false;
        if (is_as_left(images, *manifest)) return true;
        if (stamps_of(images) != before) return false;
        restamp(images, *manifest);
        return true;
    } catch (const Error& error) {
        if (error.code() == ErrorCode::cancelled) throw;
        spdlog::warn("checkpoint_id={}: its unpacked images cannot be read: {}", id.value(), error.what());
    } catch (const std::exception& error) {  // of the file system, or of a manifest that is none
        spdlog::warn("checkpoint_id={}: its unpacked images cannot be read: {}", id.value(), error.what());
    }
    return false;
}

UnpackedImages::Check UnpackedImages::check(const CheckpointId& id, const std::string& sha256, const ReadPace& pace)
{
    if (!fs::exists(images_of(id))) return Check::none;
    if (sums_are_right(id, sha256, pace)) return Check::intact;
    if (!fs::exists(images_of(id))) return Check::none;  // space was short meanwhile
    spdlog::warn("checkpoint_id={}: its unpacked images are not what was unpacked; dropped", id.value());
    drop(id);
    return Check::dropped;
}

void UnpackedImages::release(const CheckpointId& id, const fs::path& view)
{
    const std::scoped_lock lock{mutex_};
    --uses_[id].holds;
    const fs::path images = images_of(id);
    try {
        Json manifest = parse_json(read_file(images / kManifest));
        const bool as_left = is_as_left(images, manifest);
        remove_quietly(view);
        if (as_left) restamp(images, manifest);
    } catch (const std::exception&) {  // they were dropped meanwhile
        remove_quietly(view);
    }
}

void UnpackedImages::drop(const CheckpointId& id)
{
    const std::scoped_lock lock{mutex_};
    remove_quietly(images_of(id));
    if (const auto use = uses_.find(id); use != uses_.end() && use->second.holds == 0) uses_.erase(use);
}

bool UnpackedImages::drop_oldest()
{
    const std::scoped_lock lock{mutex_};
    fs::path oldest;
    std::uint64_t last = 0;
    for (const fs::directory_entry& entry : fs::directory_iterator{directory_}) {
        const auto use = uses_.find(CheckpointId{entry.path().filename().string()});
        if (use != uses_.end() && use->second.holds > 0) continue;
        const std::uint64_t used = use != uses_.end() ? use->second.last : 0;
        if (oldest.empty() || used < last) {
            oldest = entry.path();
            last = used;
        }
    }
    if (oldest.empty()) return false;
    spdlog::info("dropping the unpacked images {}: space is short", oldest.filename().string());
    fs::remove_all(oldest);
    return true;
}

void UnpackedImages::keep_only(const std::function<bool(const CheckpointId&)>& wanted)
{
    const std::scoped_lock lock{mutex_};
    for (const fs::directory_entry& entry : fs::directory_iterator{directory_}) {
        if (!wanted(CheckpointId{entry.path().filename().string()})) remove_quietly(entry.path());
    }
}

fs::path UnpackedImages::images_of(const CheckpointId& id) const { return directory_ / id.value(); }

}  // namespace warmd
