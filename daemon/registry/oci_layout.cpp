#include "daemon/registry/oci_layout.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "daemon/base/error.h"
#include "daemon/base/file_io.h"
#include "daemon/base/json.h"

namespace warmd {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kDigestPrefix = "sha256:";
constexpr const char* kManifestType = "application/vnd.oci.image.manifest.v1+json";
constexpr const char* kEmptyType = "application/vnd.oci.empty.v1+json";
constexpr std::string_view kEmpty = "{}";

void make_directory(const fs::path& path)
{
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) throw system_error("create " + path.string(), errno);
}

/// Whole or not at all: a name is there only when all of its bytes are.
void write_whole(const fs::path& path, std::string_view bytes)
{
    const fs::path next = path.string() + ".next";
    const UniqueFd file{::open(next.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
    if (!file.valid()) throw system_error("create " + next.string(), errno);
    write_all(file, bytes, "write " + next.string());
    if (::rename(next.c_str(), path.c_str()) != 0) throw system_error("rename " + next.string(), errno);
}

Json encode(const Descriptor& descriptor)
{
    return {{"mediaType", descriptor.media_type}, {"digest", descriptor.digest}, {"size", descriptor.size}};
}

[[noreturn]] void refuse(const std::string& problem)
{
    throw Error{ErrorCode::invalid_archive, "what the registry has there is no artifact: " + problem};
}

Descriptor decode(const Json& json)
{
    JsonObject object{json, "layers"};
    Descriptor descriptor{.media_type = object.text("mediaType"), .digest = object.text("digest")};
    const std::int64_t size = object.integer("size");
    if (!is_digest(descriptor.digest) || size < 0) refuse("a layer has no digest");
    descriptor.size = static_cast<std::uint64_t>(size);
    return descriptor;
}

}  // namespace

bool is_digest(std::string_view text)
{
    if (!text.starts_with(kDigestPrefix)) return false;
    text.remove_prefix(kDigestPrefix.size());
    return text.size() == 64 && std::all_of(text.begin(), text.end(),
                                            [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::string encode_artifact(const Artifact& artifact)
{
    Json layers = Json::array();
    for (const Descriptor& layer : artifact.layers) layers.push_back(encode(layer));
    const Descriptor config{kEmptyType, std::string{kDigestPrefix} + sha256_hex(kEmpty), kEmpty.size()};
    return dump_json({{"schemaVersion", 2},
                      {"mediaType", kManifestType},
                      {"artifactType", artifact.type},
                      {"config", encode(config)},
                      {"layers", std::move(layers)},
                      {"annotations", artifact.annotations}});
}

Artifact decode_artifact(std::string_view manifest)
{
    try {
        const Json json = parse_json(manifest);
        JsonObject object{json};
        Artifact artifact{.type = object.optional_text("artifactType").value_or("")};
        const Json* const layers = object.child("layers");
        if (layers == nullptr || !layers->is_array()) refuse("it has no layers");
        for (const Json& layer : *layers) artifact.layers.push_back(decode(layer));
        artifact.annotations = object.text_map("annotations");
        return artifact;
    } catch (const Error& error) {
        if (error.code() == ErrorCode::invalid_archive) throw;
        refuse(error.what());
    }
}

OciLayout::OciLayout(fs::path directory) : directory_{std::move(directory)}
{
    make_directory(directory_);
    make_directory(directory_ / "blobs");
    make_directory(blobs());
    write_whole(directory_ / "oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
}

fs::path OciLayout::path_of(const std::string& digest) const
{
    return blobs() / digest.substr(std::min(digest.size(), kDigestPrefix.size()));
}

Descriptor OciLayout::add(std::string media_type, std::string_view bytes)
{
    Descriptor blob{std::move(media_type), std::string{kDigestPrefix} + sha256_hex(bytes), bytes.size()};
    std::error_code ignored;
    if (!fs::exists(path_of(blob.digest), ignored)) write_whole(path_of(blob.digest), bytes);
    return blob;
}

std::string OciLayout::set_artifact(const Artifact& artifact, const std::string& reference)
{
    add(kEmptyType, kEmpty);
    const Descriptor manifest = add(kManifestType, encode_artifact(artifact));
    Json entry = encode(manifest);
    entry["annotations"] = {{"org.opencontainers.image.ref.name", reference}};
    write_whole(directory_ / "index.json", dump_json({{"schemaVersion", 2}, {"manifests", Json::array({entry})}}));
    return manifest.digest;
}

}  // namespace warmd
