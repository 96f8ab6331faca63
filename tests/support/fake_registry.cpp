#include "tests/support/fake_registry.h"

#include <utility>

#include "daemon/base/error.h"
#include "daemon/base/json.h"
#include "daemon/base/sha256.h"
#include "tests/support/temp_dir.h"

namespace warmd::test {

namespace fs = std::filesystem;

namespace {

fs::path blob_path(const fs::path& layout, const std::string& digest)
{
    return layout / "blobs" / "sha256" / digest.substr(std::string_view{"sha256:"}.size());
}

/// The digests of what a manifest consists of.
std::vector<std::string> parts_of(const std::string& manifest)
{
    const Json json = parse_json(manifest);
    std::vector<std::string> parts{json.at("config").at("digest")};
    for (const Json& layer : json.at("layers")) parts.push_back(layer.at("digest"));
    return parts;
}

}  // namespace

void FakeRegistry::require_here() const
{
    if (away_after_ == 0) throw Error{ErrorCode::unavailable, "cannot reach registry.test/warmd"};
}

std::vector<std::string> FakeRegistry::tags(const std::stop_token& /*stop*/)
{
    const std::scoped_lock lock{mutex_};
    require_here();
    std::vector<std::string> names;
    for (const auto& [tag, digest] : tags_) names.push_back(tag);
    return names;
}

std::optional<std::string> FakeRegistry::manifest(const std::string& tag, const std::stop_token& /*stop*/)
{
    const std::scoped_lock lock{mutex_};
    require_here();
    const auto found = tags_.find(tag);
    if (found == tags_.end()) return std::nullopt;
    return blobs_.at(found->second);
}

void FakeRegistry::push(const fs::path& layout, const std::string& reference, const std::string& tag,
                        const std::stop_token& /*stop*/)
{
    const std::scoped_lock lock{mutex_};
    require_here();
    const Json index = parse_json(read_file(layout / "index.json"));
    for (const Json& entry : index.at("manifests")) {
        if (entry.at("annotations").at("org.opencontainers.image.ref.name") != reference) continue;
        const std::string digest = entry.at("digest");
        const std::string manifest = read_file(blob_path(layout, digest));
        for (const std::string& part : parts_of(manifest)) {
            if (blobs_.contains(part)) continue;
            if (!fs::exists(blob_path(layout, part))) throw Error{ErrorCode::not_found, part + " is nowhere"};
            std::string bytes = read_file(blob_path(layout, part));
            received_ += bytes.size();
            blobs_.emplace(part, std::move(bytes));
        }
        blobs_.insert_or_assign(digest, manifest);
        tags_.insert_or_assign(tag, digest);
        return;
    }
    throw Error{ErrorCode::not_found, "the layout has no " + reference};
}

void FakeRegistry::pull(const std::string& digest, const fs::path& layout, const std::string& /*reference*/,
                        const std::stop_token& stop)
{
    const std::scoped_lock lock{mutex_};
    require_here();
    int blobs = 0;
    for (const std::string& part : parts_of(blobs_.at(digest))) {
        if (stop.stop_requested()) throw Error{ErrorCode::cancelled, "the pull was stopped"};
        if (away_after_ && blobs == *away_after_) throw Error{ErrorCode::unavailable, "registry.test/warmd is gone"};
        if (fs::exists(blob_path(layout, part))) continue;
        const auto found = blobs_.find(part);
        if (found == blobs_.end()) throw Error{ErrorCode::not_found, part + " is nowhere"};
        sent_ += found->second.size();
        const fs::path next = layout / "arriving";
        write_file(next, found->second);
        fs::rename(next, blob_path(layout, part));
        ++blobs;
    }
}

void FakeRegistry::go_away(std::optional<int> after_blobs)
{
    const std::scoped_lock lock{mutex_};
    away_after_ = after_blobs;
}

void FakeRegistry::tamper(const std::string& tag, std::size_t layer)
{
    const std::scoped_lock lock{mutex_};
    std::string& blob = blobs_.at(parts_of(blobs_.at(tags_.at(tag))).at(layer + 1));
    char& byte = blob.at(blob.size() / 2);
    byte = static_cast<char>(byte ^ 1);
}

void FakeRegistry::lose_blobs()
{
    const std::scoped_lock lock{mutex_};
    blobs_.clear();
}

void FakeRegistry::untag(const std::string& tag)
{
    const std::scoped_lock lock{mutex_};
    tags_.erase(tag);
}

std::uint64_t FakeRegistry::received_bytes() const
{
    const std::scoped_lock lock{mutex_};
    return received_;
}

std::uint64_t FakeRegistry::sent_bytes() const
{
    const std::scoped_lock lock{mutex_};
    return sent_;
}

}  // namespace warmd::test
