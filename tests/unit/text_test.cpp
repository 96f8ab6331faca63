#include "daemon/base/text.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "daemon/base/sha256.h"
#include "tests/unit/expect_error.h"

namespace warmd {
namespace {

using test::expect_error;

std::string random_bytes(std::mt19937& random, std::size_t size)
{
    std::uniform_int_distribution<int> byte{0, 255};
    std::string bytes;
    for (std::size_t i = 0; i < size; ++i) bytes += static_cast<char>(byte(random));
    return bytes;
}

TEST(IsUtf8, AcceptsWellFormedText)
{
    for (const char* const text :
         {"", "plain", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\xED\x9F\xBF", "\xEE\x80\x80",
          "\xF4\x8F\xBF\xBF", "\x7F", "\xC2\x80", "\xE0\xA0\x80", "\xF0\x90\x80\x80"}) {
        EXPECT_TRUE(is_utf8(text)) << text;
    }
    EXPECT_TRUE(is_utf8(std::string_view{"a\0b", 3}));
}

TEST(IsUtf8, RefusesOverlongFormsSurrogatesAndTheOutOfRange)
{
    for (const char* const text :
         {"\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xE0\x9F\xBF", "\xF0\x80\x80\x80", "\xF0\x8F\xBF\xBF",
          "\xED\xA0\x80", "\xED\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xFE"}) {
        EXPECT_FALSE(is_utf8(text));
    }
}

TEST(IsUtf8, RefusesTruncatedAndStrayBytes)
{
    for (const char* const text : {"\x80", "\xBF", "\xC3", "\xE2\x82", "\xF0\x9F\x98", "\xC3z", "\xE2\x82z", "a\xC3"}) {
        EXPECT_FALSE(is_utf8(text));
    }
}

TEST(Base64, EncodesTheVectorsOfRfc4648)
{
    EXPECT_EQ(base64_encode(""), "");
    EXPECT_EQ(base64_encode("f"), "Zg==");
    EXPECT_EQ(base64_encode("fo"), "Zm8=");
    EXPECT_EQ(base64_encode("foo"), "Zm9v");
    EXPECT_EQ(base64_encode("foobar"), "Zm9vYmFy");
    EXPECT_EQ(base64_encode("\xFB\xFF\xBF"), "+/+/");
}

TEST(Base64, DecodesWhatItEncodes)
{
    std::mt19937 random{1};
    for (std::size_t size = 0; size < 300; ++size) {
        const std::string bytes = random_bytes(random, size);
        const std::string text = base64_encode(bytes);
        ASSERT_EQ(text.size() % 4, 0U);
        ASSERT_EQ(base64_decode(text), bytes) << text;
    }
}

TEST(Base64, RefusesWhatIsNotPaddedStandardBase64)
{
    for (const char* const text : {"Z", "Zg", "Zg=", "Zg===", "====", "=Zg=", "Z===", "Zm=v", "Zg==Zg==", "Zm9v\n",
                                   "Zm 9", "-_-_", "Zm9vZ===", "Zm9v====", "Zh==", "Zm9="}) {
        SCOPED_TRACE(text);
        expect_error(ErrorCode::invalid_argument, [&] { base64_decode(text); });
    }
    expect_error(ErrorCode::invalid_argument, [] { base64_decode(std::string_view{"Zm9\0", 4}); });
}

TEST(Printable, LeavesPlainTextAndUtf8Alone) { EXPECT_EQ(printable("caf\xC3\xA9 \\ \"x\""), "caf\xC3\xA9 \\ \"x\""); }

TEST(Printable, EscapesWhatForgesLinesOrMovesTheCursor)
{
    EXPECT_EQ(printable("a\nb\r\t\x1B[2J\x7F"), R"(a\x0ab\x0d\x09\x1b[2J\x7f)");
    EXPECT_EQ(printable(std::string_view{"a\0b", 3}), R"(a\x00b)");
}

TEST(Printable, EscapesTheControlCharactersBeyondAscii)
{
    // U+009B in UTF-8: terminals take it for ESC [.
    EXPECT_EQ(printable("\xC2\x9B"
                        "2J")
                  .find('\x9B'),
              std::string::npos);
}

TEST(Printable, CutsAfterTheLimitAndSaysSo)
{
    EXPECT_EQ(printable("abcdef", 3), "abc...");
    EXPECT_EQ(printable("abc", 3), "abc");
    EXPECT_EQ(printable(std::string(3000, 'x')).size(), 2003U);
}

TEST(PercentEncode, KeepsOnlyUnreservedCharacters)
{
    EXPECT_EQ(percent_encode("AZaz09-._~"), "AZaz09-._~");
    EXPECT_EQ(percent_encode("a/b?c=d&e f%+\n"), "a%2Fb%3Fc%3Dd%26e%20f%25%2B%0A");
    EXPECT_EQ(percent_encode("\xC3\xA9"), "%C3%A9");
}

TEST(PercentDecode, ReversesTheEncoding)
{
    std::mt19937 random{2};
    for (std::size_t size = 0; size < 100; ++size) {
        std::string bytes = random_bytes(random, size);
        for (char& c : bytes) c = c == '\0' ? '0' : c;
        std::string decoded;
        ASSERT_TRUE(percent_decode(percent_encode(bytes), decoded));
        ASSERT_EQ(decoded, bytes);
    }
}

TEST(PercentDecode, AcceptsLowerCaseDigitsAndLeavesPlusAlone)
{
    std::string decoded = "left over";
    ASSERT_TRUE(percent_decode("%2f+x", decoded));
    EXPECT_EQ(decoded, "/+x");
}

TEST(PercentDecode, RefusesMalformedEscapesAndNul)
{
    for (const char* const text :
         {"%", "%4", "a%4", "%4g", "%g4", "%%41", "%+1", "%-1", "% 1", "%0x41", "%00", "a%00b"}) {
        std::string decoded;
        EXPECT_FALSE(percent_decode(text, decoded)) << text;
    }
}

TEST(AppendUpTo, TakesWhatFitsAndTellsWhetherThatWasAll)
{
    std::string text = "ab";
    EXPECT_TRUE(append_up_to(text, "cd", 5));
    EXPECT_FALSE(append_up_to(text, "efg", 5));
    EXPECT_EQ(text, "abcde");
    EXPECT_FALSE(append_up_to(text, "h", 3));
    EXPECT_TRUE(append_up_to(text, "", 3));
    EXPECT_EQ(text, "abcde");
}

TEST(Sha256Hex, ComputesTheKnownVectors)
{
    EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace warmd
