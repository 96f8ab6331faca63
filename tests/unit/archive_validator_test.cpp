#include "daemon/store/archive_validator.h"

#include <gtest/gtest.h>

#include <functional>
#include <iterator>
#include <ostream>
#include <string>
#include <vector>

#include "tests/support/raw_tar.h"
#include "tests/unit/expect_error.h"
#include "tests/unit/tar_archive.h"

namespace warmd {
namespace {

using test::contains;
using test::expect_error;
using test::RawTar;

/// What every checkpoint has; a test's own members come after it.
RawTar minimal()
{
    return RawTar{}
        .directory("artifacts/")
        .add("config.dump", R"({"id": "1", "name": "warmd-a"})")
        .add("spec.dump", R"({"ociVersion": "1.0.0"})")
        .add("network.status", "null")
        .directory("checkpoint/")
        .add("checkpoint/inventory.img", "images")
        .add("checkpoint/pages-1.img", std::string(3000, 'p'));
}

void look_at(const std::string& tarball, ArchiveOrigin origin = ArchiveOrigin::own, const ArchiveLimits& limits = {},
             std::size_t piece = 700)
{
    ArchiveValidator validator{origin, limits};
    for (std::size_t at = 0; at < tarball.size(); at += piece) {
        validator.write(std::string_view{tarball}.substr(at, piece));
    }
    validator.finish();
}

std::string with_rootfs(const RawTar& changes) { return minimal().add("rootfs-diff.tar", changes.end()).end(); }

/// One hostile tarball, and what the refusal says.
struct Hostile {
    const char* name;
    std::function<std::string()> make;
    const char* says;
};
void PrintTo(const Hostile& one, std::ostream* out) { *out << one.name; }

class HostileArchive : public ::testing::TestWithParam<Hostile> {};

TEST_P(HostileArchive, IsRefused)
{
    const std::string tarball = GetParam().make();
    for (const ArchiveOrigin origin : {ArchiveOrigin::own, ArchiveOrigin::foreign}) {
        for (const std::size_t piece : {std::size_t{1} << 20U, std::size_t{511}}) {
            const Error error = expect_error(ErrorCode::invalid_archive, [&] { look_at(tarball, origin, {}, piece); });
            EXPECT_TRUE(contains(error.what(), GetParam().says)) << error.what();
        }
    }
}

const Hostile kHostile[] = {
    // Names of the tarball's own members.
    {"AbsoluteName", [] { return minimal().add("/etc/passwd", "x").end(); }, "/etc/passwd is absolute"},
    {"ParentName", [] { return minimal().add("../evil", "x").end(); }, "../evil has .. in it"},
    {"ParentInTheMiddle", [] { return minimal().add("checkpoint/../../evil.img", "x").end(); }, "has .. in it"},
    {"ParentInPaxPath", [] { return minimal().pax({"path=../evil"}).add("checkpoint/a.img", "x").end(); }, ".. in it"},
    {"ParentInPrefix",
     [] {
         return minimal()
             .add({.name = "evil", .twist = [](std::string& block) { RawTar::put(block, tar::kPrefix, "../.."); }})
             .end();
     },
     "has .. in it"},
    {"UnknownMember", [] { return minimal().add("evil.sh", "x").end(); }, "evil.sh is no part of a checkpoint"},
    {"UnknownDirectory", [] { return minimal().directory("evil/").end(); }, "evil is no part of a checkpoint"},
    {"DirectoryBelowTheImages", [] { return minimal().directory("checkpoint/more/").end(); }, "is no part"},
    {"HiddenImage", [] { return minimal().add("checkpoint/.evil.img", "x").end(); }, "is no part of a checkpoint"},
    {"OptionAsImage", [] { return minimal().add("checkpoint/--evil.img", "x").end(); }, "is no part of a checkpoint"},
    {"PodDump", [] { return minimal().add("pod.dump", "{}").end(); }, "pod.dump is no part of a checkpoint"},
    {"ControlCharacters", [] { return minimal().add("\x1b[2J\n", "x").end(); }, "\\x1b[2J\\x0a"},
    // Types of the tarball's own members.
    {"LinkedImages", [] { return RawTar{}.link("checkpoint", "/etc").end(); }, "checkpoint is neither a file nor"},
    {"LinkedConfig", [] { return RawTar{}.link("config.dump", "/etc/shadow").end(); }, "config.dump is neither"},
    {"HardLink", [] { return minimal().add({.name = "checkpoint/a.img", .type = '1', .link = "config.dump"}).end(); },
     "neither a file nor a directory"},
    {"Device", [] { return minimal().add({.name = "checkpoint/a.img", .type = '4'}).end(); }, "neither a file nor"},
    {"Fifo", [] { return minimal().add({.name = "checkpoint/a.img", .type = '6'}).end(); }, "neither a file nor"},
    {"DirectoryAsDocument", [] { return RawTar{}.directory("config.dump").end(); }, "config.dump is no part"},
    // Twice.
    {"SecondConfig", [] { return minimal().add("config.dump", "{}").end(); }, "config.dump comes twice"},
    {"SecondConfigInOtherWords", [] { return minimal().add("./config.dump", "{}").end(); }, "comes twice"},
    {"SecondImages", [] { return minimal().add("checkpoint/inventory.img", "x").end(); }, "comes twice"},
    // Headers that readers take for different things.
    {"GnuLongName",
     [] { return minimal().add({.name = "././@LongLink", .content = "evil", .type = 'L'}).add("a", "").end(); },
     "type 'L'"},
    {"GlobalPaxHeader", [] { return minimal().add({.name = "g", .content = "10 path=a\n", .type = 'g'}).end(); },
     "type 'g'"},
    {"SparseFile", [] { return minimal().add({.name = "checkpoint/a.img", .type = 'S'}).end(); }, "type 'S'"},
    {"OldStyleFile", [] { return minimal().add({.name = "checkpoint/a.img", .type = '\0'}).end(); }, "type '\\x00'"},
    {"SparseInPax", [] { return minimal().pax({"GNU.sparse.name=../evil"}).add("checkpoint/a.img", "x").end(); },
     "GNU.sparse.name is none of those allowed"},
    {"PaxPathTwice",
     [] {
         return minimal().pax({"path=checkpoint/a.img", "path=../evil"}).add("checkpoint/b.img", "x").end();
     },
     "path comes twice"},
    {"PaxAfterPax", [] { return minimal().pax({"path=a"}).pax({"path=b"}).add("c", "").end(); }, "follows another"},
    {"PaxForNothing", [] { return minimal().pax({"path=a"}).end(); }, "describes nothing"},
    {"PaxPathWithNul",
     [] { return minimal().pax({std::string("path=checkpoint/a.img\0/../..", 27)}).add("a", "").end(); },
     "has a NUL in it"},
    {"PaxSizeDiffers", [] { return minimal().pax({"size=1024"}).add("checkpoint/a.img", "x").end(); }, "differ"},
    {"FileThatEndsInASlash", [] { return minimal().add("checkpoint/a.img/", "x").end(); }, "is no directory"},
    {"SizeOfALink",
     [] { return minimal().add({.name = "a", .content = std::string(512, 'x'), .type = '2', .link = "b"}).end(); },
     "is not a file has a size"},
    {"NegativeSize",
     [] {
         return minimal()
             .add({.name = "checkpoint/a.img",
                   .twist = [](std::string& block) { RawTar::put(block, tar::kSize, std::string(12, '\xff')); }})
             .end();
     },
     "a size is no number"},
    {"HugeSize",
     [] {
         return minimal()
             .add({.name = "checkpoint/a.img",
                   .twist =
                       [](std::string& block) {
                           RawTar::put(block, tar::kSize, "\x80\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f");
                       }})
             .end();
     },
     "a size is out of range"},
    {"ModeThatIsNoNumber",
     [] {
         return minimal()
             .add({.name = "checkpoint/a.img",
                   .twist =
                       [](std::string& block) {
                           RawTar::put(block, tar::kMode,
                                       "00\xd0\xc9"
                                       "644");
                       }})
             .end();
     },
     "something else where a number should be"},
    {"WrongChecksum",
     [] {
         std::string tarball = minimal().end();
         tarball[3] ^= 1;
         return tarball;
     },
     "checksum is wrong"},
    {"SomethingAfterTheEnd", [] { return minimal().end() + minimal().add("evil", "x").end(); }, "follows the end"},
    {"Truncated", [] { return minimal().bytes().substr(0, 5000); }, "ends too early"},
    {"NoEnd", [] { return minimal().bytes(); }, "ends too early"},
    {"Empty", [] { return std::string{}; }, "ends too early"},
    {"Gzip", [] { return "\x1f\x8b\x08" + std::string(600, '\0'); }, "compressed with gzip"},
    {"Zstd", [] { return "\x28\xb5\x2f\xfd" + std::string(600, '\0'); }, "compressed with zstd"},
    {"NoTar", [] { return std::string(2000, 'x'); }, "no POSIX tar archive"},
    // Documents.
    {"NoConfig", [] { return RawTar{}.add("spec.dump", "{}").add("checkpoint/inventory.img", "x").end(); },
     "has no config.dump"},
    {"NoImages", [] { return RawTar{}.add("config.dump", "{}").add("spec.dump", "{}").end(); },
     "has no checkpoint/inventory.img"},
    {"ConfigIsAList",
     [] { return RawTar{}.add("config.dump", "[]").add("spec.dump", "{}").add("checkpoint/inventory.img", "x").end(); },
     "config.dump: it is no JSON object"},
    {"SpecIsNoJson",
     [] { return RawTar{}.add("config.dump", "{}").add("spec.dump", "{").add("checkpoint/inventory.img", "x").end(); },
     "spec.dump: malformed JSON"},
    {"DeepSpec",
     [] {
         return RawTar{}
             .add("config.dump", "{}")
             .add("spec.dump", R"({"a":)" + std::string(100'000, '[') + std::string(100'000, ']') + "}")
             .add("checkpoint/inventory.img", "x")
             .end();
     },
     "nested deeper"},
    {"HugeConfig", [] { return RawTar{}.add("config.dump", std::string((4U << 20U) + 1, ' ')).end(); }, "too large"},
    // Podman #27977: the proof of concept's very list.
    {"DeletedFilesOfPodman27977",
     [] { return minimal().add("deleted.files", R"(["../../../../../../../tmp/victim_file.txt"])").end(); },
     "deleted.files: ../../../../../../../tmp/victim_file.txt is not an absolute path"},
    {"DeletedParent", [] { return minimal().add("deleted.files", R"(["/a/../../etc/passwd"])").end(); }, ".. in it"},
    {"DeletedRoot", [] { return minimal().add("deleted.files", R"(["/"])").end(); }, "is empty"},
    {"DeletedNumber", [] { return minimal().add("deleted.files", "[1]").end(); }, "other than a path"},
    {"DeletedObject", [] { return minimal().add("deleted.files", "{}").end(); }, "no JSON array"},
    {"DeletedThroughALink",
     [] {
         return minimal()
             .add("deleted.files", R"(["/app/x/passwd"])")
             .add("rootfs-diff.tar", RawTar{}.link("app/x", "/etc").end())
             .end();
     },
     "deleted.files: /app/x/passwd leads through the symbolic link app/x"},
    // What Podman exports when the container has put a directory where the image has a link to /run: on restore, before
    // anything is deleted, the file is unpacked into the host's /run.
    {"FileThroughALinkOfTheImage",
     [] {
         return minimal()
             .add("rootfs-diff.tar", RawTar{}.add("var/run/evil", "x").end())
             .add("deleted.files", R"(["/var/run"])")
             .end();
     },
     "deleted.files: /var/run is deleted, and rootfs-diff.tar has something in it"},
    // Changes to the root file system.
    {"RootfsAbsolute", [] { return with_rootfs(RawTar{}.add("/etc/passwd", "x")); }, "rootfs-diff.tar: the name /etc"},
    {"RootfsParent", [] { return with_rootfs(RawTar{}.add("a/../../b", "x")); }, "has .. in it"},
    {"RootfsThroughALink", [] { return with_rootfs(RawTar{}.link("app/x", "/etc").add("app/x/cron.d/evil", "x")); },
     "app/x/cron.d/evil leads through the symbolic link app/x"},
    {"RootfsThroughALinkThatIsReplaced",
     [] { return with_rootfs(RawTar{}.link("x", "/etc").directory("x/").add("x/evil", "x")); },
     "x is a symbolic link first and something else later"},
    {"RootfsFileThatBecomesALink", [] { return with_rootfs(RawTar{}.add("x", "x").link("x", "/etc/shadow")); },
     "x is a file first and a symbolic link later"},
    {"RootfsHardLinkOutside",
     [] { return with_rootfs(RawTar{}.add({.name = "a", .type = '1', .link = "../../etc/shadow"})); }, "has .. in it"},
    {"RootfsHardLinkAbsolute",
     [] { return with_rootfs(RawTar{}.add({.name = "a", .type = '1', .link = "/etc/shadow"})); }, "is absolute"},
    {"RootfsHardLinkThroughALink",
     [] { return with_rootfs(RawTar{}.link("x", "/etc").add({.name = "a", .type = '1', .link = "x/shadow"})); },
     "is no file of this archive"},
    {"RootfsHardLinkToTheImage",
     [] { return with_rootfs(RawTar{}.add({.name = "a", .type = '1', .link = "var/run/shadow"})); },
     "is no file of this archive"},
    {"RootfsDevice", [] { return with_rootfs(RawTar{}.add({.name = "sda", .type = '4'})); }, "sda is a device"},
    {"RootfsCharacterDevice", [] { return with_rootfs(RawTar{}.add({.name = "mem", .type = '3'})); }, "is a device"},
    {"RootfsTruncated", [] { return minimal().add("rootfs-diff.tar", RawTar{}.add("a", "x").bytes()).end(); },
     "rootfs-diff.tar: it ends too early"},
    {"RootfsCompressed", [] { return minimal().add("rootfs-diff.tar", "\x1f\x8b" + std::string(510, 'x')).end(); },
     "rootfs-diff.tar: it is compressed with gzip"},
    {"SharedMemoryParent",
     [] { return minimal().add("devshm-checkpoint.tar", RawTar{}.add("../evil", "x").end()).end(); },
     "devshm-checkpoint.tar: the name ../evil"},
};

INSTANTIATE_TEST_SUITE_P(Corpus, HostileArchive, ::testing::ValuesIn(kHostile),
                         [](const auto& one) { return std::string{one.param.name}; });

TEST(ArchiveValidator, AcceptsAMinimalCheckpoint)
{
    for (const ArchiveOrigin origin : {ArchiveOrigin::own, ArchiveOrigin::foreign}) {
        EXPECT_NO_THROW(look_at(minimal().end(), origin));
        EXPECT_NO_THROW(look_at(minimal().end(), origin, {}, 1));
    }
}

TEST(ArchiveValidator, AcceptsWhatPodmanExports)
{
    const std::string shared = RawTar{}.directory("./").add("sem.a", "x").end();
    const std::string changes = RawTar{}
                                    .directory("app/")
                                    .add("app/data", "x")
                                    .add({.name = "app/same", .type = '1', .link = "app/data"})
                                    .link("app/up", "../../usr/bin")
                                    .link("app/absolute", "/usr/bin")
                                    .add({.name = "app/pipe", .type = '6'})
                                    .add("app/.wh.removed", "")
                                    .pax({"path=app/" + std::string(200, 'n'), "SCHILY.xattr.user.a=b"})
                                    .add("app/short", "y")
                                    .end();
    const std::string tarball = minimal()
                                    .add("devshm-checkpoint.tar", shared)
                                    .add("stats-dump", "xx")
                                    .add("ctr.log", "words\n")
                                    .add("checkpoint/descriptors.json", "[]")
                                    .add("checkpoint/tmpfs-dev-53.tar.gz.img", "x")
                                    .add("rootfs-diff.tar", changes)
                                    .add("deleted.files", R"(["/usr/share/doc", "/etc/motd"])")
                                    .end();
    for (const ArchiveOrigin origin : {ArchiveOrigin::own, ArchiveOrigin::foreign}) {
        EXPECT_NO_THROW(look_at(tarball, origin));
    }
}

TEST(ArchiveValidator, AcceptsAChangedFileTwice)
{
    // warmd puts changed files in front of those that Podman has recorded.
    EXPECT_NO_THROW(look_at(with_rootfs(RawTar{}.add("etc/passwd", "x").add("etc/passwd", "x"))));
    EXPECT_NO_THROW(look_at(with_rootfs(RawTar{}.link("a", "b").link("a", "b"))));
}

TEST(ArchiveValidator, AcceptsADirectoryInThePlaceOfSomethingElse)
{
    const RawTar changes = RawTar{}.add("var/run", "").directory("var/run/").add("var/run/mine", "x");
    EXPECT_NO_THROW(look_at(minimal().add("rootfs-diff.tar", changes.end()).add("deleted.files", "[]").end()));
}

TEST(ArchiveValidator, ReadsWhatLibarchiveWrites)
{
    const std::string changes = test::make_tar(
        {{.name = std::string(200, 'a') + "/" + std::string(200, 'n'), .content = "x"},
         {.name = "l", .type = AE_IFLNK, .link = "/usr"},
         {.name = "x", .content = "y", .attributes = {{"user.a", "b\n="}}}},
        "pax");
    EXPECT_NO_THROW(look_at(minimal().add("rootfs-diff.tar", changes).end()));
}

TEST(ArchiveValidator, OfElsewhereWantsUsualImagesAndNoVolumes)
{
    const std::string image = minimal().add("checkpoint/pages-1.comp", "x").end();
    EXPECT_NO_THROW(look_at(image));
    expect_error(ErrorCode::invalid_archive, [&] { look_at(image, ArchiveOrigin::foreign); });
    const std::string volume = minimal().add("volumes/data.tar", RawTar{}.add("a", "x").end()).end();
    EXPECT_NO_THROW(look_at(volume));
    const Error error = expect_error(ErrorCode::invalid_archive, [&] { look_at(volume, ArchiveOrigin::foreign); });
    EXPECT_TRUE(contains(error.what(), "may not bring volumes")) << error.what();
}

TEST(ArchiveValidator, HoldsItsLimits)
{
    const std::string tarball = with_rootfs(RawTar{}.add("a", "").add("b", "").link("c", "d"));
    const auto refused = [&tarball](const ArchiveLimits& limits) {
        return std::string{
            expect_error(ErrorCode::invalid_archive, [&] { look_at(tarball, ArchiveOrigin::own, limits); }).what()};
    };
    EXPECT_TRUE(contains(refused({.bytes = tarball.size() - 1}), "too large"));
    EXPECT_TRUE(contains(refused({.members = 7}), "too many members"));
    EXPECT_TRUE(contains(refused({.nested_members = 2}), "rootfs-diff.tar: it has too many members"));
    EXPECT_TRUE(contains(refused({.name_bytes = 2}), "rootfs-diff.tar: its names are too many"));
    EXPECT_NO_THROW(look_at(tarball, ArchiveOrigin::own,
                            {.bytes = tarball.size(), .members = 8, .nested_members = 3, .name_bytes = 3}));
}

TEST(ArchiveValidator, HandsOutTheDocuments)
{
    ArchiveValidator validator{ArchiveOrigin::foreign};
    validator.write(minimal().end());
    validator.finish();
    EXPECT_EQ(validator.config_dump(), R"({"id": "1", "name": "warmd-a"})");
    EXPECT_EQ(validator.spec_dump(), R"({"ociVersion": "1.0.0"})");
}

TEST(ArchiveValidator, TakesSizesThatOctalDigitsCannotHold)
{
    // Headers alone: the content would be 9 GiB.
    const std::uint64_t size = std::uint64_t{9} << 30U;
    ArchiveValidator validator{ArchiveOrigin::own};
    RawTar tarball;
    tarball.pax({"size=" + std::to_string(size)}).add("checkpoint/pages-1.img", "");
    EXPECT_NO_THROW(validator.write(tarball.bytes()));
    const Error error = expect_error(ErrorCode::invalid_archive, [&] { validator.finish(); });
    EXPECT_TRUE(contains(error.what(), "ends too early")) << error.what();
}

}  // namespace
}  // namespace warmd
