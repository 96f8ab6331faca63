#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace warmd {

inline constexpr std::size_t kMinChunk = 4U << 10U;   // bytes; the last one may be shorter
inline constexpr std::size_t kMaxChunk = 64U << 10U;  // bytes

/// Cuts a stream where its content says so (a rolling "gear" hash over the last 64 bytes): two streams that have a
/// stretch in common are cut at the same places of it, wherever it stands. Of bytes that differ in one place all chunks
/// but one are the same. A chunk has 8 KiB on average, two pages: a process that goes on writes here and there.
class ContentChunker {
public:
    using Sink = std::function<void(std::string_view chunk)>;

    /// `sink`: given each chunk, in order; what it throws ends the cutting.
    explicit ContentChunker(Sink sink) : sink_{std::move(sink)} {}

    /// Takes the next bytes, cut anywhere.
    void write(std::string_view bytes);
    /// Call after the last byte.
    void finish();

private:
    Sink sink_;
    std::string chunk_;
    std::uint64_t hash_ = 0;
};

}  // namespace warmd
