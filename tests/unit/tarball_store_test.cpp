#include "daemon/store/tarball_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "daemon/base/sha256.h"
#include "daemon/store/manifest.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/expect_error.h"

namespace warmd {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::expect_error;
using test::read_file;
using test::write_file;

unsigned mode_of(const fs::path& path)
{
    struct stat status {};
    EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
    return status.st_mode & 07777U;
}

class TarballStoreTest : public ::testing::Test {
protected:
    Checkpoint put(const std::string& name, std::string_view content)
    {
        Checkpoint checkpoint{.id = CheckpointId{name}, .template_name = TemplateName{"quick"}};
        StagedTarball staged = store.stage(checkpoint.id);
        staged.write(content);
        staged.publish(checkpoint);
        return checkpoint;
    }
    [[nodiscard]] bool scratch_is_empty() const { return fs::is_empty(store.scratch()); }

    test::TempDir directory;
    TarballStore store{directory / "state"};
    const CheckpointId id{"ckpt-1"};
};

TEST_F(TarballStoreTest, PublishesWhatWasWritten)
{
    StagedTarball staged = store.stage(id);
    std::string content;
    for (int i = 0; i < 1000; ++i) {
        const std::string piece = std::to_string(i) + std::string(3, '\0');
        staged.write(piece);
        content += piece;
    }
    Checkpoint published{.id = id};
    staged.publish(published);
    EXPECT_EQ(published.size_bytes, content.size());
    EXPECT_EQ(published.sha256, sha256_hex(content));
    EXPECT_EQ(read_file(store.path_of(id)), content);
    EXPECT_TRUE(scratch_is_empty());
}

TEST_F(TarballStoreTest, PublishesAnEmptyTarball)
{
    const Checkpoint published = put("ckpt-1", "");
    EXPECT_EQ(published.size_bytes, 0U);
    EXPECT_EQ(published.sha256, sha256_hex(""));
}

TEST_F(TarballStoreTest, KeepsThePublishedFileAfterTheStagedOneIsGone)
{
    put("ckpt-1", "content");
    EXPECT_TRUE(fs::exists(store.path_of(id)));
}

TEST_F(TarballStoreTest, DiscardsWhatIsNotPublished)
{
    {
        StagedTarball staged = store.stage(id);
        staged.write("half of it");
        EXPECT_FALSE(scratch_is_empty());
    }
    EXPECT_TRUE(scratch_is_empty());
    EXPECT_FALSE(fs::exists(store.path_of(id)));
    EXPECT_TRUE(store.list().empty());
}

TEST_F(TarballStoreTest, ShowsNothingBeforeItIsPublished)
{
    StagedTarball staged = store.stage(id);
    staged.write("half of it");
    EXPECT_TRUE(store.list().empty());
    EXPECT_FALSE(fs::exists(store.path_of(id)));
}

TEST_F(TarballStoreTest, MovingAStagedTarballMovesTheDutyToDiscardIt)
{
    std::optional<StagedTarball> moved;
    {
        StagedTarball staged = store.stage(id);
        staged.write("a");
        moved.emplace(std::move(staged));
    }
    EXPECT_FALSE(scratch_is_empty());
    moved->write("b");
    Checkpoint published{.id = id};
    moved->publish(published);
    EXPECT_EQ(published.sha256, sha256_hex("ab"));
    moved.reset();
    EXPECT_EQ(read_file(store.path_of(id)), "ab");
}

TEST_F(TarballStoreTest, RefusesToStageTheSameCheckpointTwiceAndKeepsTheFirst)
{
    StagedTarball first = store.stage(id);
    first.write("first");
    expect_error(ErrorCode::internal, [this] { store.stage(id); });
    Checkpoint published{.id = id};
    first.publish(published);
    EXPECT_EQ(read_file(store.path_of(id)), "first");
}

TEST_F(TarballStoreTest, OpensATarballOfTheRecordedSize)
{
    put("ckpt-1", "content");
    const UniqueFd file = store.open(id, 7);
    std::array<char, 16> buffer{};
    EXPECT_EQ(::read(file.get(), buffer.data(), buffer.size()), 7);
    EXPECT_EQ(std::string(buffer.data(), 7), "content");
}

TEST_F(TarballStoreTest, ATarballOfAnotherSizeIsCorrupt)
{
    put("ckpt-1", "content");
    const Error error = expect_error(ErrorCode::corrupt, [this] { static_cast<void>(store.open(id, 8)); });
    EXPECT_TRUE(contains(error.what(), "7 bytes, the catalog says 8")) << error.what();
    EXPECT_FALSE(error.hint().empty());
}

TEST_F(TarballStoreTest, AMissingTarballIsCorrupt)
{
    expect_error(ErrorCode::corrupt, [this] { static_cast<void>(store.open(id, 0)); });
}

TEST_F(TarballStoreTest, ALinkInPlaceOfATarballIsCorrupt)
{
    write_file(directory / "elsewhere", "content");
    fs::create_symlink(directory / "elsewhere", store.path_of(id));
    expect_error(ErrorCode::corrupt, [this] { static_cast<void>(store.open(id, 7)); });
}

TEST_F(TarballStoreTest, PutsAManifestBesideTheTarballThatSaysWhatTheRowSays)
{
    const Checkpoint published = put("ckpt-1", "content");
    EXPECT_EQ(mode_of(store.manifest_path_of(id)), 0600U);
    const auto read = store.read_manifest(id);
    ASSERT_TRUE(read);
    EXPECT_EQ(encode_manifest(*read), encode_manifest(published));
    EXPECT_EQ(read->sha256, sha256_hex("content"));
    EXPECT_EQ(store.manifests(), std::vector<CheckpointId>{id});
}

TEST_F(TarballStoreTest, ReplacesAManifest)
{
    Checkpoint published = put("ckpt-1", "content");
    published.image = "another";
    store.write_manifest(published);
    EXPECT_EQ(store.read_manifest(id)->image, "another");
    EXPECT_TRUE(scratch_is_empty());
}

TEST_F(TarballStoreTest, NoManifestIsNoErrorAndADamagedOneIs)
{
    EXPECT_FALSE(store.read_manifest(id));
    put("ckpt-1", "content");
    fs::copy_file(store.manifest_path_of(id), store.manifest_path_of(CheckpointId{"ckpt-2"}));
    const Error another = expect_error(ErrorCode::corrupt,
                                       [this] { static_cast<void>(store.read_manifest(CheckpointId{"ckpt-2"})); });
    EXPECT_EQ(another.cause(), "it is that of ckpt-1");
    fs::resize_file(store.manifest_path_of(id), 20);
    expect_error(ErrorCode::corrupt, [this] { static_cast<void>(store.read_manifest(id)); });
    fs::remove(store.manifest_path_of(id));
    fs::create_symlink("/etc/passwd", store.manifest_path_of(id));
    expect_error(ErrorCode::corrupt, [this] { static_cast<void>(store.read_manifest(id)); });
}

TEST_F(TarballStoreTest, RemovesATarballAndIsContentWhenThereIsNone)
{
    put("ckpt-1", "content");
    store.remove(id);
    EXPECT_FALSE(fs::exists(store.path_of(id)));
    EXPECT_FALSE(fs::exists(store.manifest_path_of(id)));
    EXPECT_NO_THROW(store.remove(id));
}

TEST_F(TarballStoreTest, ListsTheCheckpointsThatHaveAFile)
{
    put("ckpt-1", "a");
    put("ckpt-2.b", "b");
    write_file(store.path_of(id).parent_path() / "README", "not a tarball");
    auto ids = store.list();
    std::sort(ids.begin(), ids.end());
    EXPECT_EQ(ids, (std::vector<CheckpointId>{CheckpointId{"ckpt-1"}, CheckpointId{"ckpt-2.b"}}));
}

TEST_F(TarballStoreTest, SweepRemovesWhatACrashLeftAndNothingElse)
{
    put("ckpt-1", "content");
    write_file(store.scratch() / "ckpt-2.tar", "half");
    write_file(store.scratch() / "directory/file", "half");
    store.sweep();
    EXPECT_TRUE(scratch_is_empty());
    EXPECT_EQ(store.list().size(), 1U);
}

TEST_F(TarballStoreTest, IsForItsOwnerOnly)
{
    const auto staged = store.stage(CheckpointId{"ckpt-2"});
    put("ckpt-1", "content");
    EXPECT_EQ(mode_of(directory / "state"), 0700U);
    EXPECT_EQ(mode_of(store.path_of(id).parent_path()), 0700U);
    EXPECT_EQ(mode_of(store.scratch()), 0700U);
    EXPECT_EQ(mode_of(store.path_of(id)), 0600U);
    EXPECT_EQ(mode_of(store.scratch() / "ckpt-2.tar"), 0600U);
}

TEST_F(TarballStoreTest, TightensADirectoryThatWasOpen)
{
    ASSERT_EQ(::chmod(store.scratch().c_str(), 0755), 0);
    const TarballStore again{directory / "state"};
    EXPECT_EQ(mode_of(store.scratch()), 0700U);
}

TEST_F(TarballStoreTest, RefusesARootThatIsAFileAndNamesTheSetting)
{
    write_file(directory / "file", "x");
    const Error error = expect_error(ErrorCode::internal, [this] { TarballStore{directory / "file"}; });
    EXPECT_EQ(error.field(), "store.directory");
}

TEST_F(TarballStoreTest, LeavesNoTarballWhenPublishingFails)
{
    StagedTarball staged = store.stage(id);
    staged.write("content");
    fs::create_directories(store.path_of(id) / "in the way");
    Checkpoint published{.id = id};
    expect_error(ErrorCode::internal, [&] { staged.publish(published); });
    EXPECT_TRUE(fs::is_directory(store.path_of(id)));
    {
        const StagedTarball discarded = std::move(staged);
    }
    EXPECT_FALSE(fs::exists(store.manifest_path_of(id)));
    EXPECT_TRUE(scratch_is_empty());
}

TEST_F(TarballStoreTest, LeavesAPartOfTheDiskFreeUnlessToldOtherwise)
{
    EXPECT_EQ(store.ledger().floor(), std::min<std::uint64_t>(std::uint64_t{1} << 30U, store.space().total_bytes / 20));
    EXPECT_EQ((TarballStore{directory / "other", 0}.ledger().floor()), 0U);
}

TEST_F(TarballStoreTest, ATarballThatGrowsBeyondItsRoomIsRefusedAndLeavesNothing)
{
    std::uint64_t free = std::uint64_t{1} << 20U;
    TarballStore little{directory / "other", 0, [&free] { return free; }};
    {
        SpaceLedger::Reservation room{little.ledger()};
        ASSERT_EQ(room.raise(1000), 0U);
        StagedTarball staged = little.stage(id, &room);
        free = 0;
        staged.write(std::string(1000, 'x'));
        expect_error(ErrorCode::no_space, [&staged] { staged.write("x"); });
    }
    EXPECT_TRUE(fs::is_empty(little.scratch()));
    EXPECT_EQ(little.ledger().reserved(), 0U);
}

TEST_F(TarballStoreTest, SaysHowMuchSpaceIsLeft) { EXPECT_GT(store.free_bytes(), 0U); }

}  // namespace
}  // namespace warmd
