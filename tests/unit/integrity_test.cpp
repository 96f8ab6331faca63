// What is stored is what comes back, or nothing does: damage of tarballs, unpacked images and the catalog.
#include "daemon/service/integrity.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <random>
#include <thread>

#include "daemon/service/recovery.h"
#include "daemon/store/manifest.h"
#include "tests/support/service_fixture.h"
#include "tests/unit/expect_error.h"

namespace warmd {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::expect_error;
using test::read_file;
using test::write_file;

void flip(const fs::path& file, std::uintmax_t byte, unsigned bit)
{
    std::fstream stream{file, std::ios::in | std::ios::out | std::ios::binary};
    stream.seekg(static_cast<std::streamoff>(byte));
    const int old = stream.get();
    stream.seekp(static_cast<std::streamoff>(byte));
    stream.put(static_cast<char>(static_cast<unsigned>(old) ^ (1U << bit)));
    ASSERT_TRUE(stream.flush());
}

class IntegrityTest : public test::ServiceFixture {
protected:
    [[nodiscard]] fs::path tarball(const Checkpoint& checkpoint) { return store().path_of(checkpoint.id); }

    Checkpoint checkpoint_with(const std::string& content)
    {
        const Instance source = warm();
        exec(source.id, "printf " + content + " > content");
        const Operation made = finish(service().checkpoint(source.id));
        EXPECT_EQ(made.state, OperationState::succeeded);
        return catalog().get(made.checkpoint);
    }
    Operation restore(const CheckpointId& id, InstancePath path)
    {
        return finish(service().restore(id, {.path = path}));
    }
    Operation verify(const CheckpointId& id, bool by_restore = false)
    {
        return finish(service().verify_checkpoint(id, by_restore));
    }
    CheckpointState state_of(const CheckpointId& id) { return catalog().get(id).state; }

    static ErrorCode code_of(const Operation& operation)
    {
        EXPECT_EQ(operation.state, OperationState::failed);
        return operation.error ? operation.error->code() : ErrorCode::internal;
    }

    /// A template with this canary and a checkpoint directory that can be looked at.
    void add_with_canary(const std::string& script)
    {
        Template entry = test::quick_template();
        entry.verify.restore = true;
        entry.verify.canary = Hook{.command = {"sh", "-c", script}, .code = {}};
        add(entry);
    }

    [[nodiscard]] std::vector<std::string> phases_of(const Operation& operation) const
    {
        std::vector<std::string> names;
        for (const Phase& phase : operation.phases) names.push_back(phase.name);
        return names;
    }

    /// As a daemon does it that finds the catalog damaged.
    void start_anew()
    {
        stop();
        const OpenedCatalog opened = open_catalog(catalog_path().string());
        options.damaged_catalog = opened.damaged;
    }
    [[nodiscard]] fs::path catalog_path() const { return directory.path() / "catalog.sqlite"; }
};

// ---------------------------------------------------------------- the tarball

TEST_F(IntegrityTest, EveryOneOfAThousandFlippedBitsIsFoundBeforeTheEngineSeesAByte)
{
    const Instance source = warm();
    exec(source.id, "head -c 30000 /dev/urandom > data");
    const Operation made = finish(service().checkpoint(source.id));
    ASSERT_EQ(made.state, OperationState::succeeded);
    const fs::path file = tarball(catalog().get(made.checkpoint));
    const std::uintmax_t size = fs::file_size(file);
    std::mt19937 random{20260131};  // NOLINT: the same flips each time
    int found = 0;
    for (std::uintmax_t i = 0; i < 1000; ++i) {
        // One in each thousandth of the file: headers, contents, padding and end mark.
        const std::uintmax_t begin = i * size / 1000;
        const std::uintmax_t end = std::max(begin + 1, (i + 1) * size / 1000);
        const std::uintmax_t byte = begin + random() % (end - begin);
        const unsigned bit = random() % 8;
        flip(file, byte, bit);
        const Operation restored = restore(made.checkpoint, InstancePath::archive);
        found += code_of(restored) == ErrorCode::corrupt ? 1 : 0;
        ASSERT_EQ(state_of(made.checkpoint), CheckpointState::quarantined) << "byte " << byte << ", bit " << bit;
        flip(file, byte, bit);
        catalog().transition(made.checkpoint, {CheckpointState::quarantined}, CheckpointState::available);
    }
    EXPECT_EQ(found, 1000);
    EXPECT_EQ(engine.calls("restore"), 0);
    EXPECT_EQ(restore(made.checkpoint, InstancePath::archive).state, OperationState::succeeded);
}

TEST_F(IntegrityTest, AThousandCleanReadsRaiseNoAlarm)
{
    const Checkpoint made = checkpoint();
    int intact = 0;
    for (int i = 0; i < 1000; ++i) {
        store().verify(made);
        const UniqueFd file = store().open_verified(made);
        ASSERT_EQ(::lseek(file.get(), 0, SEEK_CUR), 0);
        intact += store().unpacked().check(made.id, made.sha256) == UnpackedImages::Check::intact ? 1 : 0;
    }
    EXPECT_EQ(intact, 1000);
}

TEST_F(IntegrityTest, ACutTarballAndASwappedOneAreFoundOnBothPaths)
{
    const Checkpoint first = checkpoint_with("1");
    const Checkpoint second = checkpoint_with("2");
    const std::string whole = read_file(tarball(first));
    const std::string other = read_file(tarball(second));
    ASSERT_EQ(other.size(), whole.size());  // the sum alone tells them apart
    ASSERT_NE(first.sha256, second.sha256);
    const auto is_found = [&](InstancePath path) {
        store().unpacked().drop(first.id);
        EXPECT_EQ(code_of(restore(first.id, path)), ErrorCode::corrupt);
        EXPECT_EQ(state_of(first.id), CheckpointState::quarantined);
        catalog().transition(first.id, {CheckpointState::quarantined}, CheckpointState::available);
    };
    for (const InstancePath path : {InstancePath::archive, InstancePath::linked}) {
        fs::resize_file(tarball(first), whole.size() - 1);
        is_found(path);
        write_file(tarball(first), other);
        is_found(path);
        write_file(tarball(first), whole);
    }
    EXPECT_EQ(engine.calls("restore"), 0);
    EXPECT_EQ(restore(first.id, InstancePath::linked).state, OperationState::succeeded);
}

TEST_F(IntegrityTest, WhatWasReadOnceIsReadAgainOnlyWhenTheFileIsAnother)
{
    const Checkpoint made = checkpoint();
    const auto reads = [&] {
        int pieces = 0;
        static_cast<void>(store().open_verified(made, [&pieces](std::uint64_t) { ++pieces; }));
        return pieces;
    };
    // A file that was changed a moment ago is not remembered: the next change might have the same time.
    ASSERT_TRUE(eventually([&] {
        reads();
        return reads() == 0;
    }));
    const std::string bytes = read_file(tarball(made));
    fs::remove(tarball(made));
    write_file(tarball(made), bytes);
    EXPECT_GT(reads(), 0);
    ASSERT_TRUE(eventually([&] {
        reads();
        return reads() == 0;
    }));
    // The time of its last modification can be set, that of its last change not.
    const timespec times[2] = {{.tv_sec = 1, .tv_nsec = 0}, {.tv_sec = 1, .tv_nsec = 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, tarball(made).c_str(), times, 0), 0);
    EXPECT_GT(reads(), 0);
}

TEST_F(IntegrityTest, DamageThatNoTimeTellsOfIsFoundByAVerification)
{
    const Checkpoint made = checkpoint();
    EXPECT_FALSE(made.verified_at);
    EXPECT_EQ(verify(made.id).state, OperationState::succeeded);
    const auto verified_at = catalog().get(made.id).verified_at;
    ASSERT_TRUE(verified_at);
    EXPECT_GE(*verified_at, *made.available_at);
    flip(tarball(made), made.size_bytes / 2, 3);
    const Operation found = verify(made.id);
    EXPECT_EQ(code_of(found), ErrorCode::corrupt);
    EXPECT_EQ(found.checkpoint, made.id);
    EXPECT_EQ(state_of(made.id), CheckpointState::quarantined);
    EXPECT_TRUE(contains(catalog().get(made.id).reason, "is not what was stored"));
    EXPECT_TRUE(fs::exists(tarball(made)));
    EXPECT_FALSE(fs::exists(directory.path() / "unpacked" / made.id.value()));
    expect_error(ErrorCode::conflict, [&] { service().verify_checkpoint(made.id, false); });
    expect_error(ErrorCode::conflict, [&] { service().restore(made.id); });
    EXPECT_EQ(finish(service().delete_checkpoint(made.id)).state, OperationState::succeeded);
}

TEST_F(IntegrityTest, QuarantineIsAnEventWithItsReason)
{
    const Checkpoint made = checkpoint();
    flip(tarball(made), 700, 0);
    const std::int64_t before = catalog().last_event();
    restore(made.id, InstancePath::archive);
    const std::vector<Event> events = catalog().events_after(before, 100);
    const auto told = std::find_if(events.begin(), events.end(), [&made](const Event& event) {
        return event.subject == made.id.value() && event.state == "quarantined";
    });
    ASSERT_NE(told, events.end());
    EXPECT_TRUE(contains(told->reason, "is not what was stored"));
}

TEST_F(IntegrityTest, TheNextBestCheckpointTakesThePlaceOfADamagedOne)
{
    const Checkpoint older = checkpoint();
    const Checkpoint newer = checkpoint();
    flip(tarball(newer), newer.size_bytes / 2, 1);
    const Operation restored = finish(service().restore_newest(TemplateName{"quick"}, {.path = InstancePath::archive}));
    ASSERT_EQ(restored.state, OperationState::succeeded);
    EXPECT_EQ(restored.checkpoint, older.id);
    EXPECT_EQ(catalog().get(restored.instance).checkpoint, older.id);
    EXPECT_EQ(state_of(newer.id), CheckpointState::quarantined);
    flip(tarball(older), older.size_bytes / 2, 1);
    EXPECT_EQ(code_of(finish(service().restore_newest(TemplateName{"quick"}, {.path = InstancePath::archive}))),
              ErrorCode::corrupt);
    expect_error(ErrorCode::not_found, [this] { service().restore_newest(TemplateName{"quick"}); });
}

TEST_F(IntegrityTest, APoolTakesTheNextBestAsWell)
{
    const Checkpoint older = checkpoint();
    const Checkpoint newer = checkpoint();
    fs::resize_file(tarball(newer), 100);
    const Lease lease = service().pools().acquire(TemplateName{"quick"}, std::chrono::seconds{30},
                                                  std::chrono::seconds{60}, /*cold=*/false, {}, {});
    EXPECT_EQ(catalog().get(lease.instance).checkpoint, older.id);
    EXPECT_EQ(state_of(newer.id), CheckpointState::quarantined);
}

// ------------------------------------------------------- the unpacked images

class UnpackedDamageTest : public IntegrityTest {
protected:
    [[nodiscard]] fs::path image(const Checkpoint& made) const
    {
        return directory.path() / "unpacked" / made.id.value() / "checkpoint/inventory.img";
    }
    bool unpacks(const CheckpointId& id)
    {
        const Operation done = restore(id, InstancePath::linked);
        EXPECT_EQ(done.state, OperationState::succeeded) << (done.error ? done.error->what() : "");
        const std::vector<std::string> names = phases_of(done);
        return std::find(names.begin(), names.end(), "unpack") != names.end();
    }
};

TEST_F(UnpackedDamageTest, RestoresOneAfterTheOtherReadNothingAgain)
{
    const Checkpoint made = checkpoint();
    for (int i = 0; i < 3; ++i) EXPECT_FALSE(unpacks(made.id));
    restart();
    EXPECT_FALSE(unpacks(made.id));
}

TEST_F(UnpackedDamageTest, AChangedImageIsMadeAnewWhateverItsTimesSay)
{
    const Checkpoint made = checkpoint();
    struct stat before {};
    ASSERT_EQ(::lstat(image(made).c_str(), &before), 0);
    const std::string good = read_file(image(made));
    ASSERT_EQ(::chmod(image(made).c_str(), 0600), 0);
    flip(image(made), 1, 2);
    ASSERT_EQ(::chmod(image(made).c_str(), before.st_mode & 07777U), 0);
    const timespec times[2] = {before.st_atim, before.st_mtim};
    ASSERT_EQ(::utimensat(AT_FDCWD, image(made).c_str(), times, 0), 0);
    EXPECT_TRUE(unpacks(made.id));
    EXPECT_EQ(read_file(image(made)), good);
    EXPECT_EQ(state_of(made.id), CheckpointState::available);
    EXPECT_FALSE(unpacks(made.id));
}

TEST_F(UnpackedDamageTest, AVerificationDropsWhatIsNotWhatWasUnpacked)
{
    const Checkpoint made = checkpoint();
    ASSERT_EQ(::chmod(image(made).c_str(), 0600), 0);
    flip(image(made), 0, 0);
    EXPECT_EQ(verify(made.id).state, OperationState::succeeded);
    EXPECT_FALSE(fs::exists(image(made)));
    EXPECT_TRUE(catalog().get(made.id).verified_at);
    EXPECT_TRUE(unpacks(made.id));
}

TEST_F(UnpackedDamageTest, TheTarballWithoutImagesCountsAsWell)
{
    const Checkpoint made = checkpoint();
    flip(directory.path() / "unpacked" / made.id.value() / "rest.tar", 600, 5);
    EXPECT_TRUE(unpacks(made.id));
    EXPECT_FALSE(unpacks(made.id));
}

TEST_F(UnpackedDamageTest, OnesThatAreGoneAreNotMadeFromADamagedTarball)
{
    const Checkpoint made = checkpoint();
    store().unpacked().drop(made.id);
    flip(tarball(made), made.size_bytes / 3, 6);
    EXPECT_EQ(code_of(restore(made.id, InstancePath::linked)), ErrorCode::corrupt);
    EXPECT_EQ(state_of(made.id), CheckpointState::quarantined);
    EXPECT_EQ(engine.calls("restore"), 0);
}

// ------------------------------------------------------------ in the background

TEST_F(IntegrityTest, TheOneThatWasLookedAtLongestAgoIsNext)
{
    options.verify_every = std::chrono::hours{24};
    Checkpoint first = checkpoint();
    Checkpoint second = checkpoint();
    EXPECT_FALSE(service().integrity().next());  // both are of today
    const Time now = clock.now();
    catalog().set_verified(first.id, now - std::chrono::hours{30});
    catalog().set_verified(second.id, now - std::chrono::hours{31});
    ASSERT_TRUE(service().integrity().next());
    EXPECT_EQ(service().integrity().next()->id, second.id);
    catalog().set_verified(second.id, now);
    EXPECT_EQ(service().integrity().next()->id, first.id);
    service().integrity().suspect({second.id, CheckpointId{"ckpt-gone"}});
    EXPECT_EQ(service().integrity().next()->id, second.id);
}

TEST_F(IntegrityTest, OffMeansThatOnlySuspectsAreLookedAt)
{
    options.verify_every = Duration::zero();
    const Checkpoint made = checkpoint();
    catalog().set_verified(made.id, Time{});
    EXPECT_FALSE(service().integrity().next());
    service().integrity().suspect({made.id});
    EXPECT_TRUE(service().integrity().next());
    EXPECT_FALSE(service().integrity().next());
}

TEST_F(IntegrityTest, TheBackgroundFindsDamageAndSaysWhatIsIntact)
{
    options.verify_every = std::chrono::hours{24};
    const Checkpoint good = checkpoint();
    const Checkpoint bad = checkpoint();
    for (const Checkpoint& made : {good, bad}) catalog().set_verified(made.id, Time{});
    flip(tarball(bad), 100, 7);
    std::jthread background{[this](const std::stop_token& stop) { service().keep_intact(stop); }};
    EXPECT_TRUE(eventually([&] {
        return state_of(bad.id) == CheckpointState::quarantined && catalog().get(good.id).verified_at > Time{};
    }));
    EXPECT_EQ(state_of(good.id), CheckpointState::available);
    EXPECT_TRUE(
        contains(service().metrics().text(service().levels("1")), "warmd_verifications_total{verdict=\"damaged\"} 1"));
}

TEST_F(IntegrityTest, TheBackgroundWaitsWhileOperationsRun)
{
    options.verify_every = std::chrono::hours{24};
    manual_time = true;
    const Checkpoint made = checkpoint();
    catalog().set_verified(made.id, Time{});
    engine.hang_next("checkpoint");
    const Operation running = service().checkpoint(TemplateName{"quick"});
    ASSERT_TRUE(eventually([&] { return engine.calls("checkpoint") == 2; }));
    std::jthread background{[this](const std::stop_token& stop) { service().keep_intact(stop); }};
    // It sleeps again and again, and does not look though it would take no time.
    const Time then = manual_clock.now() + std::chrono::minutes{1};
    ASSERT_TRUE(eventually([&] { return manual_clock.now() > then; }));
    EXPECT_EQ(catalog().get(made.id).verified_at, Time{});
    service().operations().cancel(running.id);
    finish(running);
    EXPECT_TRUE(eventually([&] { return catalog().get(made.id).verified_at > then; }));
}

// ------------------------------------------------------- verification by restore

TEST_F(IntegrityTest, ANewCheckpointIsTriedOutAndItsCopyDestroyed)
{
    add_with_canary("echo answer; exit 3");
    const Operation done = finish(service().checkpoint(TemplateName{"quick"}));
    ASSERT_EQ(done.state, OperationState::succeeded) << done.error->what();
    const Checkpoint made = catalog().get(done.checkpoint);
    EXPECT_EQ(made.state, CheckpointState::available);
    EXPECT_TRUE(contains(made.canary, "status 3, 7 bytes, sha256 ")) << made.canary;
    EXPECT_EQ(engine.calls("restore"), 1);
    EXPECT_TRUE(engine.container_names().empty());
    EXPECT_TRUE(catalog().instances(Page::all()).empty());
    // What is in the manifest is what came of it.
    EXPECT_EQ(store().read_manifest(made.id)->canary, made.canary);
    EXPECT_EQ(verify(made.id, /*by_restore=*/true).state, OperationState::succeeded);
    EXPECT_EQ(engine.calls("restore"), 2);
    EXPECT_TRUE(engine.container_names().empty());
}

TEST_F(IntegrityTest, AnAnswerThatIsAnotherFailsANewCheckpointAndNothingIsLeft)
{
    // The copy is told by its root, which is another directory.
    add_with_canary("pwd");
    const Operation done = finish(service().checkpoint(TemplateName{"quick"}));
    EXPECT_EQ(code_of(done), ErrorCode::corrupt);
    const Checkpoint made = catalog().get(done.checkpoint);
    EXPECT_EQ(made.state, CheckpointState::failed);
    EXPECT_TRUE(contains(made.reason, "does not answer as the application did before")) << made.reason;
    EXPECT_FALSE(made.available_at);
    EXPECT_EQ(made.sha256, "");
    EXPECT_EQ(files_in("checkpoints"), 0U);
    EXPECT_EQ(files_in("unpacked"), 0U);
    EXPECT_TRUE(engine.container_names().empty());
    for (const Event& event : catalog().events_after(0, 1000)) EXPECT_NE(event.state, "available") << event.subject;
}

TEST_F(IntegrityTest, WithoutACanaryARunningCopyIsEnough)
{
    Template entry = test::quick_template();
    entry.verify.restore = true;
    add(entry);
    EXPECT_EQ(checkpoint().canary, "");
    engine.end_next_restored();
    const Operation done = finish(service().checkpoint(TemplateName{"quick"}));
    EXPECT_EQ(code_of(done), ErrorCode::not_ready);
    EXPECT_EQ(state_of(done.checkpoint), CheckpointState::failed);
    EXPECT_TRUE(engine.container_names().empty());
}

TEST_F(IntegrityTest, AVerificationByRestoreQuarantinesWhatDoesNotRunAndNotWhatTheEngineRefuses)
{
    const Checkpoint made = checkpoint();
    for (int i = 0; i < 2; ++i) engine.fail_next("restore", Error{ErrorCode::engine_failed, "criu failed"});
    EXPECT_EQ(code_of(verify(made.id, true)), ErrorCode::engine_failed);
    EXPECT_EQ(state_of(made.id), CheckpointState::available);
    EXPECT_FALSE(catalog().get(made.id).verified_at);
    engine.end_next_restored();
    EXPECT_EQ(code_of(verify(made.id, true)), ErrorCode::not_ready);
    EXPECT_EQ(state_of(made.id), CheckpointState::quarantined);
    EXPECT_TRUE(engine.container_names().empty());
}

TEST_F(IntegrityTest, OneThatIsBeingTriedOutCannotBeDeletedOrRestoredAndASweepLeavesItsCopyAlone)
{
    add_with_canary("test ! -e hold; while test -e hold; do sleep 0.01; done");
    engine.hang_next("restore");
    const Operation running = service().checkpoint(TemplateName{"quick"});
    ASSERT_TRUE(eventually([&] { return engine.calls("restore") == 1; }));
    const CheckpointId id = service().operations().get(running.id).checkpoint;
    EXPECT_EQ(state_of(id), CheckpointState::verifying);
    expect_error(ErrorCode::conflict, [&] { service().delete_checkpoint(id); });
    expect_error(ErrorCode::conflict, [&] { service().restore(id); });
    service().reconcile();
    const std::vector<Instance> live = catalog().instances(Page::all());
    EXPECT_TRUE(std::any_of(live.begin(), live.end(),
                            [](const Instance& instance) { return instance.state == InstanceState::restoring; }));
    service().operations().cancel(running.id);
    EXPECT_EQ(finish(running).state, OperationState::cancelled);
    EXPECT_EQ(state_of(id), CheckpointState::failed);
    EXPECT_EQ(files_in("checkpoints"), 0U);
}

// ------------------------------------------------------------------ the catalog

class CatalogLossTest : public IntegrityTest {
protected:
    void SetUp() override
    {
        made = checkpoint();
        lost = finish(service().restore(made.id)).instance;
        stop();
    }

    /// All that a lost catalog may cost: the checkpoint is there, the container is not.
    void expect_rebuilt()
    {
        const Checkpoint again = catalog().get(made.id);
        EXPECT_EQ(again.state, CheckpointState::available);
        Checkpoint expected = made;
        expected.phases.pop_back();  // the publishing itself
        expected.available_at = again.available_at;
        EXPECT_EQ(encode_manifest(again), encode_manifest(expected));
        EXPECT_TRUE(engine.container_names().empty());
        EXPECT_EQ(service().status().rebuild.checkpoints, 1);
        EXPECT_EQ(service().status().checkpoints_available, 1);
        EXPECT_EQ(service().integrity().next()->id, made.id);  // suspect until it has been read
        EXPECT_EQ(restore(made.id, InstancePath::archive).state, OperationState::succeeded);
    }

    Checkpoint made;
    InstanceId lost;
};

TEST_F(CatalogLossTest, ADeletedCatalogIsMadeAgainFromTheManifests)
{
    for (const char* const part : {"", "-wal", "-shm"}) fs::remove(catalog_path().string() + part);
    start_anew();
    EXPECT_EQ(options.damaged_catalog, "");
    expect_rebuilt();
}

TEST_F(CatalogLossTest, AnEmptiedOneToo)
{
    fs::resize_file(catalog_path(), 0);
    start_anew();
    expect_rebuilt();
}

TEST_F(CatalogLossTest, ATruncatedOneIsMovedAsideAndMadeAgain)
{
    const std::uintmax_t size = fs::file_size(catalog_path());
    fs::resize_file(catalog_path(), size / 2);
    start_anew();
    ASSERT_TRUE(options.damaged_catalog.starts_with(catalog_path().string() + ".damaged-")) << options.damaged_catalog;
    EXPECT_EQ(fs::file_size(options.damaged_catalog), size / 2);
    expect_rebuilt();
    EXPECT_EQ(service().status().rebuild.damaged, options.damaged_catalog);
}

TEST_F(CatalogLossTest, NoFlippedBitLosesTheCheckpointOrBringsItBackOtherwise)
{
    const std::string good = read_file(catalog_path());
    const fs::path checkpoints = directory.path() / "checkpoints";
    std::mt19937 random{7};  // NOLINT: the same flips each time
    int moved = 0;
    int refused = 0;
    constexpr int kFlips = 400;
    for (std::size_t i = 0; i < kFlips; ++i) {
        const std::size_t byte = i * good.size() / kFlips + random() % (good.size() / kFlips);
        std::string bad = good;
        bad[byte] = static_cast<char>(static_cast<unsigned char>(bad[byte]) ^ (1U << (random() % 8)));
        for (const fs::directory_entry& entry : fs::directory_iterator{directory.path()}) {
            if (entry.is_regular_file()) fs::remove(entry.path());
        }
        write_file(catalog_path(), bad);
        try {
            const OpenedCatalog opened = open_catalog(catalog_path().string());
            moved += opened.damaged.empty() ? 0 : 1;
            TarballStore files{directory.path()};
            recover_catalog(*opened.catalog, files, clock);
            const auto found = opened.catalog->find(made.id);
            ASSERT_TRUE(found) << byte;
            EXPECT_EQ(found->state, CheckpointState::available) << byte;
            EXPECT_EQ(found->sha256, made.sha256) << byte;
            EXPECT_EQ(found->template_digest, made.template_digest) << byte;
            EXPECT_EQ(found->environment, made.environment) << byte;
        } catch (const Error& error) {
            // The number of the schema: a newer one is refused, and nothing is changed.
            EXPECT_EQ(error.code(), ErrorCode::conflict) << byte << ": " << error.what() << " " << error.cause();
            ++refused;
        }
        ASSERT_TRUE(fs::exists(checkpoints / (made.id.value() + ".tar")));
        ASSERT_TRUE(fs::exists(checkpoints / (made.id.value() + ".json")));
    }
    EXPECT_GT(moved, 0);
    EXPECT_LE(refused, 1);
}

TEST_F(CatalogLossTest, ANewerOneStaysWhereItIs)
{
    std::string bytes = read_file(catalog_path());
    bytes[63] = static_cast<char>(99);  // PRAGMA user_version
    write_file(catalog_path(), bytes);
    expect_error(ErrorCode::conflict, [this] { open_catalog(catalog_path().string()); });
    EXPECT_EQ(read_file(catalog_path()).size(), bytes.size());
}

TEST_F(CatalogLossTest, DamageThatComesWhileItRunsIsMendedByARestart)
{
    catalog();
    const std::uintmax_t size = fs::file_size(catalog_path());
    std::fstream stream{catalog_path(), std::ios::in | std::ios::out | std::ios::binary};
    stream.seekp(4096);
    stream << std::string(size - 4096, '\x5A') << std::flush;
    start_anew();
    EXPECT_FALSE(options.damaged_catalog.empty());
    expect_rebuilt();
}

}  // namespace
}  // namespace warmd
