#include "daemon/store/unpacked_images.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <string>
#include <vector>

#include "daemon/base/sha256.h"
#include "tests/support/raw_tar.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/expect_error.h"
#include "tests/unit/tar_archive.h"

namespace warmd {
namespace {

namespace fs = std::filesystem;
using test::expect_error;
using test::read_file;
using test::TarMember;
using test::write_file;

const std::string kUtsMagic("\x19\x43\x56\x54\x03\x12\x43\x54", 8);

std::vector<TarMember> linked_tarball(const UnpackedImages::Hold& hold)
{
    return test::read_tar(read_file("/proc/self/fd/" + std::to_string(hold.linked_tarball().get())));
}

std::string tarball_with(const std::string& pages)
{
    return test::make_tar(
        {{.name = "config.dump", .content = "{}"},
         {.name = "checkpoint/", .type = AE_IFDIR, .mode = 0700},
         {.name = "checkpoint/inventory.img", .content = "inventory"},
         {.name = "checkpoint/pages-1.img", .content = pages},
         {.name = "checkpoint/utsns-11.img", .content = kUtsMagic + std::string("\x03\0\0\0\x0A\x01h", 7)},
         {.name = "rootfs-diff.tar", .content = "changes"}});
}

TEST(ImageUnpacker, AMemberWithoutANameIsDamage)
{
    // libarchive takes a file whose name ends in a slash for a directory, and then its content for a header.
    const std::string tarball = test::RawTar{}.add("a/", "content").add("checkpoint/inventory.img", "x").end();
    const test::TempDir directory;
    std::size_t at = 0;
    expect_error(ErrorCode::corrupt, [&] {
        unpack_images(
            [&](std::span<char> buffer) {
                const std::size_t count = tarball.copy(buffer.data(), buffer.size(), at);
                at += count;
                return count;
            },
            directory.path());
    });
}

class UnpackedImagesTest : public ::testing::Test {
protected:
    UnpackedImagesTest()
    {
        fs::create_directory(directory / "unpacked");
        fs::create_directory(directory / "tmp");
    }

    void unpack(const CheckpointId& which, const std::string& bytes, const std::string& sha256)
    {
        std::size_t at = 0;
        images.unpack(which, sha256, [&](std::span<char> buffer) {
            const std::size_t count = bytes.copy(buffer.data(), std::min<std::size_t>(buffer.size(), 1000), at);
            at += count;
            return count;
        });
    }
    void unpack(const CheckpointId& which) { unpack(which, tarball, sum); }
    [[nodiscard]] bool scratch_is_empty() const { return fs::is_empty(directory / "tmp"); }
    [[nodiscard]] fs::path pages() const { return directory / "unpacked/ckpt-1/checkpoint/pages-1.img"; }

    test::TempDir directory;
    UnpackedImages images{directory / "unpacked", directory / "tmp"};
    const CheckpointId id{"ckpt-1"};
    const std::string tarball = tarball_with(std::string(300'000, 'p'));
    const std::string sum = sha256_hex(tarball);
};

TEST_F(UnpackedImagesTest, TheLinkedTarballIsTheTarballWithALinkForItsImages)
{
    unpack(id);
    {
        const auto hold = images.open(id, sum, "inst-1");
        ASSERT_TRUE(hold);
        const auto members = linked_tarball(*hold);
        ASSERT_EQ(members.size(), 3U);
        EXPECT_EQ(members[0].name, "checkpoint");
        EXPECT_EQ(members[1].content, "{}");
        EXPECT_EQ(members[2].content, "changes");
        // Without a second copy; and CRIU must find all of them through one link.
        EXPECT_TRUE(fs::equivalent(fs::path{members[0].link} / "pages-1.img", pages()));
        EXPECT_EQ(read_file(fs::path{members[0].link} / "inventory.img"), "inventory");
        EXPECT_EQ(read_file(pages()), std::string(300'000, 'p'));
    }
    EXPECT_TRUE(scratch_is_empty());
    EXPECT_EQ(read_file(pages()), std::string(300'000, 'p'));
}

TEST_F(UnpackedImagesTest, EachContainerHasAHostNameOfItsOwn)
{
    unpack(id);
    const auto first = images.open(id, sum, "inst-1");
    const auto second = images.open(id, sum, "inst-2");
    const auto same = images.open(id, sum, {});
    ASSERT_TRUE(first && second && same);
    const auto host_image = [](const UnpackedImages::Hold& hold) {
        return read_file(fs::path{linked_tarball(hold).front().link} / "utsns-11.img");
    };
    EXPECT_EQ(host_image(*first), kUtsMagic + std::string("\x08\0\0\0\x0A\x06inst-1", 12));
    EXPECT_EQ(host_image(*second), kUtsMagic + std::string("\x08\0\0\0\x0A\x06inst-2", 12));
    EXPECT_EQ(host_image(*same), kUtsMagic + std::string("\x03\0\0\0\x0A\x01h", 7));
}

TEST_F(UnpackedImagesTest, ImagesWithoutAReadableHostNameAreNotLinked)
{
    const std::string odd = test::make_tar({{.name = "checkpoint/utsns-1.img", .content = "?"}});
    unpack(id, odd, sha256_hex(odd));
    EXPECT_FALSE(images.open(id, sha256_hex(odd), "inst-1"));
    EXPECT_TRUE(scratch_is_empty());
}

TEST_F(UnpackedImagesTest, AStreamIsUnpackedWhileItPasses)
{
    const auto staged = images.stage(id);
    for (std::size_t at = 0; at < tarball.size(); at += 777) staged->write(tarball.substr(at, 777));
    EXPECT_TRUE(staged->publish(sum));
    EXPECT_TRUE(images.open(id, sum, {}));
    EXPECT_EQ(read_file(pages()).size(), 300'000U);
}

TEST_F(UnpackedImagesTest, AStreamThatIsNoTarballLeavesNothing)
{
    {
        const auto staged = images.stage(id);
        for (int i = 0; i < 1000; ++i) staged->write(std::string(10'000, 'x'));
        EXPECT_FALSE(staged->publish(sum));
    }
    EXPECT_FALSE(images.open(id, sum, {}));
    EXPECT_TRUE(scratch_is_empty());
}

TEST_F(UnpackedImagesTest, AStreamThatIsGivenUpLeavesNothing)
{
    images.stage(id)->write(tarball.substr(0, 100'000));
    EXPECT_TRUE(scratch_is_empty());
    EXPECT_FALSE(images.open(id, sum, {}));
}

TEST_F(UnpackedImagesTest, OnlyThoseOfTheSameTarballAreOpened)
{
    unpack(id);
    EXPECT_FALSE(images.open(id, std::string(64, '0'), {}));
    EXPECT_FALSE(images.open(CheckpointId{"ckpt-2"}, sum, {}));
    EXPECT_TRUE(images.open(id, sum, {}));
}

TEST_F(UnpackedImagesTest, OnesThatSomebodyTouchedAreNotOpenedAndMadeAnew)
{
    unpack(id);
    ASSERT_EQ(::chmod(pages().c_str(), 0600), 0);
    EXPECT_FALSE(images.open(id, sum, {}));
    unpack(id);
    EXPECT_TRUE(images.open(id, sum, {}));
    write_file(directory / "unpacked/ckpt-1/checkpoint/more.img", "");
    EXPECT_FALSE(images.open(id, sum, {}));
}

TEST_F(UnpackedImagesTest, OnesOfAnotherBootAreNotOpened)
{
    unpack(id);
    const fs::path manifest = directory / "unpacked/ckpt-1/manifest.json";
    std::string text = read_file(manifest);
    const std::size_t at = text.find("\"boot\":\"") + 8;
    text[at] = text[at] == '0' ? '1' : '0';
    write_file(manifest, text);
    EXPECT_FALSE(images.open(id, sum, {}));
    write_file(manifest, "{");
    EXPECT_FALSE(images.open(id, sum, {}));
}

TEST_F(UnpackedImagesTest, OnesOfAnotherBootAreTakenWhenTheirSumsAreRight)
{
    unpack(id);
    const fs::path manifest = directory / "unpacked/ckpt-1/manifest.json";
    const auto of_another_boot = [&] {
        std::string text = read_file(manifest);
        const std::size_t at = text.find("\"boot\":\"") + 8;
        text[at] = text[at] == '0' ? '1' : '0';
        write_file(manifest, text);
    };
    of_another_boot();
    const auto unread = [](std::span<char>) -> std::size_t { throw Error{ErrorCode::internal, "it was read"}; };
    images.unpack(id, sum, unread);
    EXPECT_TRUE(images.open(id, sum, {}));
    of_another_boot();
    ASSERT_EQ(::chmod(pages().c_str(), 0600), 0);
    write_file(pages(), std::string(299'999, 'p') + "q");
    expect_error(ErrorCode::internal, [&] { images.unpack(id, sum, unread); });
    unpack(id);
    EXPECT_EQ(read_file(pages()), std::string(300'000, 'p'));
}

TEST_F(UnpackedImagesTest, LinksThatOthersMakeShow)
{
    unpack(id);
    fs::create_hard_link(pages(), directory / "link");
    EXPECT_FALSE(images.open(id, sum, {}));
}

TEST_F(UnpackedImagesTest, HoldsThatEndInAnyOrderLeaveThemAsTheyWere)
{
    unpack(id);
    auto first = images.open(id, sum, "inst-1");
    auto second = images.open(id, sum, "inst-2");
    ASSERT_TRUE(first && second);
    first.reset();
    EXPECT_TRUE(images.open(id, sum, "inst-3"));
    second.reset();
    EXPECT_TRUE(images.open(id, sum, {}));
}

TEST_F(UnpackedImagesTest, ACheckReadsThemAndDropsDamagedOnes)
{
    using Check = UnpackedImages::Check;
    EXPECT_EQ(images.check(id, sum), Check::none);
    unpack(id);
    std::uint64_t read = 0;
    EXPECT_EQ(images.check(id, sum, [&read](std::uint64_t bytes) { read += bytes; }), Check::intact);
    EXPECT_GT(read, 300'000U);
    EXPECT_EQ(images.check(id, std::string(64, '0')), Check::dropped);
    EXPECT_EQ(images.check(id, sum), Check::none);
    unpack(id);
    expect_error(ErrorCode::cancelled, [&] {
        images.check(id, sum, [](std::uint64_t) { throw Error{ErrorCode::cancelled, "enough"}; });
    });
    EXPECT_TRUE(images.open(id, sum, {}));
}

TEST_F(UnpackedImagesTest, ATarballOfAnotherSumIsCorruptAndLeavesNothing)
{
    expect_error(ErrorCode::corrupt, [&] { unpack(id, tarball_with("other"), sum); });
    EXPECT_FALSE(images.open(id, sum, {}));
    EXPECT_TRUE(scratch_is_empty());
}

TEST_F(UnpackedImagesTest, OnlyPlainFilesInOneDirectoryCanBeLinked)
{
    for (const TarMember& odd : {TarMember{.name = "checkpoint/deep/pages-1.img", .content = "p"},
                                 TarMember{.name = "checkpoint/..", .content = "p"},
                                 TarMember{.name = "checkpoint/link", .type = AE_IFLNK, .link = "/etc/shadow"},
                                 TarMember{.name = "config.dump", .content = "{}"}}) {
        const std::string bytes = test::make_tar({odd});
        expect_error(ErrorCode::unsupported_media, [&] { unpack(id, bytes, sha256_hex(bytes)); });
        EXPECT_TRUE(scratch_is_empty()) << odd.name;
    }
}

TEST_F(UnpackedImagesTest, ThoseUsedLongestAgoAreDroppedFirstAndHeldOnesNever)
{
    for (const char* const name : {"ckpt-1", "ckpt-2", "ckpt-3"}) unpack(CheckpointId{name});
    const auto hold = images.open(id, sum, {});
    images.open(CheckpointId{"ckpt-2"}, sum, {});
    EXPECT_TRUE(images.drop_oldest());
    EXPECT_FALSE(images.open(CheckpointId{"ckpt-3"}, sum, {}));
    EXPECT_TRUE(images.drop_oldest());
    EXPECT_FALSE(images.open(CheckpointId{"ckpt-2"}, sum, {}));
    EXPECT_FALSE(images.drop_oldest());
    EXPECT_TRUE(images.open(id, sum, {}));
}

TEST_F(UnpackedImagesTest, KeepsOnlyWhatIsWanted)
{
    for (const char* const name : {"ckpt-1", "ckpt-2"}) unpack(CheckpointId{name});
    images.keep_only([this](const CheckpointId& which) { return which == id; });
    EXPECT_TRUE(images.open(id, sum, {}));
    EXPECT_FALSE(fs::exists(directory / "unpacked/ckpt-2"));
    images.drop(id);
    images.drop(id);
    EXPECT_FALSE(images.open(id, sum, {}));
}

}  // namespace
}  // namespace warmd
