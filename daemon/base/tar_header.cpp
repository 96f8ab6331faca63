#include "daemon/base/tar_header.h"

#include <algorithm>
#include <charconv>
#include <system_error>

#include "daemon/base/error.h"

namespace warmd::tar {

namespace {

[[noreturn]] void corrupt(const std::string& problem)
{
    throw Error{ErrorCode::corrupt, "the tar archive is damaged: " + problem};
}

}  // namespace

std::string_view text(const std::string& block, Field at)
{
    const std::string_view raw = std::string_view{block}.substr(at.offset, at.length);
    return raw.substr(0, raw.find('\0'));
}

std::uint64_t number(const std::string& block, Field at)
{
    const auto first = static_cast<unsigned char>(block[at.offset]);
    std::uint64_t number = 0;
    if ((first & 0x80U) != 0) {
        for (std::size_t i = 1; i < at.length; ++i) {
            if (number >> 55U != 0) corrupt("a number is out of range");
            number = number << 8U | static_cast<unsigned char>(block[at.offset + i]);
        }
        return number;
    }
    std::string_view digits = text(block, at);
    while (!digits.empty() && digits.front() == ' ') digits.remove_prefix(1);
    while (!digits.empty() && digits.back() == ' ') digits.remove_suffix(1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number, 8);
    if (!digits.empty() && (error != std::errc{} || end != digits.data() + digits.size())) {
        corrupt("a header is not a tar header");
    }
    return number;
}

std::uint64_t checksum(const std::string& block)
{
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < kBlock; ++i) {
        const bool own = i >= kChecksum.offset && i < kChecksum.offset + kChecksum.length;
        sum += own ? static_cast<unsigned char>(' ') : static_cast<unsigned char>(block[i]);
    }
    return sum;
}

bool is_zero(std::string_view bytes)
{
    return std::all_of(bytes.begin(), bytes.end(), [](char c) { return c == '\0'; });
}

std::uint64_t padding(std::uint64_t size) { return (kBlock - size % kBlock) % kBlock; }

std::vector<PaxRecord> pax_records(std::string_view content)
{
    std::vector<PaxRecord> records;
    while (!content.empty()) {  // "LENGTH KEY=VALUE\n", the length that of all of it
        std::size_t length = 0;
        const auto [end, error] = std::from_chars(content.data(), content.data() + content.size(), length);
        const auto digits = static_cast<std::size_t>(end - content.data());
        if (error != std::errc{} || length <= digits + 2 || length > content.size() || content[digits] != ' ' ||
            content[length - 1] != '\n') {
            corrupt("a pax header");
        }
        const std::string_view record = content.substr(digits + 1, length - digits - 2);
        const std::size_t equals = record.find('=');
        if (equals == std::string_view::npos || equals == 0) corrupt("a pax header");
        records.push_back({record.substr(0, equals), record.substr(equals + 1)});
        content.remove_prefix(length);
    }
    return records;
}

}  // namespace warmd::tar
