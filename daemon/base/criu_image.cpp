#include "daemon/base/criu_image.h"

#include "daemon/base/error.h"

namespace warmd {

namespace {

void append_varint(std::string& bytes, std::uint64_t value)
{
    for (; value > 0x7FU; value >>= 7U) bytes += static_cast<char>((value & 0x7FU) | 0x80U);
    bytes += static_cast<char>(value);
}

/// A length-delimited field of a protobuf message.
void append_text(std::string& bytes, std::uint64_t tag, std::string_view text)
{
    append_varint(bytes, tag);
    append_varint(bytes, text.size());
    bytes += text;
}

}  // namespace

std::uint64_t read_varint(std::string_view& bytes)
{
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
        const auto byte = static_cast<unsigned char>(bytes.front());
        bytes.remove_prefix(1);
        value |= std::uint64_t{byte & 0x7FU} << shift;
        if ((byte & 0x80U) == 0) break;
    }
    return value;
}

std::string rename_host(const std::string& utsns_image, const std::string& hostname)
{
    // Two 32-bit magic numbers, a 32-bit length, then utsns_entry{1: nodename, 2: domainname} in protobuf.
    constexpr std::size_t kMagic = 8;
    constexpr std::size_t kHeader = kMagic + 4;
    constexpr std::uint64_t kNodename = 1U << 3U | 2U;  // field 1, length-delimited
    const auto damaged = [] { return Error{ErrorCode::corrupt, "CRIU's image of the host name cannot be read"}; };
    if (utsns_image.size() < kHeader) throw damaged();
    std::string entry;
    append_text(entry, kNodename, hostname);
    std::string_view rest = std::string_view{utsns_image}.substr(kHeader);
    while (!rest.empty()) {
        const std::uint64_t tag = read_varint(rest);
        const std::uint64_t size = read_varint(rest);
        if ((tag & 7U) != 2 || size > rest.size()) throw damaged();  // all fields of this message are texts
        if (tag != kNodename) append_text(entry, tag, rest.substr(0, size));
        rest.remove_prefix(size);
    }
    std::string image = utsns_image.substr(0, kMagic);
    for (unsigned shift = 0; shift < 32; shift += 8) image += static_cast<char>(entry.size() >> shift & 255U);
    return image + entry;
}

}  // namespace warmd
