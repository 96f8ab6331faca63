#pragma once

#include <string>
#include <string_view>

#include "daemon/base/tar_header.h"
#include "tests/support/raw_tar.h"

namespace warmd::fuzz {

/// The input with the checksums mended of all that looks like a header, also in archives within: one that is wrong
/// would end almost every input at once. Those of an input that begins with an odd byte are left as they are.
inline std::string mend_checksums(std::string_view input)
{
    std::string bytes{input};
    if (bytes.empty() || (static_cast<unsigned char>(bytes.front()) & 1U) != 0) return bytes;
    for (std::size_t at = 1; at + tar::kBlock <= bytes.size(); at += tar::kBlock) {
        std::string block = bytes.substr(at, tar::kBlock);
        if (tar::text(block, tar::kMagic) != "ustar") continue;
        test::RawTar::seal(block);
        bytes.replace(at, tar::kBlock, block);
    }
    return bytes;
}

}  // namespace warmd::fuzz
