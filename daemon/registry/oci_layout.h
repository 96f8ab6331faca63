#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/sha256.h"
#include "daemon/base/unique_fd.h"

namespace warmd {

/// True for "sha256:" and 64 hexadecimal digits.
bool is_digest(std::string_view text);

/// A blob as a manifest names it.
struct Descriptor {
    std::string media_type;
    std::string digest;
    std::uint64_t size = 0;
    bool operator==(const Descriptor&) const = default;
};

/// An OCI artifact: an image manifest (image-spec 1.1) with an artifact type and an empty configuration, which no
/// engine takes for an image that it could run.
struct Artifact {
    std::string type;
    std::vector<Descriptor> layers;
    std::map<std::string, std::string> annotations;
};

inline constexpr std::size_t kMaxArtifact = 4U << 20U;  // bytes; what registries take as a manifest

/// As the bytes whose digest is the artifact's.
std::string encode_artifact(const Artifact& artifact);
/// The reverse. Throws Error{invalid_archive} for what is no artifact.
Artifact decode_artifact(std::string_view manifest);

/// A directory of blobs in the OCI's image layout, which programs copy to and from registries. Not thread-safe; others
/// may add blobs meanwhile.
class OciLayout {
public:
    /// Makes the directory, 0700, unless it is there. Throws Error{internal | no_space}, as all of this.
    explicit OciLayout(std::filesystem::path directory);

    /// Adds a blob, unless it is there.
    Descriptor add(std::string media_type, std::string_view bytes);
    /// Adds the artifact, with the empty configuration, as what the layout knows by the name `reference`, and as
    /// nothing else. Returns its digest.
    std::string set_artifact(const Artifact& artifact, const std::string& reference);

    [[nodiscard]] const std::filesystem::path& directory() const { return directory_; }
    [[nodiscard]] std::filesystem::path blobs() const { return directory_ / "blobs" / "sha256"; }
    [[nodiscard]] std::filesystem::path path_of(const std::string& digest) const;

private:
    std::filesystem::path directory_;
};

}  // namespace warmd
