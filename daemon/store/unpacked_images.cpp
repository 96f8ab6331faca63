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
#include <sstream>
#include <system_error>
#include <thread>
#include <utility>

#include "daemon/base/criu_image.h"
#include "daemon/base/error.h"
#include "daemon/base/json.h"
#include "daemon/base/process.h"
#include "daemon/base/scope_exit.h"
#include "daemon/base/sha256.h"

namespace warmd {

namespace fs = std::filesystem;

namespace {

constexpr const char* kManifest = "manifest.json";
/// Of what `unpack_images` writes: what an older warmd has left is made anew.
constexpr int kLayout = 2;

/// What changes when anybody changes the file. Not the time of its last change of any kind: that of a link is one.
Json stamp_of(const fs::path& file)
{
    struct stat status {};
    if (::lstat(file.c_str(), &status) != 0) throw system_error("look at " + file.string(), errno);
    return {status.st_ino, status.st_size,        status.st_mode,
            status.st_uid, status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
}

Json manifest_of(const fs::path& images, const std::string& sha256)
{
    Json files = Json::object();
    for (const fs::directory_entry& entry : fs::directory_iterator{images / kImagesDirectory}) {
        files[entry.path().filename().string()] = stamp_of(entry.path());
    }
    return {{"layout", kLayout},
            {"sha256", sha256},
            {"boot", boot_id()},
            {"files", std::move(files)},
            {"rest", stamp_of(images / kRestTarball)}};
}

std::string read_file(const fs::path& path)
{
    std::ostringstream text;
    text << std::ifstream{path}.rdbuf();
    return std::move(text).str();
}

bool is_as_left(const fs::path& images, const std::string& sha256)
{
    return parse_json(read_file(images / kManifest)) == manifest_of(images, sha256);
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
    std::exception_ptr failure;  // of the thread; read after its end
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
            images.unpack_into(staging, [this](std::span<char> buffer) { return read(buffer); });
        } catch (...) {
            failure = std::current_exception();
        }
        ::shutdown(out.get(), SHUT_RD);  // nobody need wait for a reader that has given up
    }

    [[nodiscard]] std::size_t read(std::span<char> buffer) const
    {
        while (true) {
            const ssize_t count = ::read(out.get(), buffer.data(), buffer.size());
            if (count >= 0) return static_cast<std::size_t>(count);
            if (errno != EINTR) throw system_error("read from a socket pair", errno);
        }
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
        unpacking_->images.publish(unpacking_->id, unpacking_->staging, sha256);
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

UnpackedImages::Hold::~Hold()
{
    remove_quietly(view_);
    images_.release(id_);
}

UnpackedImages::UnpackedImages(fs::path directory, fs::path scratch, const SpaceLedger* ledger)
    : directory_{std::move(directory)}, scratch_{std::move(scratch)}, ledger_{ledger}
{
}

void UnpackedImages::unpack_into(const fs::path& staging, const TarballBytes& read) const
{
    unpack_images(read, staging, [this] { return ledger_ == nullptr || ledger_->missing_for(0) == 0; });
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
    if (!fs::exists(images / kManifest)) return nullptr;
    try {
        if (is_as_left(images, sha256)) {
            fs::path view = scratch_ / (id.value() + "." + random_hex(8) + ".view");
            ScopeExit undo{[&view]() noexcept { remove_quietly(view); }};
            make_view(images / kImagesDirectory, view, hostname);
            UniqueFd linked = link_images(images / kRestTarball, view, scratch_);
            Use& use = uses_[id];
            ++use.holds;
            use.last = ++count_;
            undo.dismiss();
            return std::unique_ptr<Hold>{new Hold{*this, id, std::move(view), std::move(linked)}};
        }
        spdlog::info("checkpoint_id={}: its unpacked images are not as they were left, or of another boot", id.value());
    } catch (const Error& error) {
        spdlog::warn("checkpoint_id={}: its unpacked images cannot be used: {}", id.value(), error.what());
    }
    return nullptr;
}

void UnpackedImages::unpack(const CheckpointId& id, const std::string& sha256, const TarballBytes& read)
{
    const std::scoped_lock one_at_a_time{unpacking_};
    if (open(id, sha256, {})) return;  // by the one that was waited for
    const fs::path staging = make_staging(scratch_, id);
    const ScopeExit clean_up{[&staging]() noexcept { remove_quietly(staging); }};
    Sha256 sum;
    const TarballBytes read_and_sum = [&read, &sum](std::span<char> buffer) {
        const std::size_t count = read(buffer);
        sum.update({buffer.data(), count});
        return count;
    };
    unpack_into(staging, read_and_sum);
    if (const std::string found = sum.hex_digest(); found != sha256) {
        throw Error{ErrorCode::corrupt, "the tarball of checkpoint " + id.value() + " is not what was stored"}
            .with_hint("delete this checkpoint and make another")
            .with_cause("its SHA-256 is " + found + ", the catalog says " + sha256);
    }
    publish(id, staging, sha256);
}

void UnpackedImages::publish(const CheckpointId& id, const fs::path& staged, const std::string& sha256)
{
    const std::scoped_lock lock{mutex_};
    const fs::path images = images_of(id);
    fs::remove_all(images);
    fs::rename(staged, images);
    // After the renaming, which is a change of the directory alone.
    std::ofstream manifest{images / kManifest};
    manifest << dump_json(manifest_of(images, sha256)) << std::flush;
    if (!manifest) throw Error{ErrorCode::no_space, "the manifest of unpacked images cannot be written"};
    uses_[id].last = ++count_;
}

void UnpackedImages::release(const CheckpointId& id)
{
    const std::scoped_lock lock{mutex_};
    --uses_[id].holds;
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
