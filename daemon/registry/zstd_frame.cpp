#include "daemon/registry/zstd_frame.h"

#include <zstd.h>

#include "daemon/base/error.h"

namespace warmd {

namespace {

constexpr int kLevel = 3;  // zstd's own default

[[noreturn]] void refuse(const std::string& problem)
{
    throw Error{ErrorCode::invalid_archive, "what came from the registry cannot be decompressed: " + problem};
}

}  // namespace

struct ZstdFrames::Contexts {
    std::unique_ptr<ZSTD_CCtx, std::size_t (*)(ZSTD_CCtx*)> out{ZSTD_createCCtx(), &ZSTD_freeCCtx};
    std::unique_ptr<ZSTD_DCtx, std::size_t (*)(ZSTD_DCtx*)> in{ZSTD_createDCtx(), &ZSTD_freeDCtx};
};

ZstdFrames::ZstdFrames() : contexts_{std::make_unique<Contexts>()} {}
ZstdFrames::~ZstdFrames() = default;

std::string ZstdFrames::compress(std::string_view bytes)
{
    std::string frame(ZSTD_compressBound(bytes.size()), '\0');
    const std::size_t size = ZSTD_compressCCtx(contexts_->out.get(), frame.data(), frame.size(), bytes.data(),
                                               bytes.size(), kLevel);
    if (ZSTD_isError(size) != 0) throw Error{ErrorCode::internal, std::string{"zstd: "} + ZSTD_getErrorName(size)};
    frame.resize(size);
    return frame;
}

std::string ZstdFrames::decompress(std::string_view frame, std::size_t limit)
{
    // The frame says itself how much is in it; what it says is believed only as far as the limit.
    const unsigned long long size = ZSTD_getFrameContentSize(frame.data(), frame.size());
    if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN) refuse("it is no whole frame of zstd");
    if (size > limit) refuse("it is larger than " + std::to_string(limit) + " bytes");
    std::string bytes(size, '\0');
    const std::size_t found = ZSTD_decompressDCtx(contexts_->in.get(), bytes.data(), bytes.size(), frame.data(),
                                                  frame.size());
    if (ZSTD_isError(found) != 0) refuse(ZSTD_getErrorName(found));
    if (found != size) refuse("it is shorter than it says");
    return bytes;
}

}  // namespace warmd
