#include "daemon/base/criu_image.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/unit/expect_error.h"

namespace warmd {
namespace {

using test::expect_error;

/// CRIU's image of a UTS namespace, as CRIU 4.2 writes it.
std::string utsns_image(const std::string& entry)
{
    return std::string("\x19\x43\x56\x54\x03\x12\x43\x54", 8) + static_cast<char>(entry.size()) + std::string(3, '\0') +
           entry;
}

TEST(RenameHost, ReplacesTheHostNameAndNothingElse)
{
    const std::string old = utsns_image("\x0A\x03old\x12\x06(none)");
    EXPECT_EQ(rename_host(old, "inst-1"), utsns_image("\x0A\x06inst-1\x12\x06(none)"));
    EXPECT_EQ(rename_host(utsns_image("\x12\x01x\x0A\x03old"), "n"), utsns_image("\x0A\x01n\x12\x01x"));
}

TEST(RenameHost, WritesLengthsOfMoreThanOneByte)
{
    const std::string name(200, 'n');
    const std::string renamed = rename_host(utsns_image("\x0A\x03old"), name);
    EXPECT_EQ(renamed.substr(8), std::string("\xCB\0\0\0\x0A\xC8\x01", 7) + name);
}

TEST(RenameHost, RefusesWhatIsNoSuchImage)
{
    for (const std::string& image :
         {std::string{}, std::string(11, 'x'), utsns_image("\x08\x01"), utsns_image("\x0A\x7F")}) {
        expect_error(ErrorCode::corrupt, [&image] { rename_host(image, "n"); });
    }
}

}  // namespace
}  // namespace warmd
