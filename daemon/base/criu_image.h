#pragma once

#include <cstdint>
#include <string>
#include <string_view>

// What warmd knows of CRIU's images: protobuf behind two 32-bit magic numbers and a 32-bit length.

namespace warmd {

/// The next number of a protobuf message, taken off `bytes`; what there is of it at their end.
std::uint64_t read_varint(std::string_view& bytes);

/// How the names of the images of UTS namespaces begin.
inline constexpr std::string_view kUtsImagePrefix = "utsns-";

/// The image of a UTS namespace (images/utsns.proto: utsns_entry) with another host name in it. Throws Error{corrupt}
/// for anything else.
std::string rename_host(const std::string& utsns_image, const std::string& hostname);

}  // namespace warmd
