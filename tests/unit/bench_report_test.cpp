#include "client/bench_report.h"

#include <gtest/gtest.h>

#include <chrono>

namespace warmd::client {
namespace {

using std::chrono::milliseconds;

TEST(BenchReportTest, PercentilesAreSamples)
{
    EXPECT_EQ(percentile({7.0}, 95), 7.0);
    EXPECT_EQ(percentile({3.0, 1.0, 2.0}, 50), 2.0);
    EXPECT_EQ(percentile({3.0, 1.0, 2.0}, 0), 1.0);
    EXPECT_EQ(percentile({1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0}, 95), 11.0);
    EXPECT_EQ(percentile({1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0}, 90), 10.0);
}

TEST(BenchReportTest, RowsKeepTheOrderInWhichTheyWereFirstNamed)
{
    BenchReport report;
    report.add("b", milliseconds{2});
    report.add_phases("b", {{.name = "x", .started_at = {}, .elapsed = milliseconds{1}}});
    report.skip("a", "not root");
    report.add("b", milliseconds{4});
    EXPECT_EQ(report.markdown(), "| what | p50 ms | p95 ms | min ms | samples |\n|---|---|---|---|---|\n"
                                 "| b | 4.0 | 4.0 | 2.0 | 2 |\n"
                                 "| b: x | 1.0 | 1.0 | 1.0 | 1 |\n"
                                 "| a (not measured: not root) | - | - | - | 0 |\n");
}

TEST(BenchReportTest, ReasonsStayInTheirCell)
{
    BenchReport report;
    report.skip("a", "x | y\nz");
    report.skip("b", "once");
    report.add("b", milliseconds{1});
    EXPECT_NE(report.markdown().find("x \\| y\\x0az"), std::string::npos) << report.markdown();
    EXPECT_NE(report.markdown().find("| b (not each time: once) | 1.0 |"), std::string::npos) << report.markdown();
}

TEST(BenchReportTest, JsonHasAllSamplesAndNothingWhereThereAreNone)
{
    BenchReport report;
    report.add("b", milliseconds{2});
    report.add("b", milliseconds{1});
    report.skip("a", "why");
    EXPECT_EQ(report.json(), Json::parse(R"([
        {"name": "b", "samples_ms": [2.0, 1.0], "p50_ms": 2.0, "p95_ms": 2.0, "min_ms": 1.0, "problem": null},
        {"name": "a", "samples_ms": [], "p50_ms": null, "p95_ms": null, "min_ms": null, "problem": "why"}])"));
}

}  // namespace

}  // namespace warmd::client
