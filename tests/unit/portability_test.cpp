#include "daemon/model/portability.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "daemon/host/host_environment.h"
#include "daemon/ports/container_engine.h"

namespace warmd {
namespace {

const Environment kHost{{"podman", "5.4.2"},
                        {"runtime", "crun"},
                        {"runtime_version", "1.21"},
                        {"criu", "4.1.1"},
                        {"kernel", "6.12.48-amd64"},
                        {"architecture", "amd64"},
                        {"storage_driver", "overlay"},
                        {"cpu_model", "Some CPU"},
                        {"cpu_flags", "avx avx2 fpu pti sse2"},
                        {"xsave_size", "832"}};

Environment with(const std::string& field, const std::string& value)
{
    Environment changed = kHost;
    changed[field] = value;
    return changed;
}

/// "field:blocks" or "field:note", in order.
std::vector<std::string> verdicts(const Environment& recorded, const Environment& here)
{
    std::vector<std::string> result;
    for (const Difference& one : compare_hosts(recorded, here)) {
        EXPECT_FALSE(one.why.empty()) << one.field;
        result.push_back(one.field + (one.blocks ? ":blocks" : ":note"));
    }
    return result;
}

using Verdicts = std::vector<std::string>;

TEST(Portability, TheSameHostHasNoDifferences) { EXPECT_EQ(verdicts(kHost, kHost), Verdicts{}); }

TEST(Portability, ThisHostHasNoneToItself)
{
    const Environment here = host_environment(EngineInfo{.version = "5", .runtime = "crun", .kernel = "6.1"});
    EXPECT_TRUE(here.contains("cpu_flags"));
    EXPECT_EQ(verdicts(here, here), Verdicts{});
}

TEST(Portability, WhatOneSideDoesNotKnowIsNoDifference)
{
    EXPECT_EQ(verdicts({}, kHost), Verdicts{});
    EXPECT_EQ(verdicts(kHost, {}), Verdicts{});
    for (const auto& [field, value] : kHost) {
        Environment without = kHost;
        without.erase(field);
        EXPECT_EQ(verdicts(without, kHost), Verdicts{}) << field;
        EXPECT_EQ(verdicts(kHost, without), Verdicts{}) << field;
        EXPECT_EQ(verdicts(with(field, ""), kHost), Verdicts{}) << field;
    }
    EXPECT_EQ(verdicts({{"criu", "4.1"}, {"colour", "red"}}, with("colour", "blue")), Verdicts{"criu:note"});
}

TEST(Portability, AnotherArchitectureOrRuntimeBlocks)
{
    EXPECT_EQ(verdicts(with("architecture", "arm64"), kHost), Verdicts{"architecture:blocks"});
    EXPECT_EQ(verdicts(with("runtime", "runc"), kHost), Verdicts{"runtime:blocks"});
}

TEST(Portability, OfTheProcessorsFlagsTheMissingOnesBlockAndAreListed)
{
    const auto differences = compare_hosts(with("cpu_flags", "amx_tile avx avx2 avx512f fpu pti sse2"), kHost);
    ASSERT_EQ(differences.size(), 1U);
    EXPECT_EQ(differences.front().field, "cpu_flags");
    EXPECT_EQ(differences.front().recorded, "amx_tile avx512f");
    EXPECT_EQ(differences.front().here, "");
    EXPECT_TRUE(differences.front().blocks);
    EXPECT_EQ(describe(differences.front()), "cpu_flags amx_tile avx512f (not here)");
}

TEST(Portability, AProcessorThatCanMoreFits)
{
    EXPECT_EQ(verdicts(kHost, with("cpu_flags", "avx avx2 avx512f fpu sse2")), Verdicts{});
    EXPECT_EQ(verdicts(kHost, with("xsave_size", "2696")), Verdicts{});
}

TEST(Portability, FlagsOfTheKernelItselfDoNotCount)
{
    EXPECT_EQ(verdicts(with("cpu_flags", "avx ibrs_enhanced md_clear nopl pti rep_good vmx"),
                       with("cpu_flags", "avx hypervisor")),
              Verdicts{});
}

TEST(Portability, FlagsThatCountAreThoseThatProgramsUse)
{
    EXPECT_EQ(flags_that_count("avx avx2 ibrs nopl sse2 vmx"), (std::vector<std::string>{"avx", "avx2", "sse2"}));
    EXPECT_EQ(flags_that_count(""), std::vector<std::string>{});
}

TEST(Portability, ASmallerXsaveAreaBlocks)
{
    EXPECT_EQ(verdicts(with("xsave_size", "2696"), kHost), Verdicts{"xsave_size:blocks"});
    EXPECT_EQ(verdicts(with("xsave_size", "much"), kHost), Verdicts{}) << "what cannot be read is not known";
}

TEST(Portability, ImagesOfANewerCriuBlockAndThoseOfAnOlderOneDoNot)
{
    EXPECT_EQ(verdicts(with("criu", "4.2"), kHost), Verdicts{"criu:blocks"});
    EXPECT_EQ(verdicts(with("criu", "5.0"), kHost), Verdicts{"criu:blocks"});
    EXPECT_EQ(verdicts(with("criu", "4.10"), with("criu", "4.9")), Verdicts{"criu:blocks"}) << "numbers, not letters";
    EXPECT_EQ(verdicts(with("criu", "4.1.9"), kHost), Verdicts{"criu:note"}) << "the same minor version";
    EXPECT_EQ(verdicts(with("criu", "3.19"), kHost), Verdicts{"criu:note"});
    EXPECT_EQ(verdicts(with("criu", "git"), kHost), Verdicts{"criu:note"});
}

TEST(Portability, AnotherKernelIsANote)
{
    EXPECT_EQ(verdicts(with("kernel", "6.12.57-amd64"), kHost), Verdicts{"kernel:note"});
    EXPECT_EQ(verdicts(with("kernel", "6.1.0-38-amd64"), kHost), Verdicts{"kernel:note"});
    EXPECT_EQ(verdicts(with("kernel", "7.0"), kHost), Verdicts{"kernel:note"});
    const auto older = compare_hosts(with("kernel", "6.1"), kHost);
    const auto newer = compare_hosts(with("kernel", "6.18"), kHost);
    EXPECT_NE(older.front().why, newer.front().why);
}

TEST(Portability, AKernelWithACriuThatIsKnownNotToCopeBlocks)
{
    EXPECT_EQ(verdicts(kHost, with("kernel", "6.16.0")), Verdicts{"kernel:blocks"});
    Environment old_criu = with("criu", "3.17.1");
    Environment new_kernel = old_criu;
    new_kernel["kernel"] = "6.13.1";
    EXPECT_EQ(verdicts(old_criu, new_kernel), Verdicts{"kernel:blocks"});
    // Only CRIU has changed: from one that copes to one that does not.
    Environment good = with("kernel", "6.18.1");
    good["criu"] = "4.2";
    Environment bad = good;
    bad["criu"] = "4.1";
    EXPECT_EQ(verdicts(good, bad), Verdicts{"criu:blocks"});
}

TEST(Portability, APairThatTheDumpSucceededWithDoesNotBlock)
{
    Environment recorded = with("kernel", "6.18.1");
    Environment here = with("kernel", "6.18.2");
    EXPECT_EQ(verdicts(recorded, recorded), Verdicts{});
    EXPECT_EQ(verdicts(recorded, here), Verdicts{"kernel:note"});
}

TEST(Portability, VersionsOfWhatDoesNotMatterAreNotes)
{
    EXPECT_EQ(verdicts(with("podman", "4.3.1"), kHost), Verdicts{"podman:note"});
    EXPECT_EQ(verdicts(with("runtime_version", "1.8"), kHost), Verdicts{"runtime_version:note"});
    EXPECT_EQ(verdicts(with("cpu_model", "Another CPU"), kHost), Verdicts{"cpu_model:note"});
}

TEST(Portability, EverythingThatDiffersIsTold)
{
    const Environment other{{"architecture", "arm64"}, {"cpu_flags", "neon"}, {"criu", "4.2"},
                            {"kernel", "6.1"},         {"runtime", "runc"},   {"xsave_size", "2696"}};
    EXPECT_EQ(verdicts(other, kHost), (Verdicts{"architecture:blocks", "cpu_flags:blocks", "xsave_size:blocks",
                                                "runtime:blocks", "criu:blocks", "kernel:note"}));
}

TEST(Difference, IsDescribedInAWord)
{
    const std::vector<Difference> differences{
        {.field = "criu", .recorded = "4.2", .here = "4.1", .blocks = true, .why = {}},
        {.field = "kernel", .recorded = "6.1", .here = "6.2", .blocks = false, .why = {}},
        {.field = "image_id", .recorded = std::string(64, 'a'), .here = {}, .blocks = true, .why = {}}};
    EXPECT_EQ(describe_blocking(differences), "criu 4.2 (here 4.1), image_id aaaaaaaaaaaa (not here)");
    EXPECT_FALSE(fits(differences));
    EXPECT_TRUE(fits({differences.at(1)}));
    EXPECT_TRUE(fits({}));
    EXPECT_EQ(describe_blocking({differences.at(1)}), "");
}

}  // namespace
}  // namespace warmd
