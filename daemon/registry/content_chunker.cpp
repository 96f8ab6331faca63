#include "daemon/registry/content_chunker.h"

#include <algorithm>
#include <array>
#include <utility>

namespace warmd {

namespace {

/// A number for each byte. They are part of the format: other numbers cut elsewhere, and nothing is found again.
constexpr std::array<std::uint64_t, 256> make_gears()
{
    std::array<std::uint64_t, 256> gears{};
    std::uint64_t state = 0x7761726d64;  // splitmix64
    for (std::uint64_t& gear : gears) {
        state += 0x9e3779b97f4a7c15;
        std::uint64_t mixed = state;
        mixed = (mixed ^ (mixed >> 30U)) * 0xbf58476d1ce4e5b9;
        mixed = (mixed ^ (mixed >> 27U)) * 0x94d049bb133111eb;
        gear = mixed ^ (mixed >> 31U);
    }
    return gears;
}

constexpr std::array<std::uint64_t, 256> kGears = make_gears();
// The highest bits depend on the most bytes. One byte in 4 Ki has all of them zero.
constexpr std::uint64_t kCut = 0xfff0000000000000;

}  // namespace

void ContentChunker::write(std::string_view bytes)
{
    while (!bytes.empty()) {
        const std::size_t room = std::min(bytes.size(), kMaxChunk - chunk_.size());
        std::size_t taken = 0;
        bool cut = false;
        while (taken < room && !cut) {
            hash_ = (hash_ << 1U) + kGears[static_cast<unsigned char>(bytes[taken])];
            ++taken;
            cut = (hash_ & kCut) == 0 && chunk_.size() + taken >= kMinChunk;
        }
        chunk_ += bytes.substr(0, taken);
        bytes.remove_prefix(taken);
        if (cut || chunk_.size() == kMaxChunk) finish();
    }
}

void ContentChunker::finish()
{
    if (!chunk_.empty()) sink_(chunk_);
    chunk_.clear();
    hash_ = 0;
}

}  // namespace warmd
