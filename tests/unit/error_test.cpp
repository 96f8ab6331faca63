#include "daemon/base/error.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <set>
#include <string>

namespace warmd {
namespace {

constexpr int kCodes = static_cast<int>(ErrorCode::internal) + 1;

TEST(ErrorCode, EveryCodeHasAWordThatLeadsBackToIt)
{
    std::set<std::string_view> words;
    for (int i = 0; i < kCodes; ++i) {
        const auto code = static_cast<ErrorCode>(i);
        const auto word = to_string(code);
        EXPECT_NE(word, "unknown") << "code " << i;
        EXPECT_EQ(error_code_from_string(word), code) << word;
        words.insert(word);
    }
    EXPECT_EQ(words.size(), static_cast<std::size_t>(kCodes));
}

TEST(ErrorCode, UnknownWordsAreNoCode)
{
    EXPECT_FALSE(error_code_from_string("unknown"));
    EXPECT_FALSE(error_code_from_string(""));
    EXPECT_FALSE(error_code_from_string("Not_Found"));
}

TEST(Error, CarriesItsPartsApart)
{
    const Error error =
        Error{ErrorCode::conflict, "it is taken"}.with_hint("take another").with_field("name").with_cause("EEXIST");
    EXPECT_EQ(error.code(), ErrorCode::conflict);
    EXPECT_STREQ(error.what(), "it is taken");
    EXPECT_EQ(error.hint(), "take another");
    EXPECT_EQ(error.field(), "name");
    EXPECT_EQ(error.cause(), "EEXIST");
}

TEST(Error, HasEmptyPartsUntilTheyAreGiven)
{
    const Error error{ErrorCode::internal, "words"};
    EXPECT_TRUE(error.hint().empty());
    EXPECT_TRUE(error.field().empty());
    EXPECT_TRUE(error.cause().empty());
}

TEST(Error, KeepsItsPartsWhenCopied)
{
    const Error original = Error{ErrorCode::timeout, "too slow"}.with_hint("wait").with_cause("5 s");
    const Error copy{original};
    EXPECT_EQ(copy.code(), ErrorCode::timeout);
    EXPECT_STREQ(copy.what(), "too slow");
    EXPECT_EQ(copy.hint(), "wait");
    EXPECT_EQ(copy.cause(), "5 s");
}

TEST(SystemError, AFullDiskOrQuotaIsNoSpaceWhateverTheFallback)
{
    EXPECT_EQ(system_error("write", ENOSPC, ErrorCode::corrupt).code(), ErrorCode::no_space);
    EXPECT_EQ(system_error("write", EDQUOT).code(), ErrorCode::no_space);
}

TEST(SystemError, AnythingElseIsTheFallback)
{
    EXPECT_EQ(system_error("open", ENOENT).code(), ErrorCode::internal);
    EXPECT_EQ(system_error("open", ENOENT, ErrorCode::corrupt).code(), ErrorCode::corrupt);
}

TEST(SystemError, SaysWhatWasAttemptedAndWhyItFailed)
{
    EXPECT_STREQ(system_error("open /nowhere", ENOENT).what(), "open /nowhere: No such file or directory");
}

}  // namespace
}  // namespace warmd
