#pragma once

#include <string>
#include <string_view>

namespace warmd {

/// True for well-formed UTF-8 (no overlong forms, no surrogates).
bool is_utf8(std::string_view text);

std::string base64_encode(std::string_view bytes);
/// Throws Error{invalid_argument} for anything but padded standard base 64, as `base64_encode` writes it.
std::string base64_decode(std::string_view text);

/// ASCII letters in lower case; everything else as it is, whatever the locale.
std::string lower_case(std::string_view text);

/// `text` with control characters as \xNN, so that a container's words cannot forge log lines or move a
/// terminal's cursor. Cut after `limit` bytes.
inline constexpr std::size_t kLongestWords = 2000;  // bytes of a program's output in an error
std::string printable(std::string_view text, std::size_t limit = kLongestWords);

/// Appends of `bytes` what still fits into `limit` bytes of `text`. False when that was not all.
bool append_up_to(std::string& text, std::string_view bytes, std::size_t limit);

/// Everything but unreserved characters as %NN (RFC 3986), for a path segment or a query value.
std::string percent_encode(std::string_view text);
/// The reverse; nothing for a malformed escape or an encoded NUL.
bool percent_decode(std::string_view text, std::string& decoded);

}  // namespace warmd
