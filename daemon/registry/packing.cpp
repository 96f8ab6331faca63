#include "daemon/registry/packing.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "daemon/base/error.h"

namespace warmd {

namespace {

/// What a pack is full with: large enough that requests do not count, small enough that the first is there soon.
constexpr std::size_t kFullPack = 8U << 20U;  // bytes

/// Fewer are in there when the disk fails, or the file is shorter than its descriptor says.
std::string read_at(const UniqueFd& file, std::uint64_t offset, std::size_t size)
{
    std::string bytes(size, '\0');
    std::size_t done = 0;
    while (done < size) {
        const ssize_t count = ::pread(file.get(), bytes.data() + done, size - done, static_cast<off_t>(offset + done));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) throw system_error("read a pack", errno);
        if (count == 0) throw Error{ErrorCode::invalid_archive, "a pack is shorter than it should be"};
        done += static_cast<std::size_t>(count);
    }
    return bytes;
}

}  // namespace

Packer::Packer(OciLayout& layout, const ChunkIndex& base)
    : layout_{layout}, chunker_{[this](std::string_view chunk) { take(chunk); }}
{
    for (const Pack& pack : base.packs) pack_sizes_[pack.digest] = pack.size;
    for (const Chunk& chunk : base.chunks) {
        places_.emplace(chunk.sha256, Place{.pack = base.packs[chunk.pack].digest, .chunk = chunk});
    }
}

void Packer::take(std::string_view chunk)
{
    std::string sum = sha256_hex(chunk);
    if (!places_.contains(sum)) {
        const std::string frame = frames_.compress(chunk);
        places_.emplace(sum, Place{.pack = {},
                                   .chunk = {.sha256 = sum,
                                             .size = static_cast<std::uint32_t>(chunk.size()),
                                             .offset = pack_.size(),
                                             .stored = static_cast<std::uint32_t>(frame.size())}});
        pack_ += frame;
        in_pack_.push_back(sum);
    }
    order_.push_back(std::move(sum));
    if (pack_.size() >= kFullPack) end_pack();
}

void Packer::end_pack()
{
    if (pack_.empty()) return;
    const Descriptor blob = layout_.add(kPackType, pack_);
    pack_sizes_[blob.digest] = blob.size;
    for (const std::string& sum : in_pack_) places_.at(sum).pack = blob.digest;
    new_bytes_ += blob.size;
    pack_.clear();
    in_pack_.clear();
}

ChunkIndex Packer::finish()
{
    chunker_.finish();
    end_pack();
    ChunkIndex index;
    std::map<std::string, std::uint32_t> numbers;  // of packs, in the order in which they are needed
    for (const std::string& sum : order_) {
        const Place& place = places_.at(sum);
        const auto [entry, is_new] = numbers.emplace(place.pack, static_cast<std::uint32_t>(index.packs.size()));
        if (is_new) index.packs.push_back({.digest = place.pack, .size = pack_sizes_.at(place.pack)});
        Chunk chunk = place.chunk;
        chunk.pack = entry->second;
        index.chunks.push_back(std::move(chunk));
    }
    return index;
}

std::size_t Unpacker::read(char* buffer, std::size_t size)
{
    if (read_ == chunk_.size()) {
        if (next_ == index_.chunks.size()) return 0;
        next_chunk();
    }
    const std::size_t count = std::min(size, chunk_.size() - read_);
    std::memcpy(buffer, chunk_.data() + read_, count);
    read_ += count;
    return count;
}

void Unpacker::next_chunk()
{
    const Chunk& chunk = index_.chunks[next_];
    UniqueFd& pack = packs_[chunk.pack];
    if (!pack.valid()) {
        const std::string& digest = index_.packs[chunk.pack].digest;
        await_(digest);
        pack = UniqueFd{::open(layout_.path_of(digest).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)};
        if (!pack.valid()) throw system_error("open the pack " + digest, errno);
    }
    chunk_ = frames_.decompress(read_at(pack, chunk.offset, chunk.stored), kMaxChunk);
    if (chunk_.size() != chunk.size || sha256_hex(chunk_) != chunk.sha256) {
        throw Error{ErrorCode::invalid_archive, "a chunk of the tarball is not the one that was pushed"};
    }
    read_ = 0;
    ++next_;
}

}  // namespace warmd
