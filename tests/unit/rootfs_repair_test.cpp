#include "daemon/podman/rootfs_repair.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "daemon/base/unique_fd.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/expect_error.h"
#include "tests/unit/tar_archive.h"

namespace warmd::podman {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::expect_error;
using test::TarMember;
using test::write_file;

std::string drain(const SizedSource& source)
{
    std::string bytes;
    std::vector<char> buffer(777);
    while (const std::size_t count = source.read(buffer)) bytes.append(buffer.data(), count);
    return bytes;
}

/// `layer` stands for the overlay's upper directory.
class RootfsRepairTest : public ::testing::Test {
protected:
    RootfsRepairTest() { fs::create_directories(layer); }

    RootfsRepair collect(const std::vector<std::string>& modified, const std::vector<std::string>& deleted = {})
    {
        return collect_modified(modified, deleted, layer.string(), directory.path().string());
    }
    std::vector<TarMember> members(const std::vector<std::string>& modified,
                                   const std::vector<std::string>& deleted = {})
    {
        const RootfsRepair repair = collect(modified, deleted);
        const auto found = test::read_tar(drain(repair.entries) + std::string(1024, '\0'));
        EXPECT_EQ(repair.count, static_cast<std::int64_t>(found.size()));
        return found;
    }

    test::TempDir directory;
    const fs::path layer = directory / "layer";
};

TEST_F(RootfsRepairTest, CollectsAModifiedFileWithItsContentAndMode)
{
    write_file(layer / "etc/octaverc", "format long");
    fs::permissions(layer / "etc/octaverc", static_cast<fs::perms>(0640));
    const auto found = members({"/etc/octaverc"});
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0], (TarMember{.name = "etc/octaverc", .content = "format long", .mode = 0640}));
}

TEST_F(RootfsRepairTest, PutsADirectoryInThePlaceOfWhatTheImageHas)
{
    write_file(layer / "var/run/more/file", "new");
    write_file(layer / "gone", "not a directory");
    fs::permissions(layer / "var/run", static_cast<fs::perms>(0750));
    const std::vector<std::string> deleted{"/var/run/more", "/var/run", "/gone", "/missing", "/"};
    const auto found = members({"/var/run/more/file"}, deleted);
    ASSERT_EQ(found.size(), 5U);
    EXPECT_EQ(found[0], (TarMember{.name = "var/run", .mode = 0600}));  // removes what is there, a link as well
    EXPECT_EQ(found[1].name, "var/run/");
    EXPECT_EQ(found[1].type, static_cast<unsigned>(AE_IFDIR));
    EXPECT_EQ(found[1].mode, 0750U);
    EXPECT_EQ(found[2].name, "var/run/more");
    EXPECT_EQ(found[3].name, "var/run/more/");
    EXPECT_EQ(found[4].name, "var/run/more/file");
    EXPECT_EQ(collect({}, deleted).replaced, (std::vector<std::string>{"/var/run", "/var/run/more"}));
}

TEST_F(RootfsRepairTest, KeepsFilesOfEverySizeWhole)
{
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{511}, std::size_t{512}, std::size_t{513}, std::size_t{200'000}}) {
        write_file(layer / "file", std::string(size, 'x'));
        const auto found = members({"/file"});
        ASSERT_EQ(found.size(), 1U) << size;
        EXPECT_EQ(found[0].content, std::string(size, 'x')) << size;
    }
}

TEST_F(RootfsRepairTest, CollectsASymbolicLinkAsALink)
{
    fs::create_symlink("/etc/shadow", layer / "link");
    const auto found = members({"/link"});
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].type, AE_IFLNK);
    EXPECT_EQ(found[0].link, "/etc/shadow");
    EXPECT_EQ(found[0].content, "");
}

TEST_F(RootfsRepairTest, CollectsADirectoryWithItsModeAndWithoutItsEntries)
{
    write_file(layer / "var/cache/file", "x");
    ASSERT_EQ(::chmod((layer / "var/cache").c_str(), 01777), 0);
    const auto found = members({"/var/cache"});
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].type, AE_IFDIR);
    EXPECT_EQ(found[0].mode, 01777U);
    EXPECT_EQ(found[0].name, "var/cache/");
}

TEST_F(RootfsRepairTest, CollectsInTheOrderGiven)
{
    write_file(layer / "a/b", "1");
    write_file(layer / "c", "2");
    const auto found = members({"/c", "/a", "/a/b"});
    ASSERT_EQ(found.size(), 3U);
    EXPECT_EQ(found[0].name, "c");
    EXPECT_EQ(found[1].name, "a/");
    EXPECT_EQ(found[2].name, "a/b");
}

TEST_F(RootfsRepairTest, PassesOverWhatIsNotInTheLayer)
{
    write_file(layer / "file", "x");
    EXPECT_TRUE(members({"/missing", "/missing/below", "/file/below a file"}).empty());
    EXPECT_EQ(members({"/missing", "/file"}).size(), 1U);
}

TEST_F(RootfsRepairTest, PassesOverTheRootAndWhatIsNoAbsolutePath)
{
    write_file(layer / "file", "x");
    EXPECT_TRUE(members({"/", "", "file"}).empty());
}

TEST_F(RootfsRepairTest, DoesNotFollowALinkAmongTheAncestors)
{
    write_file(directory / "outside/secret", "the host's");
    fs::create_symlink(directory / "outside", layer / "absolute");
    fs::create_symlink("../outside", layer / "relative");
    fs::create_symlink("inside", layer / "within");
    write_file(layer / "inside/secret", "x");
    EXPECT_TRUE(members({"/absolute/secret", "/relative/secret", "/within/secret"}).empty());
}

TEST_F(RootfsRepairTest, DoesNotClimbOutOfTheLayer)
{
    write_file(directory / "secret", "the host's");
    std::string found;
    try {
        for (const TarMember& member : members({"/../secret"})) found += member.content;
    } catch (const Error&) {
        found.clear();
    }
    EXPECT_EQ(found, "");
}

TEST_F(RootfsRepairTest, WritesNoEndMark)
{
    write_file(layer / "file", std::string(512, 'x'));
    const RootfsRepair repair = collect({"/file"});
    const std::string bytes = drain(repair.entries);
    EXPECT_EQ(bytes.size(), repair.entries.size);
    EXPECT_EQ(bytes.size() % 512, 0U);
    EXPECT_TRUE(bytes.ends_with(std::string(512, 'x')));
    EXPECT_EQ(repair.count, 1);
}

TEST_F(RootfsRepairTest, CanStandInFrontOfAnotherArchive)
{
    write_file(layer / "file", "modified");
    const std::string diff = test::make_tar({{.name = "added", .content = "new"}});
    const auto found = test::read_tar(drain(collect({"/file"}).entries) + diff);
    ASSERT_EQ(found.size(), 2U);
    EXPECT_EQ(found[0].content, "modified");
    EXPECT_EQ(found[1].content, "new");
}

TEST_F(RootfsRepairTest, HasNothingWhereNothingIsModified)
{
    const RootfsRepair repair = collect_modified({}, {}, "/nonexistent", "/nonexistent");
    EXPECT_EQ(repair.count, 0);
    EXPECT_EQ(repair.entries.size, 0U);
}

TEST_F(RootfsRepairTest, HasNothingWhereNothingModifiedIsInTheLayer)
{
    const RootfsRepair repair = collect({"/missing"});
    EXPECT_EQ(repair.count, 0);
    EXPECT_EQ(repair.entries.size, 0U);
    EXPECT_EQ(drain(repair.entries), "");
}

TEST_F(RootfsRepairTest, KeepsNamesThatAreLongOrNotAscii)
{
    const std::string longest(255, 'n');
    const std::string accented = "caf\xC3\xA9";
    write_file(layer / longest, "1");
    write_file(layer / accented, "2");
    const std::string bytes = drain(collect({"/" + longest, "/" + accented}).entries);
    // As the bytes that they are: the reader is Go's, which knows no locale.
    EXPECT_TRUE(contains(bytes, longest));
    EXPECT_TRUE(contains(bytes, accented));
}

TEST_F(RootfsRepairTest, KeepsNamesThatAreNotUtf8)
{
    const std::string name = "latin-\xE9";
    write_file(layer / name, "content");
    const RootfsRepair repair = collect({"/" + name});
    EXPECT_EQ(repair.count, 1);
    EXPECT_TRUE(contains(drain(repair.entries), name));
}

TEST_F(RootfsRepairTest, KeepsExtendedAttributes)
{
    write_file(layer / "file", "x");
    if (::setxattr((layer / "file").c_str(), "user.note", "a\0b", 3, 0) != 0) {
        GTEST_SKIP() << "the file system of " << layer << " has no extended attributes: " << std::strerror(errno);
    }
    const auto found = members({"/file"});
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].attributes, (std::map<std::string, std::string>{{"user.note", std::string("a\0b", 3)}}));
}

TEST(KeepsChangesElsewhere, BelievesTheOptionsAndThenTheKernelsDefaults)
{
    const std::string plain = "rw,lowerdir=/l,upperdir=/u,workdir=/w";
    EXPECT_FALSE(keeps_changes_elsewhere(plain, false, false));
    EXPECT_FALSE(keeps_changes_elsewhere("", false, false));
    EXPECT_TRUE(keeps_changes_elsewhere(plain + ",metacopy=on", false, false));
    EXPECT_TRUE(keeps_changes_elsewhere(plain + ",redirect_dir=on,volatile", false, false));
    EXPECT_FALSE(keeps_changes_elsewhere(plain + ",redirect_dir=follow", false, true));
    EXPECT_TRUE(keeps_changes_elsewhere(plain, true, false));
    EXPECT_TRUE(keeps_changes_elsewhere(plain, false, true));
    EXPECT_FALSE(keeps_changes_elsewhere(plain + ",metacopy=off", true, false));
}

TEST_F(RootfsRepairTest, RefusesAFileWhoseContentIsInAnotherLayer)
{
    for (const char* const attribute : {"trusted.overlay.metacopy", "trusted.overlay.redirect"}) {
        write_file(layer / "file", "");
        if (::setxattr((layer / "file").c_str(), attribute, "y", 1, 0) != 0) {
            GTEST_SKIP() << "setting " << attribute << " needs root: " << std::strerror(errno);
        }
        const Error error = expect_error(ErrorCode::engine_failed, [this] { collect({"/file"}); });
        EXPECT_TRUE(contains(error.what(), "/file")) << error.what();
        EXPECT_TRUE(contains(error.cause(), attribute)) << error.cause();
        fs::remove(layer / "file");
    }
}

TEST_F(RootfsRepairTest, LeavesTheOverlaysOwnMarksBehind)
{
    fs::create_directory(layer / "directory");
    if (::setxattr((layer / "directory").c_str(), "trusted.overlay.opaque", "y", 1, 0) != 0) {
        GTEST_SKIP() << "setting trusted.overlay.opaque needs root: " << std::strerror(errno);
    }
    const auto found = members({"/directory"});
    ASSERT_EQ(found.size(), 1U);
    EXPECT_TRUE(found[0].attributes.empty());
}

TEST_F(RootfsRepairTest, PassesOverAWhiteout)
{
    if (::mknod((layer / "gone").c_str(), S_IFCHR, 0) != 0) {
        GTEST_SKIP() << "making a whiteout is not allowed here: " << std::strerror(errno);
    }
    EXPECT_TRUE(members({"/gone"}).empty());
}

TEST_F(RootfsRepairTest, CollectsAPipeWithoutWaitingForItsWriter)
{
    ASSERT_EQ(::mkfifo((layer / "pipe").c_str(), 0600), 0);
    const auto found = members({"/pipe"});
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].type, AE_IFIFO);
}

TEST_F(RootfsRepairTest, PassesOverASocket)
{
    // A tar archive cannot hold one, and Podman's own archive leaves sockets out.
    const UniqueFd socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = (layer / "socket").string();
    ASSERT_LT(path.size(), sizeof address.sun_path);
    path.copy(address.sun_path, path.size());
    ASSERT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    write_file(layer / "file", "x");
    EXPECT_EQ(members({"/socket", "/file"}).size(), 1U);
}

TEST_F(RootfsRepairTest, RefusesALayerThatIsNotThere)
{
    const Error error = expect_error(ErrorCode::internal, [this] {
        collect_modified({"/file"}, {}, (directory / "missing").string(), directory.path().string());
    });
    EXPECT_TRUE(contains(error.what(), "missing")) << error.what();
}

TEST_F(RootfsRepairTest, RefusesASpoolDirectoryThatIsNotThere)
{
    expect_error(ErrorCode::internal,
                 [this] { collect_modified({"/file"}, {}, layer.string(), (directory / "missing").string()); });
}

TEST_F(RootfsRepairTest, LeavesNoFileBehind)
{
    write_file(layer / "file", "x");
    drain(collect({"/file"}).entries);
    std::vector<fs::path> left;
    for (const auto& entry : fs::directory_iterator{directory.path()}) left.push_back(entry.path());
    EXPECT_EQ(left, std::vector<fs::path>{layer});
}

}  // namespace
}  // namespace warmd::podman
