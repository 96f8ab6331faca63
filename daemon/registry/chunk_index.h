#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace warmd {

/// A blob of the registry with compressed chunks in it, one after the other.
struct Pack {
    std::string digest;  // "sha256:..." of the blob
    std::uint64_t size = 0;
    bool operator==(const Pack&) const = default;
};

/// A piece of the tarball, and where it stands, compressed by itself (a zstd frame): any piece can be had without the
/// others.
struct Chunk {
    std::string sha256;        // of what it holds, 64 hexadecimal digits
    std::uint32_t size = 0;    // of that
    std::uint32_t pack = 0;    // which of the packs
    std::uint64_t offset = 0;  // in it
    std::uint32_t stored = 0;  // bytes there
    bool operator==(const Chunk&) const = default;
};

/// Of what a tarball consists, in order. Packs may be those of earlier tarballs: only what is new is in new ones.
struct ChunkIndex {
    std::vector<Pack> packs;
    std::vector<Chunk> chunks;
    bool operator==(const ChunkIndex&) const = default;

    [[nodiscard]] std::uint64_t size_bytes() const;  // of the tarball
};

inline constexpr std::size_t kMaxIndex = 64U << 20U;  // bytes of a compressed index

/// As a blob: JSON, compressed with zstd.
std::string encode_index(const ChunkIndex& index);

/// The reverse. Throws Error{invalid_archive} for what is none, and for chunks that are larger than `kMaxChunk` or not
/// within a pack of it.
ChunkIndex decode_index(std::string_view blob);

}  // namespace warmd
