// Every change of the disk that a checkpoint makes, in the store and in the catalog, fails once, and from there on: it
// is refused with `no_space` or done, and nothing between. Fake engine.
#include <cerrno>
#include <filesystem>
#include <optional>
#include <set>
#include <string>

#include "tests/nospace/failing_disk.h"
#include "tests/support/service_fixture.h"

namespace warmd {
namespace {

using test::FailingDisk;

struct Case {
    const char* name;
    FailingDisk::Until until;
    int error_number;
    bool reserve;  // the catalog has a little space that it can give up
};

std::string name_of(const testing::TestParamInfo<Case>& info) { return info.param.name; }

class NoSpaceTest : public test::ServiceFixture, public testing::WithParamInterface<Case> {
protected:
    NoSpaceTest() { store_options.min_free_bytes = 1; }

    [[nodiscard]] std::filesystem::path reserve() const { return directory.path() / "catalog.sqlite.reserve"; }

    /// What is acknowledged is there, and nothing else.
    void expect_order(const std::set<CheckpointId>& acknowledged)
    {
        std::set<CheckpointId> available;
        for (const Checkpoint& one : catalog().checkpoints(Page::all())) {
            EXPECT_TRUE(one.state == CheckpointState::available || one.state == CheckpointState::failed)
                << one.id << " is " << to_string(one.state);
            if (one.state != CheckpointState::available) continue;
            available.insert(one.id);
            EXPECT_EQ(std::filesystem::file_size(store().path_of(one.id)), one.size_bytes);
        }
        EXPECT_EQ(available, acknowledged);
        EXPECT_EQ(files_in("checkpoints"), 2 * acknowledged.size()) << "a tarball and its manifest for each";
        EXPECT_EQ(files_in("tmp"), 0U);
        EXPECT_LE(files_in("unpacked"), acknowledged.size());
        EXPECT_EQ(store().ledger().reserved(), 0U);
        EXPECT_TRUE(catalog().unfinished_operations().empty());
        EXPECT_TRUE(catalog().instances(Page::all()).empty());
        EXPECT_TRUE(engine.container_names().empty());
    }

    static void expect_no_space(const Error& error)
    {
        EXPECT_EQ(error.code(), ErrorCode::no_space) << error.what() << ": " << error.cause();
    }

    /// The checkpoint that it acknowledges.
    std::optional<CheckpointId> try_checkpoint()
    {
        try {
            const Operation done = finish(service().checkpoint(TemplateName{"quick"}));
            EXPECT_TRUE(is_final(done.state)) << to_string(done.state);
            if (done.state == OperationState::succeeded) return done.checkpoint;
            EXPECT_TRUE(done.error);
            if (done.error) expect_no_space(*done.error);
        } catch (const Error& error) {
            expect_no_space(error);
        }
        return std::nullopt;
    }
};

TEST_P(NoSpaceTest, IsRefusedOrDone)
{
    std::set<CheckpointId> acknowledged;
    int refused = 0;
    for (int nth = 1; !HasFailure(); ++nth) {
        SCOPED_TRACE("change " + std::to_string(nth));
        service().reconcile();
        if (!GetParam().reserve) std::filesystem::remove(reserve());
        FailingDisk disk{directory.path(), nth, GetParam().until, GetParam().error_number};
        const auto made = try_checkpoint();
        const bool failed = disk.mend();
        if (made) acknowledged.insert(*made);
        else ++refused;
        service().reconcile();  // what could not be recorded
        expect_order(acknowledged);
        if (!failed) {
            EXPECT_TRUE(made) << "nothing stood in its way";
            EXPECT_GT(nth, 20) << "a checkpoint makes more changes than that";
            EXPECT_GT(refused, 2) << "some of them cannot be done without";
            return;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Full, NoSpaceTest,
                         testing::Values(Case{"Once", FailingDisk::Until::once, ENOSPC, true},
                                         Case{"OnceWithoutReserve", FailingDisk::Until::once, ENOSPC, false},
                                         Case{"ForGood", FailingDisk::Until::mended, ENOSPC, true},
                                         Case{"ForGoodWithoutReserve", FailingDisk::Until::mended, ENOSPC, false},
                                         Case{"QuotaOnce", FailingDisk::Until::once, EDQUOT, false}),
                         name_of);

}  // namespace
}  // namespace warmd
