#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "daemon/base/error.h"

// One target a file: libFuzzer calls LLVMFuzzerTestOneInput with one input after another. What may happen to a hostile
// input is an Error; everything else that is thrown, a failed `require` and what the sanitizers find is a defect.

namespace warmd::fuzz {

inline std::string_view input(const std::uint8_t* data, std::size_t size)
{
    return {reinterpret_cast<const char*>(data), size};
}

inline void require(bool condition, const char* what)
{
    if (condition) return;
    std::fprintf(stderr, "this does not hold: %s\n", what);
    std::abort();
}

/// True when it throws no Error.
template <typename Fn>
bool accepts(Fn&& fn)
{
    try {
        fn();
        return true;
    } catch (const Error&) {
        return false;
    }
}

/// Takes a number from 1 to 256 off the front of `bytes`: how large the pieces are in which they are handed on.
inline std::size_t take_piece(std::string_view& bytes)
{
    if (bytes.empty()) return 1;
    const std::size_t piece = static_cast<unsigned char>(bytes.front()) + std::size_t{1};
    bytes.remove_prefix(1);
    return piece;
}

/// Hands `bytes` on in pieces.
template <typename Fn>
void in_pieces(std::string_view bytes, std::size_t piece, Fn&& fn)
{
    while (!bytes.empty()) {
        const std::string_view part = bytes.substr(0, piece);
        fn(part);
        bytes.remove_prefix(part.size());
    }
}

}  // namespace warmd::fuzz
