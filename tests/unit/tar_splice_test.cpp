#include "daemon/podman/tar_splice.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/temp_dir.h"
#include "tests/unit/expect_error.h"
#include "tests/unit/tar_archive.h"

namespace warmd::podman {
namespace {

using test::contains;
using test::expect_error;
using test::make_tar;
using test::read_tar;
using test::TarMember;

constexpr std::size_t kBlock = 512;

SizedSource source_of(const std::string& bytes)
{
    const auto at = std::make_shared<std::size_t>(0);
    return {.size = bytes.size(), .read = [bytes, at](std::span<char> buffer) {
                // In small pieces, as a source may.
                const std::size_t count = std::min({buffer.size(), bytes.size() - *at, std::size_t{700}});
                bytes.copy(buffer.data(), count, *at);
                *at += count;
                return count;
            }};
}

/// What is to be done to a tarball: a fresh TarSplice for each run.
struct Change {
    std::map<std::string, TarSplice::Rewrite> rewrites{};
    std::map<std::string, std::string> prefixes{};

    std::string apply(const std::string& tar, const std::vector<std::size_t>& cuts = {}) const
    {
        std::string out;
        TarSplice splice{[&out](std::string_view bytes) { out += bytes; }};
        for (const auto& [name, rewrite] : rewrites) splice.rewrite(name, rewrite);
        for (const auto& [name, prefix] : prefixes) splice.prepend(name, source_of(prefix));
        std::size_t from = 0;
        for (const std::size_t cut : cuts) {
            splice.write(std::string_view{tar}.substr(from, cut - from));
            from = cut;
        }
        splice.write(std::string_view{tar}.substr(from));
        splice.finish();
        return out;
    }
};

TarSplice::Rewrite replace_with(const std::string& content)
{
    return [content](const std::string&) { return content; };
}

/// Archives as the programs that make checkpoint tarballs write them: directories, links, empty members,
/// members that end at a block's end and around it.
std::vector<TarMember> some_members()
{
    return {{.name = "config.dump", .content = R"({"id": "old"})"},
            {.name = "checkpoint/", .type = AE_IFDIR, .mode = 0755},
            {.name = "checkpoint/pages-1.img", .content = std::string(2 * kBlock, 'p')},
            {.name = "checkpoint/link", .type = AE_IFLNK, .link = "pages-1.img"},
            {.name = "empty"},
            {.name = "rootfs-diff.tar", .content = std::string(kBlock + 1, 'd')},
            {.name = "last", .content = std::string(kBlock - 1, 'l')}};
}

/// The content of the member `name` in `members`, or a word that says that there is none.
std::string content_of(const std::vector<TarMember>& members, const std::string& name)
{
    for (const TarMember& member : members) {
        if (member.name == name) return member.content;
    }
    return "(no member " + name + ")";
}

/// A header block with the right checksum.
std::string header(const std::string& name, const std::string& size_field, char type = '0')
{
    std::string block(kBlock, '\0');
    block.replace(0, name.size(), name);
    block.replace(100, 8, "0000644", 8);
    block.replace(124, size_field.size(), size_field);
    block[156] = type;
    block.replace(257, 8,
                  std::string("ustar\0"
                              "00",
                              8));
    block.replace(148, 8, 8, ' ');
    unsigned sum = 0;
    for (const char c : block) sum += static_cast<unsigned char>(c);
    std::array<char, 8> digits{};
    std::snprintf(digits.data(), digits.size(), "%06o", sum);
    block.replace(148, 8, std::string(digits.data(), 6) + std::string("\0 ", 2));
    return block;
}

std::string octal(std::uint64_t size)
{
    std::array<char, 13> digits{};
    std::snprintf(digits.data(), digits.size(), "%011llo", static_cast<unsigned long long>(size));
    return {digits.data(), 12};
}

/// GNU's form of a size that eleven octal digits cannot hold.
std::string binary(std::uint64_t size)
{
    std::string field(12, '\0');
    field[0] = '\x80';
    for (std::size_t i = 11; size != 0; --i, size >>= 8U) field[i] = static_cast<char>(size & 255U);
    return field;
}

std::string padded(std::string content)
{
    content.resize((content.size() + kBlock - 1) / kBlock * kBlock, '\0');
    return content;
}

std::string end_mark() { return std::string(2 * kBlock, '\0'); }

/// What GNU tar makes of a directory of files.
std::string gnu_tar(const std::map<std::string, std::string>& files, const std::string& format)
{
    const test::TempDir directory;
    for (const auto& [name, content] : files) test::write_file(directory / ("root/" + name), content);
    const std::string command = "tar --format=" + format + " --sort=name -C " + (directory / "root").string() +
                                " -cf " + (directory / "out.tar").string() + " .";
    if (std::system(command.c_str()) != 0) throw std::runtime_error{command};
    return test::read_file(directory / "out.tar");
}

class TarSpliceFormat : public ::testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(, TarSpliceFormat, ::testing::Values("ustar", "pax", "gnutar"),
                         [](const auto& test) { return std::string{test.param}; });

TEST_P(TarSpliceFormat, PassesAnArchiveThroughUnchanged)
{
    const std::string tar = make_tar(some_members(), GetParam());
    EXPECT_EQ(Change{}.apply(tar), tar);
}

TEST_P(TarSpliceFormat, PassesLongNamesThroughUnchanged)
{
    const std::string tar = make_tar({{.name = std::string(90, 'd') + "/" + std::string(95, 'f'), .content = "x"},
                                      {.name = "after", .content = "y"}},
                                     GetParam());
    EXPECT_EQ(Change{}.apply(tar), tar);
}

TEST_P(TarSpliceFormat, RewritesAMember)
{
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, kBlock - 1, kBlock, kBlock + 1, std::size_t{5000}}) {
        auto expected = some_members();
        const std::string tar = make_tar(expected, GetParam());
        expected[0].content = std::string(size, 'n');
        const Change change{.rewrites = {{"config.dump", replace_with(expected[0].content)}}};
        EXPECT_EQ(read_tar(change.apply(tar)), expected) << size;
    }
}

TEST_P(TarSpliceFormat, RewritesAllMembersThatBeginSo)
{
    const std::string tar = make_tar({{.name = "checkpoint/utsns-11.img", .content = "a"},
                                      {.name = "checkpoint/utsns-", .content = "b"},
                                      {.name = "utsns-1.img", .content = "c"}},
                                     GetParam());
    const auto members = read_tar(Change{.rewrites = {{"checkpoint/utsns-*", replace_with("new")}}}.apply(tar));
    ASSERT_EQ(members.size(), 3U);
    EXPECT_EQ(members[0].content, "new");
    EXPECT_EQ(members[1].content, "new");
    EXPECT_EQ(members[2].content, "c");
}

TEST_P(TarSpliceFormat, PrependsToAnExistingMember)
{
    for (const std::size_t size : {std::size_t{1}, kBlock - 1, kBlock, std::size_t{200'000}}) {
        auto expected = some_members();
        const std::string tar = make_tar(expected, GetParam());
        const std::string prefix(size, 'r');
        expected[5].content = prefix + expected[5].content;
        const Change change{.prefixes = {{"rootfs-diff.tar", prefix}}};
        EXPECT_EQ(read_tar(change.apply(tar)), expected) << size;
    }
}

TEST_P(TarSpliceFormat, PrependsToAnEmptyMember)
{
    auto expected = some_members();
    const std::string tar = make_tar(expected, GetParam());
    expected[4].content = "no longer";
    EXPECT_EQ(read_tar(Change{.prefixes = {{"empty", "no longer"}}}.apply(tar)), expected);
}

TEST_P(TarSpliceFormat, PrependsToAMissingMemberByAddingIt)
{
    auto expected = some_members();
    const std::string tar = make_tar(expected, GetParam());
    const std::string prefix = make_tar({{.name = "etc/hosts", .content = "127.0.0.1"}}).substr(0, 2 * kBlock);
    expected.push_back({.name = "new.tar", .content = prefix + end_mark(), .mode = 0600});
    const std::string out = Change{.prefixes = {{"new.tar", prefix}}}.apply(tar);
    EXPECT_EQ(read_tar(out), expected);
    EXPECT_TRUE(out.ends_with(end_mark()));
    EXPECT_EQ(content_of(read_tar(content_of(read_tar(out), "new.tar")), "etc/hosts"), "127.0.0.1");
}

TEST_P(TarSpliceFormat, GivesTheSameResultWhereverTheInputIsCut)
{
    const std::string tar = make_tar(
        {{.name = "config.dump", .content = "old"},
         {.name = std::string(60, 'd') + "/" + std::string(60, 'n'), .content = "long name"},
         {.name = "rootfs-diff.tar", .content = std::string(kBlock, 'd')}},
        GetParam());
    const Change change{.rewrites = {{"config.dump", replace_with("new and longer")}},
                        .prefixes = {{"rootfs-diff.tar", std::string(700, 'r')}, {"absent.tar", "x"}}};
    // The added member carries the time of its making: compare what is in the archives.
    const auto whole = read_tar(change.apply(tar));
    ASSERT_EQ(whole.size(), 4U);
    for (std::size_t cut = 0; cut <= tar.size(); ++cut) {
        ASSERT_EQ(read_tar(change.apply(tar, {cut})), whole) << "cut at " << cut;
    }
    std::vector<std::size_t> every;
    for (std::size_t cut = 0; cut < tar.size(); ++cut) every.push_back(cut);
    EXPECT_EQ(read_tar(change.apply(tar, every)), whole);
}

TEST_P(TarSpliceFormat, PassesThroughUnchangedWhereverTheInputIsCut)
{
    const std::string tar = make_tar(some_members(), GetParam());
    const std::string once = Change{}.apply(tar);
    std::mt19937 random{1};
    std::uniform_int_distribution<std::size_t> position{0, tar.size()};
    for (int round = 0; round < 300; ++round) {
        std::vector<std::size_t> cuts(8);
        std::generate(cuts.begin(), cuts.end(), [&] { return position(random); });
        std::sort(cuts.begin(), cuts.end());
        ASSERT_EQ(Change{}.apply(tar, cuts), once);
    }
}

TEST_P(TarSpliceFormat, RefusesAnArchiveThatEndsTooEarly)
{
    const std::string tar = make_tar(some_members(), GetParam());
    // Up to the end mark: from its first block on, all members are there.
    for (std::size_t size = 0; size + 2 * kBlock < tar.size(); size += 37) {
        SCOPED_TRACE(size);
        expect_error(ErrorCode::corrupt, [&] { Change{}.apply(tar.substr(0, size)); });
    }
    expect_error(ErrorCode::corrupt, [&] { Change{}.apply(tar.substr(0, tar.size() - 2 * kBlock)); });
}

TEST_P(TarSpliceFormat, RefusesAHeaderWithOneWrongBit)
{
    const std::string tar = make_tar(some_members(), GetParam());
    for (std::size_t at = 0; at < kBlock; ++at) {
        std::string damaged = tar;
        damaged[at] = static_cast<char>(damaged[at] ^ 1);
        SCOPED_TRACE(at);
        if (at == 154 || at == 155) continue;  // what ends the checksum's digits
        expect_error(ErrorCode::corrupt, [&] { Change{}.apply(damaged); });
    }
}

TEST(TarSplice, PassesThroughWhatGnuTarWrites)
{
    const std::map<std::string, std::string> files{{"config.dump", "old"},
                                                   {"checkpoint/pages-1.img", std::string(3000, 'p')},
                                                   {std::string(120, 'n') + "/" + std::string(120, 'm'), "long"}};
    for (const char* const format : {"gnu", "pax", "posix"}) {
        const std::string tar = gnu_tar(files, format);
        EXPECT_EQ(Change{}.apply(tar), tar) << format;
    }
}

TEST(TarSplice, FindsMembersThatAreNamedWithALeadingDot)
{
    for (const char* const format : {"gnu", "pax", "ustar", "v7"}) {
        const std::string tar = gnu_tar({{"config.dump", "old"}, {"rootfs-diff.tar", "tail"}}, format);
        const Change change{.rewrites = {{"config.dump", replace_with("new")}},
                            .prefixes = {{"rootfs-diff.tar", "head,"}}};
        const auto members = read_tar(change.apply(tar));
        EXPECT_EQ(content_of(members, "./config.dump"), "new") << format;
        EXPECT_EQ(content_of(members, "./rootfs-diff.tar"), "head,tail") << format;
    }
}

TEST(TarSplice, ChangesMembersWithLongNames)
{
    const std::string name = std::string(80, 'd') + "/" + std::string(99, 'f');
    for (const char* const format : {"ustar", "pax", "gnutar"}) {
        const std::string tar = make_tar({{.name = name, .content = "old"}, {.name = "after", .content = "x"}}, format);
        const auto members = read_tar(Change{.rewrites = {{name, replace_with("new")}}}.apply(tar));
        EXPECT_EQ(content_of(members, name), "new") << format;
        EXPECT_EQ(content_of(members, "after"), "x") << format;
    }
}

TEST(TarSplice, ALongNameNamesOnlyTheNextMember)
{
    const std::string tar = make_tar(
        {{.name = std::string(150, 'n'), .content = "long"}, {.name = "config.dump", .content = "old"}}, "gnutar");
    const auto members = read_tar(Change{.rewrites = {{"config.dump", replace_with("new")}}}.apply(tar));
    EXPECT_EQ(content_of(members, "config.dump"), "new");
    EXPECT_EQ(content_of(members, std::string(150, 'n')), "long");
}

TEST(TarSplice, HandsTheOldContentToTheRewrite)
{
    const std::string tar = make_tar({{.name = "config.dump", .content = "old"}});
    std::string seen;
    Change{.rewrites = {{"config.dump",
                         [&seen](const std::string& content) {
                             seen = content;
                             return content;
                         }}}}
        .apply(tar);
    EXPECT_EQ(seen, "old");
}

TEST(TarSplice, RefusesAnArchiveThatLacksHalfOfItsEndMarkOrGoesOnAfterIt)
{
    const std::string tar = make_tar({{.name = "other", .content = "x"}});
    expect_error(ErrorCode::corrupt, [&] { Change{}.apply(tar.substr(0, tar.size() - kBlock)); });
    expect_error(ErrorCode::corrupt, [&] { Change{}.apply(tar.substr(0, tar.size() - 1)); });
    expect_error(ErrorCode::corrupt, [&] { Change{}.apply(tar + "x"); });
    EXPECT_EQ(Change{}.apply(tar + std::string(9 * kBlock, '\0')), tar + std::string(9 * kBlock, '\0'));
}

TEST(TarSplice, DoesNotAddAMemberToBeRewrittenThatIsNotThere)
{
    const std::string tar = make_tar({{.name = "other", .content = "x"}});
    EXPECT_EQ((Change{.rewrites = {{"config.dump", replace_with("new")}}}.apply(tar)), tar);
}

TEST(TarSplice, LeavesAMemberAloneWhoseNameOnlyEndsLikeIt)
{
    const std::string tar = make_tar({{.name = "checkpoint/config.dump", .content = "x"}});
    EXPECT_EQ((Change{.rewrites = {{"config.dump", replace_with("new")}}}.apply(tar)), tar);
}

TEST(TarSplice, TellsWhichMembersCameByWithTheirSizes)
{
    const std::string tar = make_tar(some_members(), "pax");
    TarSplice splice{[](std::string_view) {}};
    splice.rewrite("config.dump", replace_with("something longer than before"));
    splice.prepend("rootfs-diff.tar", source_of("prefix"));
    splice.write(tar);
    splice.finish();
    EXPECT_EQ(splice.members().at("config.dump"), some_members()[0].content.size());
    EXPECT_EQ(splice.members().at("rootfs-diff.tar"), kBlock + 1);
    EXPECT_EQ(splice.members().at("checkpoint/link"), 0U);
    EXPECT_EQ(splice.members().size(), some_members().size());
}

TEST(TarSplice, KeepsWhatFollowsTheEndMark)
{
    const std::string tar = make_tar(some_members()) + std::string(18 * kBlock, '\0');
    EXPECT_EQ(Change{}.apply(tar), tar);
}

TEST(TarSplice, PassesThroughAnEmptyArchive) { EXPECT_EQ(Change{}.apply(end_mark()), end_mark()); }

TEST(TarSplice, AddsAMemberToAnEmptyArchive)
{
    const auto members = read_tar(
        Change{.prefixes = {{"rootfs-diff.tar", std::string(kBlock, 'x')}}}.apply(end_mark()));
    ASSERT_EQ(members.size(), 1U);
    EXPECT_EQ(members[0].content, std::string(kBlock, 'x') + end_mark());
}

TEST(TarSplice, PassesOnHeadersOfMembersBeyondEightGibibytes)
{
    const std::string big = header("pages-1.img", binary(std::uint64_t{9} << 30U));
    std::string out;
    TarSplice splice{[&out](std::string_view bytes) { out += bytes; }};
    splice.write(big);
    splice.write("the first of the pages");
    EXPECT_EQ(out, big + "the first of the pages");
    EXPECT_EQ(splice.members().at("pages-1.img"), std::uint64_t{9} << 30U);
}

TEST(TarSplice, WritesASizeBeyondEightGibibytesInBinary)
{
    const std::uint64_t size = (std::uint64_t{8} << 30U) - 1;
    std::string out;
    TarSplice splice{[&out](std::string_view bytes) { out += bytes; }};
    splice.prepend("rootfs-diff.tar", source_of("x"));
    splice.write(header("rootfs-diff.tar", octal(size)));
    EXPECT_EQ(out, header("rootfs-diff.tar", binary(size + 1)) + "x");
}

TEST(TarSplice, TakesTheSizeFromAPaxHeader)
{
    const std::string records = "24 size=000000000000512\n";
    ASSERT_EQ(records.size(), 24U);
    const std::string tar = header("PaxHeaders/a", octal(records.size()), 'x') + padded(records) +
                            header("a", octal(0)) + std::string(kBlock, 'a') + header("b", octal(1)) + padded("b") +
                            end_mark();
    EXPECT_EQ(Change{}.apply(tar), tar);
}

TEST(TarSplice, ReadsNoContentAfterALinkWhateverItsHeaderSays)
{
    const std::string tar = header("link", octal(700), '1') + header("b", octal(1)) + padded("b") + end_mark();
    EXPECT_EQ(Change{}.apply(tar), tar);
}

TEST(TarSplice, RefusesToChangeAMemberWhoseSizeIsInAPaxHeader)
{
    const std::string records = "12 size=512\n";
    const std::string tar = header("x", octal(records.size()), 'x') + padded(records) +
                            header("config.dump", octal(0)) + std::string(kBlock, 'a') + end_mark();
    expect_error(ErrorCode::corrupt, [&] { Change{.rewrites = {{"config.dump", replace_with("")}}}.apply(tar); });
    expect_error(ErrorCode::corrupt, [&] { Change{.prefixes = {{"config.dump", "x"}}}.apply(tar); });
}

TEST(TarSplice, RefusesBytesThatAreNoTarArchive)
{
    expect_error(ErrorCode::corrupt, [] { Change{}.apply(std::string(2 * kBlock, 'x')); });
    expect_error(ErrorCode::corrupt, [] { Change{}.apply(R"({"cause": "no such container"})"); });
    expect_error(ErrorCode::corrupt, [] { Change{}.apply(""); });
    expect_error(ErrorCode::corrupt, [] { Change{}.apply(std::string(kBlock - 1, '\0')); });
    std::mt19937 random{3};
    for (int round = 0; round < 200; ++round) {
        std::string noise;
        for (std::size_t i = 0; i < 3 * kBlock; ++i) noise += static_cast<char>(random());
        expect_error(ErrorCode::corrupt, [&] { Change{}.apply(noise); });
    }
}

TEST(TarSplice, RefusesSizesOutOfRange)
{
    for (const std::string& field : {std::string{"12345678901"} + "9", std::string(12, '\xFF'), std::string{"xyz"},
                                     std::string{"-0000000001"}, "\x80" + std::string(11, '\xFF')}) {
        expect_error(ErrorCode::corrupt, [&] { Change{}.apply(header("a", field) + end_mark()); });
    }
}

TEST(TarSplice, RefusesToBufferMoreThanFourMebibytes)
{
    const std::uint64_t size = (4U << 20U) + 1;
    const Change change{.rewrites = {{"config.dump", replace_with("")}}};
    expect_error(ErrorCode::corrupt, [&] { change.apply(header("config.dump", octal(size))); });
    for (const char type : {'x', 'g', 'L', 'K'}) {
        expect_error(ErrorCode::corrupt, [&] { Change{}.apply(header("x", octal(size), type)); });
    }
    EXPECT_EQ(
        content_of(read_tar(change.apply(make_tar({{.name = "config.dump", .content = std::string(4U << 20U, 'x')}}))),
                   "config.dump"),
        "");
}

TEST(TarSplice, RefusesMalformedPaxRecords)
{
    for (const char* const records :
         {"x", "5", "999 path=a\n", "0 path=a\n", "2 \n", "-9 path=a\n", "99999999999999999999 a=b\n", "12 size=abc\n",
          "33 size=99999999999999999999999\n"}) {
        SCOPED_TRACE(records);
        const std::string content{records};
        expect_error(ErrorCode::corrupt, [&] {
            Change{}.apply(header("x", octal(content.size()), 'x') + padded(content) + header("a", octal(0)) +
                           end_mark());
        });
    }
}

TEST(TarSplice, SurvivesAnyDamageToAnyByte)
{
    const std::string tar = make_tar(
        {{.name = "config.dump", .content = "old"},
         {.name = std::string(60, 'd') + "/" + std::string(60, 'n'), .content = "long name"},
         {.name = "rootfs-diff.tar", .content = std::string(kBlock, 'd')}},
        "pax");
    const Change change{.rewrites = {{"config.dump", replace_with("new")}}, .prefixes = {{"rootfs-diff.tar", "head"}}};
    std::mt19937 random{4};
    int refused = 0;
    for (std::size_t at = 0; at < tar.size(); ++at) {
        std::string damaged = tar;
        damaged[at] = static_cast<char>(random());
        try {
            change.apply(damaged);
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::corrupt) << error.what();
            ++refused;
        }
    }
    EXPECT_GT(refused, 1000);
}

TEST(TarSplice, RefusesAPrefixThatIsNotOfTheSizeItSaid)
{
    const std::string tar = make_tar({{.name = "a", .content = "x"}});
    for (const std::uint64_t said : {std::uint64_t{3}, std::uint64_t{5}}) {
        TarSplice splice{[](std::string_view) {}};
        SizedSource source = source_of("1234");
        source.size = said;
        splice.prepend("a", source);
        expect_error(ErrorCode::internal, [&] { splice.write(tar); });
    }
}

TEST(TarSplice, LetsTheSinksExceptionThrough)
{
    TarSplice splice{[](std::string_view) { throw Error{ErrorCode::no_space, "full"}; }};
    const std::string tar = make_tar(some_members());
    expect_error(ErrorCode::no_space, [&] { splice.write(tar); });
}

}  // namespace
}  // namespace warmd::podman
