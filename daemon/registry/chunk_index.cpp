#include "daemon/registry/chunk_index.h"

#include <limits>
#include <numeric>
#include <utility>

#include "daemon/base/error.h"
#include "daemon/base/json.h"
#include "daemon/registry/content_chunker.h"
#include "daemon/registry/oci_layout.h"
#include "daemon/registry/zstd_frame.h"

namespace warmd {

namespace {

constexpr std::int64_t kFormat = 1;
constexpr std::size_t kChunkFields = 5;
constexpr std::size_t kMaxDecoded = std::size_t{1} << 30U;  // bytes of JSON

[[noreturn]] void refuse(const std::string& problem)
{
    throw Error{ErrorCode::invalid_archive, "the index of the checkpoint's chunks: " + problem};
}

template <typename Number>
Number number(const Json& json)
{
    if (!json.is_number_unsigned()) refuse("a number is none");
    const auto value = json.get<std::uint64_t>();
    if (value > std::numeric_limits<Number>::max()) refuse("a number is too large");
    return static_cast<Number>(value);
}

std::string text(const Json& json)
{
    if (!json.is_string()) refuse("a text is none");
    return json.get<std::string>();
}

Chunk decode_chunk(const Json& json, const std::vector<Pack>& packs)
{
    if (!json.is_array() || json.size() != kChunkFields) refuse("a chunk is none");
    Chunk chunk{.sha256 = text(json[0]),
                .size = number<std::uint32_t>(json[1]),
                .pack = number<std::uint32_t>(json[2]),
                .offset = number<std::uint64_t>(json[3]),
                .stored = number<std::uint32_t>(json[4])};
    if (!is_digest("sha256:" + chunk.sha256)) refuse("a chunk's sum is none");
    if (chunk.size == 0 || chunk.size > kMaxChunk) refuse("a chunk is empty or too large");
    if (chunk.pack >= packs.size()) refuse("a chunk is in no pack");
    const std::uint64_t room = packs[chunk.pack].size;
    if (chunk.offset > room || chunk.stored > room - chunk.offset) refuse("a chunk is not within its pack");
    return chunk;
}

}  // namespace

std::uint64_t ChunkIndex::size_bytes() const
{
    return std::accumulate(chunks.begin(), chunks.end(), std::uint64_t{0},
                           [](std::uint64_t sum, const Chunk& chunk) { return sum + chunk.size; });
}

std::string encode_index(const ChunkIndex& index)
{
    Json packs = Json::array();
    for (const Pack& pack : index.packs) packs.push_back({{"digest", pack.digest}, {"size", pack.size}});
    Json chunks = Json::array();
    for (const Chunk& chunk : index.chunks) {
        chunks.push_back(Json::array({chunk.sha256, chunk.size, chunk.pack, chunk.offset, chunk.stored}));
    }
    return ZstdFrames{}.compress(
        dump_json({{"format", kFormat}, {"packs", std::move(packs)}, {"chunks", std::move(chunks)}}));
}

ChunkIndex decode_index(std::string_view blob)
{
    Json json;
    try {
        json = parse_json(ZstdFrames{}.decompress(blob, kMaxDecoded));
    } catch (const Error& error) {
        throw Error{ErrorCode::invalid_archive, "the index of the checkpoint's chunks cannot be read"}.with_cause(
            error.what());
    }
    if (!json.is_object() || json.value("format", Json{}) != kFormat) refuse("its format is not 1");
    ChunkIndex index;
    const Json packs = json.value("packs", Json{});
    const Json chunks = json.value("chunks", Json{});
    if (!packs.is_array() || !chunks.is_array()) refuse("packs and chunks are missing");
    for (const Json& entry : packs) {
        if (!entry.is_object()) refuse("a pack is none");
        Pack pack{.digest = text(entry.value("digest", Json{})),
                  .size = number<std::uint64_t>(entry.value("size", Json{}))};
        if (!is_digest(pack.digest)) refuse("a pack's digest is none");
        index.packs.push_back(std::move(pack));
    }
    index.chunks.reserve(chunks.size());
    for (const Json& entry : chunks) index.chunks.push_back(decode_chunk(entry, index.packs));
    return index;
}

}  // namespace warmd
