#include "daemon/service/distribution.h"

#include <fcntl.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <numeric>
#include <set>
#include <system_error>
#include <thread>
#include <utility>

#include "daemon/base/error.h"
#include "daemon/base/file_io.h"
#include "daemon/base/id.h"
#include "daemon/base/json.h"
#include "daemon/base/scope_exit.h"
#include "daemon/base/sha256.h"
#include "daemon/registry/packing.h"
#include "daemon/service/restore.h"
#include "daemon/store/envelope.h"

namespace warmd {

namespace fs = std::filesystem;

namespace {

constexpr const char* kCheckpointType = "application/vnd.warmd.checkpoint.v1";
constexpr const char* kClaimType = "application/vnd.warmd.claim.v1";
constexpr const char* kEnvelopeType = "application/vnd.dsse.envelope.v1+json";
constexpr const char* kIndexType = "application/vnd.warmd.index.v1+zstd";
constexpr const char* kReference = "checkpoint";  // in a layout
constexpr std::size_t kTagDigits = 16;
constexpr std::size_t kFixedLayers = 2;  // manifest and index; packs follow

// Annotations; what Podman gives its checkpoint images (libpod/define/annotations.go) under Podman's names.
constexpr const char* kCreated = "org.opencontainers.image.created";
constexpr const char* kImageId = "io.podman.annotations.checkpoint.rootfsImageID";
constexpr const char* kOurId = "org.warmd.checkpoint.id";
constexpr const char* kOurTemplate = "org.warmd.checkpoint.template";
constexpr const char* kOurTemplateDigest = "org.warmd.checkpoint.template-digest";
constexpr const char* kOurEnvironment = "org.warmd.checkpoint.environment";
constexpr const char* kOurSize = "org.warmd.checkpoint.size";
constexpr const char* kOurSum = "org.warmd.checkpoint.sha256";
constexpr const char* kOurClaimant = "org.warmd.claim.by";

std::string value_of(const Environment& environment, const std::string& name)
{
    const auto found = environment.find(name);
    return found == environment.end() ? std::string{} : found->second;
}

std::map<std::string, std::string> annotate(const Checkpoint& checkpoint)
{
    const std::string podmans = "io.podman.annotations.checkpoint.";
    const auto& made_on = checkpoint.environment;
    std::map<std::string, std::string> annotations{{kCreated, format_time(checkpoint.created_at)},
                                                   {podmans + "name", container_name(checkpoint.source)},
                                                   {podmans + "rawImageName", checkpoint.image},
                                                   {podmans + "rootfsImageName", checkpoint.image},
                                                   {kImageId, checkpoint.image_id},
                                                   {podmans + "podman.version", value_of(made_on, "podman")},
                                                   {podmans + "criu.version", value_of(made_on, "criu")},
                                                   {podmans + "runtime.name", value_of(made_on, "runtime")},
                                                   {podmans + "runtime.version", value_of(made_on, "runtime_version")},
                                                   {podmans + "host.arch", value_of(made_on, "architecture")},
                                                   {podmans + "host.kernel", value_of(made_on, "kernel")},
                                                   {kOurId, checkpoint.id.value()},
                                                   {kOurTemplate, checkpoint.template_name.value()},
                                                   {kOurTemplateDigest, checkpoint.template_digest},
                                                   {kOurEnvironment, dump_json(made_on)},
                                                   {kOurSize, std::to_string(checkpoint.size_bytes)},
                                                   {kOurSum, checkpoint.sha256}};
    std::erase_if(annotations, [](const auto& entry) { return entry.second.empty(); });
    return annotations;
}

/// What nobody has signed: for choosing, no more. Throws Error for annotations that are not warmd's.
Checkpoint read_annotations(const Artifact& artifact)
{
    const auto& all = artifact.annotations;
    Checkpoint checkpoint{.id = CheckpointId{value_of(all, kOurId)},
                          .template_name = TemplateName{value_of(all, kOurTemplate)},
                          .template_digest = value_of(all, kOurTemplateDigest),
                          .image_id = value_of(all, kImageId),
                          .created_at = parse_time(value_of(all, kCreated))};
    const Json environment = parse_json(value_of(all, kOurEnvironment));
    const Json wrapped{{"environment", environment}};
    checkpoint.environment = JsonObject{wrapped}.text_map("environment");
    return checkpoint;
}

std::string read_blob(const fs::path& path, std::size_t limit)
{
    std::error_code error;
    if (fs::file_size(path, error) > limit || error) {
        throw Error{ErrorCode::invalid_archive, "a part of what the registry has is missing or too large"};
    }
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}

/// True when most of the packs would be fetched for little in them.
bool is_wasteful(const ChunkIndex& index)
{
    std::uint64_t packs = 0;
    for (const Pack& pack : index.packs) packs += pack.size;
    std::set<std::pair<std::uint32_t, std::uint64_t>> places;
    std::uint64_t used = 0;
    for (const Chunk& chunk : index.chunks) {
        if (places.emplace(chunk.pack, chunk.offset).second) used += chunk.stored;
    }
    return used < packs / 2;
}

/// A pull that runs, and the blobs that it has brought so far.
class Arrival {
public:
    Arrival(Registry& registry, const std::string& digest, const OciLayout& layout, const std::stop_token& stop)
        : layout_{layout}, changes_{::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)}, ended_{::eventfd(0, EFD_CLOEXEC)}
    {
        if (!changes_.valid() || !ended_.valid() ||
            ::inotify_add_watch(changes_.get(), layout.blobs().c_str(), IN_MOVED_TO | IN_CLOSE_WRITE) < 0) {
            throw system_error("watch " + layout.blobs().string(), errno);
        }
        thread_ = std::jthread{[this, &registry, digest, outer = stop](const std::stop_token& own) {
            std::stop_source either;
            const std::stop_callback by_operation{outer, [&either] { either.request_stop(); }};
            const std::stop_callback by_us{own, [&either] { either.request_stop(); }};
            try {
                registry.pull(digest, layout_.directory(), kReference, either.get_token());
            } catch (...) {
                failure_ = std::current_exception();
            }
            const std::uint64_t one = 1;
            [[maybe_unused]] const auto written = ::write(ended_.get(), &one, sizeof one);
        }};
    }
    // The thread is told to stop and waited for.

    /// Blocks until the blob is there. Throws what the pull throws, and Error{invalid_archive} when that has ended and
    /// has not brought it.
    void await(const std::string& digest)
    {
        while (!is_here(digest)) {
            std::array<pollfd, 2> events{{{changes_.get(), POLLIN, 0}, {ended_.get(), POLLIN, 0}}};
            if (::poll(events.data(), events.size(), -1) < 0 && errno != EINTR) throw system_error("wait", errno);
            if (events[1].revents != 0) {  // whose end it stays
                if (thread_.joinable()) thread_.join();
                if (failure_) std::rethrow_exception(failure_);
                if (is_here(digest)) return;
                throw Error{ErrorCode::invalid_archive, "what the registry has there lacks " + digest};
            }
            std::array<char, 4096> names{};
            while (::read(changes_.get(), names.data(), names.size()) > 0) continue;
        }
    }

private:
    [[nodiscard]] bool is_here(const std::string& digest) const
    {
        std::error_code ignored;
        return fs::exists(layout_.path_of(digest), ignored);
    }

    const OciLayout& layout_;
    UniqueFd changes_;
    UniqueFd ended_;
    std::exception_ptr failure_;  // of the thread; read after its end
    std::jthread thread_;         // last
};

/// How long another host may take to warm the template.
Duration patience_with(const Template& from)
{
    constexpr Duration kTransfer = std::chrono::minutes{2};
    return from.warm_up.started.timeout + from.warm_up.initialised.timeout + from.warm_up.ready.timeout +
           from.checkpoint_timeout + kTransfer;
}

}  // namespace

std::string class_of(const Environment& environment)
{
    std::string text;
    for (const char* const name : {"architecture", "cpu_flags", "xsave_size", "criu", "runtime"}) {
        text += value_of(environment, name) + '\n';
    }
    return sha256_hex(text).substr(0, kTagDigits);
}

std::string tag_prefix(const TemplateName& name, const std::string& digest)
{
    return name.value() + "." + digest.substr(0, kTagDigits);
}

void Distribution::require_registry() const
{
    if (registry_ != nullptr) return;
    throw Error{ErrorCode::conflict, "this host shares no checkpoints"}.with_hint(
        "name a repository under [registry] in warmd.toml");
}

void Distribution::push(const CheckpointId& id, OperationRun& run)
{
    require_registry();
    const Checkpoint checkpoint = catalog_.get(id);
    Restore::require_available(checkpoint);
    run.set_checkpoint(id);
    const ChunkIndex base = known_index(checkpoint.template_name);
    try {
        send(checkpoint, base, run);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::not_found || base.packs.empty()) throw;
        spdlog::info("checkpoint_id={}: the registry has not kept what was pushed before; everything is sent",
                     id.value());
        send(checkpoint, {}, run);
    }
}

void Distribution::send(const Checkpoint& checkpoint, const ChunkIndex& base, OperationRun& run)
{
    const fs::path scratch = store_.scratch() / (checkpoint.id.value() + "." + random_hex(8) + ".push");
    const ScopeExit clean_up{[&scratch]() noexcept {
        std::error_code error;
        fs::remove_all(scratch, error);
    }};
    OciLayout layout{scratch};
    const Artifact artifact = run.phase("pack", [&] { return pack(checkpoint, layout, base, run); });
    run.phase("push", [&] {
        layout.set_artifact(artifact, kReference);
        registry_->push(layout.directory(), kReference, checkpoint.id.value(), run.stop());
        // From now on those who look for one of this template find it.
        const std::string tag = tag_prefix(checkpoint.template_name, checkpoint.template_digest) + "." +
                                class_of(checkpoint.environment);
        registry_->push(layout.directory(), kReference, tag, run.stop());
    });
    remember_index(checkpoint.template_name, read_blob(layout.path_of(artifact.layers[1].digest), kMaxIndex));
}

Artifact Distribution::pack(const Checkpoint& checkpoint, OciLayout& layout, const ChunkIndex& base, OperationRun& run)
{
    const UniqueFd tarball = store_.open(checkpoint.id, checkpoint.size_bytes);
    Packer packer{layout, base};
    Sha256 sum;
    std::vector<char> buffer(std::size_t{1} << 20U);
    const std::string attempted = "read the tarball of " + checkpoint.id.value();
    while (const std::size_t count = read_some(tarball, buffer, attempted)) {
        run.check();
        const std::string_view bytes{buffer.data(), count};
        sum.update(bytes);
        packer.write(bytes);
    }
    if (sum.hex_digest() != checkpoint.sha256) {
        throw Error{ErrorCode::corrupt,
                    "the tarball of checkpoint " + checkpoint.id.value() + " is not what was stored"}
            .with_hint("POST /v1/checkpoints/" + checkpoint.id.value() + "/verify puts it into quarantine");
    }
    const ChunkIndex index = packer.finish();
    if (!base.packs.empty() && is_wasteful(index)) return pack(checkpoint, layout, {}, run);
    Artifact artifact{.type = kCheckpointType, .layers = {}, .annotations = annotate(checkpoint)};
    artifact.layers.push_back(layout.add(kEnvelopeType, transfer_.signed_manifest(checkpoint.id)));
    artifact.layers.push_back(layout.add(kIndexType, encode_index(index)));
    for (const Pack& one : index.packs) artifact.layers.push_back({kPackType, one.digest, one.size});
    spdlog::info("checkpoint_id={}: {} of {} packed bytes are new", checkpoint.id.value(), packer.new_bytes(),
                 std::accumulate(index.packs.begin(), index.packs.end(), std::uint64_t{0},
                                 [](std::uint64_t all, const Pack& one) { return all + one.size; }));
    return artifact;
}

std::optional<Distribution::Offer> Distribution::best_offer(const Template& from, const std::stop_token& stop)
{
    const std::string prefix = tag_prefix(from.name, from.digest) + ".";
    std::optional<Offer> best;
    for (const std::string& tag : registry_->tags(stop)) {
        // The class follows, and nothing else.
        if (!tag.starts_with(prefix) || tag.size() != prefix.size() + kTagDigits) continue;
        const auto manifest = registry_->manifest(tag, stop);
        if (!manifest) continue;
        try {
            Offer offer{.digest = "sha256:" + sha256_hex(*manifest), .artifact = decode_artifact(*manifest)};
            offer.checkpoint = read_annotations(offer.artifact);
            const bool newer = !best || offer.checkpoint.created_at > best->checkpoint.created_at;
            const bool right = offer.artifact.type == kCheckpointType &&
                               offer.checkpoint.template_digest == from.digest &&
                               offer.artifact.layers.size() >= kFixedLayers;
            if (!right || !newer) continue;
            if (const auto differences = host_.look(offer.checkpoint); !warmd::fits(differences)) {
                spdlog::info("{}:{} does not fit this host: {}", registry_->name(), tag,
                             describe_blocking(differences));
                continue;
            }
            best = std::move(offer);
        } catch (const Error& error) {
            if (error.code() == ErrorCode::unavailable || error.code() == ErrorCode::cancelled) throw;
            spdlog::warn("{}:{} is passed over: {} ({})", registry_->name(), tag, error.what(), error.cause());
        }
    }
    return best;
}

Checkpoint Distribution::pull(const Template& from, OperationRun& run)
{
    require_registry();
    const auto offer = run.phase("look", [&] { return best_offer(from, run.stop()); });
    if (offer) return fetch(*offer, from, run);
    throw Error{ErrorCode::not_found, registry_->name() + " has no checkpoint of template \"" + from.name.value() +
                                          "\", as it is here, that fits this host"}
        .with_hint("make one and share it: warmctl checkpoint push CHECKPOINT, on a host like this one");
}

Checkpoint Distribution::fetch(const Offer& offer, const Template& from, OperationRun& run)
{
    std::uint64_t bytes = 0;
    for (const Descriptor& layer : offer.artifact.layers) bytes += layer.size;
    if (store_.ledger().missing_for(bytes) > 0) {
        throw Error{ErrorCode::no_space, "there is no space for what the registry has of " + from.name.value()}
            .with_hint("warmctl prune");
    }
    std::error_code error;
    fs::create_directories(directory_ / "packs", error);
    OciLayout layout{directory_ / "packs" / from.name.value()};
    try {
        Arrival arrival{*registry_, offer.digest, layout, run.stop()};
        const auto part = [&](std::size_t number, std::size_t limit) {
            const std::string& digest = offer.artifact.layers[number].digest;
            arrival.await(digest);
            return read_blob(layout.path_of(digest), limit);
        };
        Checkpoint promised = transfer_.admit(part(0, kMaxEnvelope));
        if (promised.template_name != from.name || promised.template_digest != from.digest) {
            throw Error{ErrorCode::invalid_archive, "the registry has another checkpoint there than the tag says"};
        }
        const std::string blob = part(1, kMaxIndex);
        const auto unpacker = std::make_shared<Unpacker>(
            layout, decode_index(blob), [&arrival](const std::string& digest) { arrival.await(digest); });
        Checkpoint made = transfer_.take_in(
            {.checkpoint = std::move(promised),
             .read = [unpacker](char* buffer, std::size_t size) { return unpacker->read(buffer, size); }},
            run);
        remember_index(from.name, blob);
        keep_packs(layout, offer.artifact);
        return made;
    } catch (const Error& failure) {
        // Packs that were fetched are of use the next time; not so if one of them is not what it should be.
        if (failure.code() == ErrorCode::invalid_archive) fs::remove_all(layout.directory(), error);
        throw;
    }
}

void Distribution::keep_packs(const OciLayout& layout, const Artifact& artifact)
{
    std::set<fs::path> wanted;
    for (const Descriptor& layer : artifact.layers) {
        if (layer.media_type == kPackType) wanted.insert(layout.path_of(layer.digest));
    }
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator{layout.blobs(), error}) {
        if (!wanted.contains(entry.path())) fs::remove(entry.path(), error);
    }
}

bool Distribution::claim(const Template& from, OperationRun& run)
{
    const Environment here = host_.ask();
    const std::string tag = tag_prefix(from.name, from.digest) + "." + class_of(here) + ".warming";
    const auto read = [&]() -> std::optional<std::pair<std::string, Time>> {
        const auto manifest = registry_->manifest(tag, run.stop());
        if (!manifest) return std::nullopt;
        const auto all = decode_artifact(*manifest).annotations;
        return std::pair{value_of(all, kOurClaimant), parse_time(value_of(all, kCreated))};
    };
    const auto before = read();
    const bool fresh = before && clock_.now() - before->second < patience_with(from);
    if (fresh && before->first != self_) return false;
    const fs::path scratch = store_.scratch() / (random_hex(16) + ".claim");
    const ScopeExit clean_up{[&scratch]() noexcept {
        std::error_code error;
        fs::remove_all(scratch, error);
    }};
    OciLayout layout{scratch};
    // A layer of its own, because some registries refuse a manifest without any.
    const Artifact artifact{.type = kClaimType,
                            .layers = {layout.add("application/vnd.oci.empty.v1+json", "{}")},
                            .annotations = {{kOurClaimant, self_}, {kCreated, format_time(clock_.now())}}};
    layout.set_artifact(artifact, kReference);
    registry_->push(layout.directory(), kReference, tag, run.stop());
    // Of several who have just done so, the last one's stands.
    const auto after = read();
    return after && after->first == self_;
}

std::optional<Checkpoint> Distribution::obtain(const Template& from, OperationRun& run)
{
    if (registry_ == nullptr) return std::nullopt;
    constexpr Duration kInterval = std::chrono::seconds{5};
    const SteadyTime end = clock_.steady_now() + patience_with(from);
    while (true) {
        if (const auto offer = run.phase("look", [&] { return best_offer(from, run.stop()); })) {
            return fetch(*offer, from, run);
        }
        // Its clock may be wrong: whatever it says, it is not waited for longer than that.
        if (claim(from, run) || clock_.steady_now() >= end) return std::nullopt;
        run.phase("wait", [&] { static_cast<void>(clock_.sleep_for(kInterval, run.stop())); });
    }
}

fs::path Distribution::index_path(const TemplateName& name) const { return directory_ / (name.value() + ".index"); }

ChunkIndex Distribution::known_index(const TemplateName& name) const
{
    try {
        std::error_code error;
        if (!fs::exists(index_path(name), error)) return {};
        return decode_index(read_blob(index_path(name), kMaxIndex));
    } catch (const Error& error) {
        spdlog::warn("{} cannot be used, everything is sent: {}", index_path(name).string(), error.what());
        return {};
    }
}

void Distribution::remember_index(const TemplateName& name, const std::string& blob) const noexcept
{
    try {
        fs::create_directories(directory_);
        const fs::path next = index_path(name).string() + ".next";
        std::ofstream file{next, std::ios::binary | std::ios::trunc};
        file << blob << std::flush;
        if (!file) throw Error{ErrorCode::no_space, "it cannot be written"};
        file.close();
        fs::rename(next, index_path(name));
    } catch (const std::exception& error) {
        spdlog::warn("{} is not kept: {}", index_path(name).string(), error.what());
    }
}

}  // namespace warmd
