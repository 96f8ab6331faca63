#include "daemon/base/id.h"

#include <sys/random.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <vector>

#include "daemon/base/error.h"

namespace warmd {

namespace {

// Crockford's base 32: no i, l, o, u, so that an id survives being read aloud.
constexpr std::string_view kDigits = "0123456789abcdefghjkmnpqrstvwxyz";

void random_bytes(void* buffer, std::size_t size)
{
    if (::getrandom(buffer, size, 0) != static_cast<ssize_t>(size)) throw system_error("read random bytes", errno);
}

std::string base32(std::uint64_t number, int digits)
{
    std::string text(static_cast<std::size_t>(digits), '0');
    for (auto digit = text.rbegin(); digit != text.rend(); ++digit) {
        *digit = kDigits[number % kDigits.size()];
        number /= kDigits.size();
    }
    return text;
}

}  // namespace

std::string new_id(std::string_view prefix)
{
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
    std::uint64_t random = 0;
    random_bytes(&random, sizeof random);
    return std::string{prefix} + base32(static_cast<std::uint64_t>(milliseconds), 9) + base32(random, 7);
}

std::string random_hex(int digits)
{
    std::vector<unsigned char> bytes(static_cast<std::size_t>(digits));
    random_bytes(bytes.data(), bytes.size());
    std::string text;
    for (const unsigned char byte : bytes) text += "0123456789abcdef"[byte % 16];
    return text;
}

bool is_valid_name(std::string_view text)
{
    const auto alphanumeric = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
    if (text.empty() || text.size() > 63 || !alphanumeric(text.front())) return false;
    for (const char c : text) {
        if (!alphanumeric(c) && c != '.' && c != '_' && c != '-') return false;
    }
    return true;
}

}  // namespace warmd
