// Names, ids and the ways in which text is written: percent, base 64, printable.
#include <string>

#include "daemon/base/clock.h"
#include "daemon/base/id.h"
#include "daemon/base/text.h"
#include "daemon/model/difference.h"
#include "tests/fuzz/fuzz.h"

using namespace warmd;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view text = fuzz::input(data, size);
    if (is_valid_name(text)) {
        fuzz::require(!text.empty() && text.size() <= 63 && text.find_first_of("/\\%?# \n") == std::string_view::npos,
                      "a name is harmless everywhere");
        fuzz::require(text != "." && text != ".." && percent_encode(text) == text, "and needs no encoding");
    }
    std::string decoded;
    fuzz::require(percent_decode(percent_encode(text), decoded) == (text.find('\0') == std::string_view::npos),
                  "what is encoded can be decoded unless it has a NUL");
    if (text.find('\0') == std::string_view::npos) fuzz::require(decoded == text, "and is what it was");
    if (percent_decode(text, decoded)) fuzz::require(decoded.size() <= text.size(), "decoding makes it no longer");
    fuzz::require(base64_decode(base64_encode(text)) == text, "base 64 is reversible");
    fuzz::accepts([&] {
        const std::string bytes = base64_decode(text);
        fuzz::require(base64_encode(bytes) == text, "and written in one way");
    });
    const std::string shown = printable(text, 100);
    for (const char c : shown) {
        fuzz::require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f,
                      "what is printable has no control characters");
    }
    fuzz::require(shown.size() <= 100 * 4 + 3, "and is not longer than its limit");
    (void)is_utf8(text);
    (void)lower_case(text);
    return 0;
}
