#include "daemon/base/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>

#include "daemon/base/error.h"

namespace warmd {

namespace {

constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

unsigned char byte_at(std::string_view text, std::size_t index) { return static_cast<unsigned char>(text[index]); }

/// The length of the well-formed UTF-8 sequence at `at`, or 0. Ranges are those of Unicode's table 3-7.
std::size_t utf8_sequence(std::string_view text, std::size_t at)
{
    const unsigned char lead = byte_at(text, at);
    if (lead < 0x80) return 1;
    std::size_t length = 0;
    unsigned char low = 0x80;
    unsigned char high = 0xBF;
    if (lead >= 0xC2 && lead <= 0xDF) length = 2;
    else if (lead >= 0xE0 && lead <= 0xEF) length = 3;
    else if (lead >= 0xF0 && lead <= 0xF4) length = 4;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
    if (length == 0 || at + length > text.size()) return 0;
    for (std::size_t i = 1; i < length; ++i) {
        const unsigned char next = byte_at(text, at + i);
        if (next < low || next > high) return 0;
        low = 0x80;
        high = 0xBF;
    }
    return length;
}

}  // namespace

bool is_utf8(std::string_view text)
{
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t length = utf8_sequence(text, at);
        if (length == 0) return false;
        at += length;
    }
    return true;
}

std::string base64_encode(std::string_view bytes)
{
    std::string text;
    text.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t at = 0; at < bytes.size(); at += 3) {
        const std::size_t count = std::min<std::size_t>(3, bytes.size() - at);
        std::uint32_t group = 0;
        for (std::size_t i = 0; i < 3; ++i) group = group << 8 | (i < count ? byte_at(bytes, at + i) : 0U);
        for (std::size_t i = 0; i < 4; ++i) text += i <= count ? kBase64[group >> (18 - 6 * i) & 63U] : '=';
    }
    return text;
}

std::string base64_decode(std::string_view text)
{
    std::string bytes;
    bool good = text.size() % 4 == 0;
    for (std::size_t at = 0; good && at < text.size(); at += 4) {
        std::uint32_t group = 0;
        std::size_t count = 0;
        for (std::size_t i = 0; i < 4; ++i) {
            const std::size_t digit = kBase64.find(text[at + i]);
            const bool padding = text[at + i] == '=' && at + 4 == text.size() && i >= 2;
            good = good && (digit != std::string_view::npos ? count == i : padding);
            if (digit != std::string_view::npos) ++count;
            group = group << 6 | (digit == std::string_view::npos ? 0U : static_cast<std::uint32_t>(digit));
        }
        for (std::size_t i = 0; i + 1 < count; ++i) bytes += static_cast<char>(group >> (16 - 8 * i) & 255U);
        // Bits that no byte has room for must be 0: otherwise the same bytes could be written in several ways.
        if (count == 2 || count == 3) good = good && (group & (count == 2 ? 0xFFFFU : 0xFFU)) == 0;
    }
    if (!good) throw Error{ErrorCode::invalid_argument, "not base 64"};
    return bytes;
}

std::string lower_case(std::string_view text)
{
    std::string lower{text};
    for (char& c : lower) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    return lower;
}

std::string printable(std::string_view text, std::size_t limit)
{
    std::string result;
    const std::string_view shown = text.substr(0, limit);
    for (std::size_t at = 0; at < shown.size(); ++at) {
        const unsigned char byte = byte_at(shown, at);
        // In UTF-8 the control characters U+0080 to U+009F are this byte and their own value.
        const bool after_c2 = at > 0 && byte_at(shown, at - 1) == 0xC2;
        if (byte >= 0x20 && byte != 0x7F && !(after_c2 && byte < 0xA0)) {
            result += shown[at];
            continue;
        }
        if (after_c2 && byte >= 0x80) result.pop_back();
        std::array<char, 5> escape{};
        std::snprintf(escape.data(), escape.size(), "\\x%02x", byte);
        result += escape.data();
    }
    if (text.size() > limit) result += "...";
    return result;
}

bool append_up_to(std::string& text, std::string_view bytes, std::size_t limit)
{
    const std::size_t room = limit - std::min(limit, text.size());
    text += bytes.substr(0, room);
    return bytes.size() <= room;
}

std::string percent_encode(std::string_view text)
{
    std::string result;
    for (const char c : text) {
        const bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                                std::string_view{"-._~"}.find(c) != std::string_view::npos;
        if (unreserved) {
            result += c;
            continue;
        }
        std::array<char, 4> escape{};
        std::snprintf(escape.data(), escape.size(), "%%%02X", static_cast<unsigned char>(c));
        result += escape.data();
    }
    return result;
}

bool percent_decode(std::string_view text, std::string& decoded)
{
    decoded.clear();
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (text[at] != '%') {
            decoded += text[at];
            continue;
        }
        if (at + 2 >= text.size()) return false;
        unsigned value = 0;
        const char* const digits = text.data() + at + 1;
        const auto [end, error] = std::from_chars(digits, digits + 2, value, 16);
        if (error != std::errc{} || end != digits + 2 || value == 0) return false;
        decoded += static_cast<char>(value);
        at += 2;
    }
    return true;
}

}  // namespace warmd
