#include "daemon/base/id.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <set>
#include <sstream>
#include <string>

namespace warmd {
namespace {

/// The time that the first nine characters after the prefix stand for, in milliseconds since 1970.
std::int64_t time_in(const std::string& id, std::string_view prefix)
{
    constexpr std::string_view kDigits = "0123456789abcdefghjkmnpqrstvwxyz";
    std::int64_t time = 0;
    for (const char c : id.substr(prefix.size(), 9)) time = time * 32 + static_cast<std::int64_t>(kDigits.find(c));
    return time;
}

std::int64_t milliseconds_now()
{
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

TEST(Id, OfOneKindComparesByItsText)
{
    EXPECT_EQ(InstanceId{"a"}, InstanceId{"a"});
    EXPECT_NE(InstanceId{"a"}, InstanceId{"b"});
    EXPECT_LT(InstanceId{"a"}, InstanceId{"b"});
    EXPECT_TRUE(InstanceId{}.empty());
    EXPECT_FALSE(InstanceId{"a"}.empty());
}

TEST(Id, PrintsItsText)
{
    std::ostringstream out;
    out << CheckpointId{"ckpt-1"};
    EXPECT_EQ(out.str(), "ckpt-1");
}

TEST(NewId, IsAValidNameWithItsPrefixAndSixteenCharacters)
{
    for (const auto prefix : {kInstancePrefix, kCheckpointPrefix, kOperationPrefix}) {
        const std::string id = new_id(prefix);
        EXPECT_TRUE(id.starts_with(prefix)) << id;
        EXPECT_EQ(id.size(), prefix.size() + 16) << id;
        EXPECT_TRUE(is_valid_name(id)) << id;
    }
}

TEST(NewId, UsesNoLetterThatIsMistakenForAnother)
{
    for (int i = 0; i < 200; ++i) {
        const std::string id = new_id("");
        EXPECT_EQ(id.find_first_of("ilou"), std::string::npos) << id;
    }
}

TEST(NewId, DoesNotRepeat)
{
    std::set<std::string> ids;
    for (int i = 0; i < 2000; ++i) ids.insert(new_id(kOperationPrefix));
    EXPECT_EQ(ids.size(), 2000U);
}

TEST(NewId, SortsByAge)
{
    const auto before = milliseconds_now();
    const std::string id = new_id(kOperationPrefix);
    const auto after = milliseconds_now();
    EXPECT_GE(time_in(id, kOperationPrefix), before);
    EXPECT_LE(time_in(id, kOperationPrefix), after);
}

TEST(RandomHex, HasTheDigitsAskedFor)
{
    for (const int digits : {0, 1, 16, 64}) {
        const std::string text = random_hex(digits);
        EXPECT_EQ(text.size(), static_cast<std::size_t>(digits));
        EXPECT_TRUE(std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isxdigit(c) != 0; }))
            << text;
    }
    EXPECT_NE(random_hex(64), random_hex(64));
}

TEST(IsValidName, AcceptsLowerCaseLettersDigitsAndInnerPunctuation)
{
    for (const char* const name : {"a", "0", "octave", "octave-6.4_cli", "a-", "a.", "inst-0123456789abcdef"}) {
        EXPECT_TRUE(is_valid_name(name)) << name;
    }
}

TEST(IsValidName, RefusesWhatCouldClimbOrSurpriseAShell)
{
    for (const char* const name : {"", ".", "..", "-a", "_a", "A", "aB", "a/b", "a b", "a\n", "\xC3\xA9", "a%2e"}) {
        EXPECT_FALSE(is_valid_name(name)) << name;
    }
    EXPECT_FALSE(is_valid_name(std::string_view{"a\0b", 3}));
}

TEST(IsValidName, EndsAtSixtyThreeCharacters)
{
    EXPECT_TRUE(is_valid_name(std::string(63, 'a')));
    EXPECT_FALSE(is_valid_name(std::string(64, 'a')));
}

}  // namespace
}  // namespace warmd
