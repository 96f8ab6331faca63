#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// The blocks of a tar archive: ustar headers and pax records (POSIX.1-2001), and GNU's binary numbers. All that
// follows throws Error{corrupt} for what it cannot read.

namespace warmd::tar {

inline constexpr std::size_t kBlock = 512;                // bytes; everything in an archive begins at a multiple of it
inline constexpr std::uint64_t kMaxOctal = 077777777777;  // 8 GiB - 1, the largest size in eleven octal digits

/// Where a field lies in a header.
struct Field {
    std::size_t offset;
    std::size_t length;
};
inline constexpr Field kName{0, 100};
inline constexpr Field kMode{100, 8};
inline constexpr Field kUid{108, 8};
inline constexpr Field kGid{116, 8};
inline constexpr Field kSize{124, 12};
inline constexpr Field kMtime{136, 12};
inline constexpr Field kChecksum{148, 8};
inline constexpr std::size_t kType = 156;
inline constexpr Field kLink{157, 100};
inline constexpr Field kMagic{257, 8};
inline constexpr Field kDeviceMajor{329, 8};
inline constexpr Field kDeviceMinor{337, 8};
inline constexpr Field kPrefix{345, 155};

/// The content of a field up to its first NUL. `block` is a whole header, here and below, and outlives the result.
std::string_view text(const std::string& block, Field at);
/// Octal digits, or GNU's binary form for what they cannot hold.
std::uint64_t number(const std::string& block, Field at);
/// What the header's checksum has to be.
std::uint64_t checksum(const std::string& block);
bool is_zero(std::string_view bytes);
/// Bytes from the end of a content of `size` to the next block.
std::uint64_t padding(std::uint64_t size);

struct PaxRecord {
    std::string_view key;
    std::string_view value;
};
/// The records of a pax header's content, in their order, which outlives them.
std::vector<PaxRecord> pax_records(std::string_view content);

}  // namespace warmd::tar
