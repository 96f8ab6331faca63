#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace warmd {

/// Compresses and decompresses whole frames of zstd. Not thread-safe.
class ZstdFrames {
public:
    ZstdFrames();
    ~ZstdFrames();
    ZstdFrames(const ZstdFrames&) = delete;
    ZstdFrames& operator=(const ZstdFrames&) = delete;

    /// One frame that holds `bytes`. Throws Error{internal}.
    std::string compress(std::string_view bytes);
    /// What one frame holds, and nothing may follow it. Throws Error{invalid_archive} for anything else, and for more
    /// than `limit` bytes.
    std::string decompress(std::string_view frame, std::size_t limit);

private:
    struct Contexts;
    std::unique_ptr<Contexts> contexts_;
};

}  // namespace warmd
