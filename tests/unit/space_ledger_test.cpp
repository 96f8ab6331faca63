#include "daemon/store/space_ledger.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/expect_error.h"

namespace warmd {
namespace {

using test::contains;

constexpr std::uint64_t kMega = std::uint64_t{1} << 20U;

class SpaceLedgerTest : public testing::Test {
protected:
    using Reservation = SpaceLedger::Reservation;

    std::uint64_t free = 1000 * kMega;
    SpaceLedger ledger{[this] { return free; }, 100 * kMega};
};

TEST_F(SpaceLedgerTest, ReservationsCountTogetherAndLeaveTheFloor)
{
    Reservation first{ledger};
    Reservation second{ledger};
    EXPECT_EQ(first.raise(500 * kMega), 0U);
    EXPECT_EQ(second.raise(401 * kMega), kMega);
    EXPECT_EQ(ledger.reserved(), 500 * kMega) << "a refusal reserves nothing";
    EXPECT_EQ(second.raise(400 * kMega), 0U);
    EXPECT_EQ(ledger.missing_for(0), 0U);
    EXPECT_EQ(ledger.missing_for(1), 1U);
}

TEST_F(SpaceLedgerTest, ItsEndGivesBackWhatWasNotWritten)
{
    {
        Reservation one{ledger};
        EXPECT_EQ(one.raise(300 * kMega), 0U);
        EXPECT_EQ(one.take(100 * kMega), 0U);
        free -= 100 * kMega;
        EXPECT_EQ(ledger.reserved(), 200 * kMega) << "what is written the file system counts";
    }
    EXPECT_EQ(ledger.reserved(), 0U);
}

TEST_F(SpaceLedgerTest, RaisingToLessChangesNothing)
{
    Reservation one{ledger};
    EXPECT_EQ(one.raise(300 * kMega), 0U);
    EXPECT_EQ(one.raise(200 * kMega), 0U);
    EXPECT_EQ(ledger.reserved(), 300 * kMega);
}

TEST_F(SpaceLedgerTest, WhatIsReservedIsThereThoughOthersHaveTakenTheRest)
{
    Reservation one{ledger};
    EXPECT_EQ(one.raise(300 * kMega), 0U);
    free = 10 * kMega;
    EXPECT_EQ(one.take(300 * kMega), 0U);
}

TEST_F(SpaceLedgerTest, WhatGrowsBeyondItsReservationTakesNeitherTheFloorNorWhatIsPromised)
{
    Reservation other{ledger};
    EXPECT_EQ(other.raise(800 * kMega), 0U);
    Reservation one{ledger};
    EXPECT_EQ(one.raise(50 * kMega), 0U);
    std::uint64_t written = 0;
    std::uint64_t missing = 0;
    while ((missing = one.take(kMega)) == 0) {
        free -= kMega;
        written += kMega;
    }
    EXPECT_EQ(written, 100 * kMega);
    EXPECT_EQ(missing, kMega);
    EXPECT_EQ(free - ledger.reserved(), 100 * kMega);
}

TEST_F(SpaceLedgerTest, WithoutAnythingReservedItGrowsWhileThereIsSpace)
{
    Reservation one{ledger};
    EXPECT_EQ(one.take(900 * kMega), 0U);
    free = 100 * kMega;
    EXPECT_EQ(one.take(1), 1U);
}

TEST_F(SpaceLedgerTest, LessThanTheFloorIsMissingInFull)
{
    free = 60 * kMega;
    EXPECT_EQ(ledger.missing_for(0), 40 * kMega);
    EXPECT_EQ(ledger.missing_for(10 * kMega), 50 * kMega);
}

TEST_F(SpaceLedgerTest, ARefusalSaysWhatIsMissingAndWhatToDo)
{
    const Error error = ledger.refusal(12345);
    EXPECT_EQ(error.code(), ErrorCode::no_space);
    EXPECT_TRUE(contains(error.what(), "12345 bytes")) << error.what();
    EXPECT_TRUE(contains(error.hint(), "warmctl prune")) << error.hint();
    EXPECT_TRUE(contains(error.hint(), "retention.min_free_bytes")) << error.hint();
}

TEST_F(SpaceLedgerTest, AnErrorOfTheFileSystemReservesNothing)
{
    SpaceLedger broken{[]() -> std::uint64_t { throw Error{ErrorCode::internal, "no answer"}; }, 0};
    Reservation one{broken};
    EXPECT_THROW(static_cast<void>(one.raise(1)), Error);
    EXPECT_EQ(broken.reserved(), 0U);
}

TEST_F(SpaceLedgerTest, ManyAtOnceNeverGetTheSameSpace)
{
    std::vector<std::uint64_t> got(8);
    {
        std::vector<std::optional<Reservation>> reservations(got.size());
        std::vector<std::jthread> threads;
        for (std::size_t i = 0; i < got.size(); ++i) {
            threads.emplace_back([this, i, &got, &reservations] {
                Reservation& mine = reservations[i].emplace(ledger);
                while (mine.raise(got[i] + kMega) == 0) got[i] += kMega;
            });
        }
        threads.clear();
        std::uint64_t sum = 0;
        for (const std::uint64_t one : got) sum += one;
        EXPECT_EQ(sum, 900 * kMega);
    }
    EXPECT_EQ(ledger.reserved(), 0U);
}

}  // namespace
}  // namespace warmd
