#include "daemon/base/clock.h"

#include <gtest/gtest.h>

#include <random>
#include <stop_token>

#include "tests/unit/expect_error.h"

namespace warmd {
namespace {

using namespace std::chrono_literals;
using test::contains;
using test::expect_error;

TEST(FormatTime, IsRfc3339InUtcWithMilliseconds)
{
    EXPECT_EQ(format_time(Time{}), "1970-01-01T00:00:00.000Z");
    EXPECT_EQ(format_time(Time{1'769'860'800s + 123ms}), "2026-01-31T12:00:00.123Z");
    EXPECT_EQ(format_time(Time{951'782'400s}), "2000-02-29T00:00:00.000Z");
}

TEST(FormatTime, CutsMicrosecondsInsteadOfRoundingIntoTheFuture)
{
    EXPECT_EQ(format_time(Time{1'999'999us}), "1970-01-01T00:00:01.999Z");
}

TEST(FormatTime, WritesTimesBefore1970)
{
    EXPECT_EQ(format_time(Time{-1us}), "1969-12-31T23:59:59.999Z");
    EXPECT_EQ(format_time(Time{-1s}), "1969-12-31T23:59:59.000Z");
}

TEST(ParseTime, ReadsWhatFormatTimeWrites)
{
    std::mt19937_64 random{1};
    std::uniform_int_distribution<std::int64_t> milliseconds{-2'000'000'000'000, 200'000'000'000'000};
    for (int i = 0; i < 1000; ++i) {
        const Time time{std::chrono::milliseconds{milliseconds(random)}};
        ASSERT_EQ(parse_time(format_time(time)), time) << format_time(time);
    }
}

TEST(ParseTime, ReadsTimesWithoutAFraction) { EXPECT_EQ(parse_time("1970-01-01T00:00:01Z"), Time{1s}); }

TEST(ParseTime, RefusesWhatIsNoTimeInUtc)
{
    for (const char* const text :
         {"", "now", "2026-01-31", "2026-01-31T12:00:00", "2026-01-31T12:00:00.123", "2026-01-31T12:00:00.12Z",
          "2026-01-31T12:00:00.1234Z", "2026-01-31T12:00:00.Z", "2026-01-31T12:00:00.abcZ", "2026-01-31T12:00:00+01:00",
          "2026-01-31T12:00:00ZZ", "2026-13-01T00:00:00Z", "2026-01-31 12:00:00Z", "2026-01-31T25:00:00Z"}) {
        SCOPED_TRACE(text);
        expect_error(ErrorCode::invalid_argument, [&] { parse_time(text); });
    }
}

TEST(ParseTime, RefusesANegativeFraction)
{
    expect_error(ErrorCode::invalid_argument, [] { parse_time("2026-01-31T12:00:00.-12Z"); });
}

TEST(ParseTime, RefusesWhatFollowsANul)
{
    expect_error(ErrorCode::invalid_argument, [] { parse_time(std::string_view{"2026-01-31T12:00:00Z\0x", 22}); });
}

TEST(ParseDuration, ReadsEveryUnit)
{
    EXPECT_EQ(parse_duration("250ms"), 250ms);
    EXPECT_EQ(parse_duration("30s"), 30s);
    EXPECT_EQ(parse_duration("5m"), 5min);
    EXPECT_EQ(parse_duration("2h"), 2h);
    EXPECT_EQ(parse_duration("7d"), 168h);
    EXPECT_EQ(format_duration(48h), "48h");
    EXPECT_EQ(parse_duration("0s"), 0s);
}

TEST(ParseDuration, AllowsAYearAndNoMore)
{
    EXPECT_EQ(parse_duration("8784h"), 8784h);
    expect_error(ErrorCode::invalid_argument, [] { parse_duration("8785h"); });
    expect_error(ErrorCode::invalid_argument, [] { parse_duration("9223372036854775807ms"); });
    expect_error(ErrorCode::invalid_argument, [] { parse_duration("99999999999999999999s"); });
}

TEST(ParseDuration, RefusesWhatIsNotANumberAndAUnit)
{
    for (const char* const text :
         {"", "s", "30", "-1s", "+1s", "1.5s", " 1s", "1 s", "1s ", "1D", "1w", "1S", "1us", "0x1s"}) {
        SCOPED_TRACE(text);
        expect_error(ErrorCode::invalid_argument, [&] { parse_duration(text); });
    }
}

TEST(ParseDuration, TellsHowToWriteOne)
{
    const Error error = expect_error(ErrorCode::invalid_argument, [] { parse_duration("soon"); });
    EXPECT_TRUE(contains(error.what(), "\"soon\"")) << error.what();
    EXPECT_TRUE(contains(error.hint(), "250ms")) << error.hint();
}

TEST(SystemClock, SleepEndsAtOnceWhenStopIsRequested)
{
    SystemClock clock;
    std::stop_source stop;
    stop.request_stop();
    const auto before = clock.steady_now();
    EXPECT_FALSE(clock.sleep_for(1h, stop.get_token()));
    EXPECT_LT(clock.steady_now() - before, 1min);
}

TEST(SystemClock, SleepsForAtLeastTheDuration)
{
    SystemClock clock;
    const auto before = clock.steady_now();
    EXPECT_TRUE(clock.sleep_for(2ms, std::stop_token{}));
    EXPECT_GE(clock.steady_now() - before, 2ms);
}

}  // namespace
}  // namespace warmd
