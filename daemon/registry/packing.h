#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "daemon/registry/chunk_index.h"
#include "daemon/registry/content_chunker.h"
#include "daemon/registry/oci_layout.h"
#include "daemon/registry/zstd_frame.h"

namespace warmd {

inline constexpr const char* kPackType = "application/vnd.warmd.pack.v1+zstd";

/// Turns a tarball that passes by into packs. Chunks that `base` has stay where they are, in packs that exist already;
/// the others are compressed into new ones, which become blobs of the layout. Not thread-safe.
class Packer {
public:
    /// `base`: of an earlier tarball; empty: none. `layout` must outlive this.
    Packer(OciLayout& layout, const ChunkIndex& base);

    /// Takes the next bytes. Throws as `OciLayout::add`.
    void write(std::string_view bytes) { chunker_.write(bytes); }
    /// Call after the last byte: the index of the whole tarball.
    ChunkIndex finish();

    /// How many bytes of packs had to be made.
    [[nodiscard]] std::uint64_t new_bytes() const { return new_bytes_; }

private:
    struct Place {
        std::string pack;  // its digest; empty: the one that is being filled
        Chunk chunk;
    };

    void take(std::string_view chunk);
    void end_pack();

    OciLayout& layout_;
    ZstdFrames frames_;
    ContentChunker chunker_;
    std::map<std::string, std::uint64_t> pack_sizes_;  // by digest; the base's and ours
    std::map<std::string, Place> places_;              // by the sum of what a chunk holds
    std::string pack_;
    std::vector<std::string> in_pack_;  // sums of the chunks in it
    std::vector<std::string> order_;    // sums of the tarball's chunks
    std::uint64_t new_bytes_ = 0;
};

/// Puts a tarball together again. Not thread-safe.
class Unpacker {
public:
    /// Called before a pack is opened: blocks until its blob is there, and throws when it will not come.
    using Await = std::function<void(const std::string& digest)>;

    Unpacker(const OciLayout& layout, ChunkIndex index, Await await)
        : layout_{layout}, index_{std::move(index)}, await_{std::move(await)}
    {
    }

    /// The next bytes of the tarball, as many as fit; 0 at its end. Throws Error{invalid_archive} for a chunk that is
    /// not what the index says, and what `await` throws.
    std::size_t read(char* buffer, std::size_t size);

private:
    void next_chunk();

    const OciLayout& layout_;
    const ChunkIndex index_;
    const Await await_;
    ZstdFrames frames_;
    std::map<std::uint32_t, UniqueFd> packs_;
    std::size_t next_ = 0;  // of the index's chunks
    std::string chunk_;
    std::size_t read_ = 0;  // of that
};

}  // namespace warmd
