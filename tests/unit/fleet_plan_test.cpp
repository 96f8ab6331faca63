#include "client/fleet_plan.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "daemon/base/json.h"
#include "tests/unit/expect_error.h"

namespace warmd::client {
namespace {

using test::contains;
using test::expect_error;
using Indices = std::vector<AgentIndex>;
using Classes = std::vector<Indices>;
using Words = std::vector<std::string>;

const Environment kOld{{"podman", "5.4.2"},
                       {"runtime", "crun"},
                       {"criu", "4.1.1"},
                       {"kernel", "6.12.48-amd64"},
                       {"architecture", "amd64"},
                       {"cpu_model", "Old CPU"},
                       {"cpu_flags", "avx avx2 fpu pti sse2"},
                       {"xsave_size", "832"}};

Environment with(const Environment& base, const Environment& changes)
{
    Environment changed = base;
    for (const auto& [name, value] : changes) changed[name] = value;
    return changed;
}

const Environment kNew = with(
    kOld, {{"cpu_model", "New CPU"}, {"cpu_flags", "avx avx2 avx512f fpu sse2"}, {"xsave_size", "2696"}});

/// Agents a, b, c and so on.
std::vector<FleetAgent> fleet(const std::vector<Environment>& environments)
{
    std::vector<FleetAgent> agents;
    for (const Environment& environment : environments) {
        const auto letter = static_cast<char>('a' + agents.size());
        agents.push_back({.name = {letter}, .report = {.findings = {}, .environment = environment}});
    }
    return agents;
}

Words fields(const std::vector<Difference>& differences)
{
    Words names;
    for (const Difference& one : differences) {
        if (one.blocks) names.push_back(one.field);
    }
    return names;
}

TEST(FleetPlan, AgentsThatAreTheSameAreOneClassAndAnyWillDo)
{
    const FleetPlan plan = plan_fleet(fleet({kOld, kOld, kOld}));
    EXPECT_EQ(plan.classes, (Classes{{0, 1, 2}}));
    EXPECT_EQ(plan.baseline.warm_on, (Indices{0, 1, 2}));
    EXPECT_TRUE(plan.baseline.in_the_way.empty());
    EXPECT_EQ(plan.baseline.cpu_flags, (Words{"avx", "avx2", "fpu", "sse2"})) << "pti is the kernel's";
    EXPECT_EQ(plan.baseline.xsave_size, 832U);
}

TEST(FleetPlan, OneAgentIsAFleet)
{
    const FleetPlan plan = plan_fleet(fleet({kOld}));
    EXPECT_EQ(plan.classes, Classes{{0}});
    EXPECT_EQ(plan.baseline.warm_on, Indices{0});
}

TEST(FleetPlan, WhatANewerProcessorMakesDoesNotGoDownToAnOlderOne)
{
    const FleetPlan plan = plan_fleet(fleet({kNew, kOld, kNew}));
    EXPECT_EQ(plan.classes, (Classes{{0, 2}, {1}}));
    EXPECT_FALSE(plan.restores(0, 1));
    EXPECT_TRUE(plan.restores(1, 0));
    EXPECT_EQ(fields(plan.matrix.at(0).at(1)), (Words{"cpu_flags", "xsave_size"}));
    EXPECT_EQ(plan.matrix.at(0).at(1).front().recorded, "avx512f") << "what the old one lacks";
    EXPECT_EQ(plan.baseline.warm_on, Indices{1});
}

TEST(FleetPlan, AnotherKernelOrFlagsOfTheKernelMakeNoOtherClass)
{
    const FleetPlan plan = plan_fleet(
        fleet({kOld, with(kOld, {{"kernel", "6.1.0-38-amd64"}, {"cpu_flags", "avx avx2 fpu ibrs sse2"}})}));
    EXPECT_EQ(plan.classes, (Classes{{0, 1}}));
    ASSERT_EQ(plan.matrix.at(0).at(1).size(), 1U);
    EXPECT_EQ(plan.matrix.at(0).at(1).front().field, "kernel");
    EXPECT_FALSE(plan.matrix.at(0).at(1).front().blocks);
}

TEST(FleetPlan, AKernelThatItsCriuDoesNotKnowRestoresNothingOfOthers)
{
    const FleetPlan plan = plan_fleet(fleet({kOld, with(kOld, {{"kernel", "6.16.1"}})}));
    EXPECT_EQ(plan.classes, (Classes{{0}, {1}}));
    EXPECT_EQ(fields(plan.matrix.at(0).at(1)), Words{"kernel"});
    EXPECT_TRUE(plan.restores(1, 0));
    EXPECT_EQ(plan.baseline.warm_on, Indices{1});
}

TEST(FleetPlan, AnotherRuntimeStandsInTheWayWhateverTheProcessor)
{
    const FleetPlan plan = plan_fleet(fleet({kNew, kOld, with(kOld, {{"runtime", "runc"}})}));
    EXPECT_EQ(plan.classes, (Classes{{0}, {1}, {2}}));
    EXPECT_TRUE(plan.baseline.warm_on.empty());
    EXPECT_EQ(plan.baseline.by_processor, (Indices{1, 2}));
    EXPECT_EQ(plan.baseline.nearest, 1U);
    ASSERT_EQ(plan.baseline.in_the_way.size(), 1U);
    EXPECT_EQ(plan.baseline.in_the_way.front().agent, 2U);
    EXPECT_EQ(fields(plan.baseline.in_the_way.front().differences), Words{"runtime"});
}

TEST(FleetPlan, AnOlderCriuIsTheOneToWarmWith)
{
    const FleetPlan plan = plan_fleet(fleet({with(kOld, {{"criu", "4.2"}}), kOld}));
    EXPECT_EQ(plan.classes, (Classes{{0}, {1}}));
    EXPECT_EQ(plan.baseline.warm_on, Indices{1});
}

TEST(FleetPlan, ProcessorsOfWhichEachCanWhatTheOtherCannotHaveNoBaseline)
{
    const FleetPlan plan = plan_fleet(fleet(
        {with(kOld, {{"cpu_flags", "avx avx2 sse2 sse4a"}}), with(kOld, {{"cpu_flags", "avx avx2 avx512f sse2"}})}));
    EXPECT_TRUE(plan.baseline.warm_on.empty());
    EXPECT_TRUE(plan.baseline.by_processor.empty());
    EXPECT_EQ(plan.baseline.cpu_flags, (Words{"avx", "avx2", "sse2"})) << "what a virtual processor could have";
    EXPECT_EQ(plan.baseline.nearest, 0U) << "of equals the first";
    ASSERT_EQ(plan.baseline.in_the_way.size(), 1U);
    EXPECT_EQ(plan.baseline.in_the_way.front().differences.front().recorded, "sse4a");
}

TEST(FleetPlan, ArchitecturesHaveNoFlagsInCommon)
{
    const FleetPlan plan = plan_fleet(fleet({kOld, {{"architecture", "arm64"}, {"runtime", "crun"}}}));
    EXPECT_TRUE(plan.baseline.warm_on.empty());
    EXPECT_TRUE(plan.baseline.cpu_flags.empty());
    EXPECT_EQ(plan.baseline.xsave_size, std::nullopt);
    EXPECT_EQ(fields(plan.matrix.at(0).at(1)), Words{"architecture"});
}

TEST(FleetPlan, AClassIsAlikeToAllOthersAlsoWhereLittleIsKnown)
{
    // What tells nothing of its processor fits both of two that do not fit each other.
    Environment vague = kOld;
    vague.erase("cpu_flags");
    vague.erase("xsave_size");
    const FleetPlan plan = plan_fleet(fleet({kOld, kNew, vague}));
    EXPECT_EQ(plan.classes, (Classes{{0}, {1}, {2}}));
    EXPECT_EQ(not_compared(vague), (Words{"cpu_flags", "xsave_size"}));
    EXPECT_EQ(not_compared(kOld), Words{});
}

TEST(FleetPlan, SaysWhichAgentsRestoreACheckpoint)
{
    Checkpoint checkpoint;
    checkpoint.environment = kNew;
    const auto differences = compare_with_fleet(checkpoint, fleet({kOld, kNew}));
    ASSERT_EQ(differences.size(), 2U);
    EXPECT_EQ(fields(differences.at(0)), (Words{"cpu_flags", "xsave_size"}));
    EXPECT_TRUE(fits(differences.at(1)));
}

TEST(FleetPlan, AsADocumentNamesAgents)
{
    std::vector<FleetAgent> agents = fleet({kNew, kOld});
    agents.front().report.findings.push_back({.check = "criu",
                                              .status = FindingStatus::problem,
                                              .found = "there is none",
                                              .why = "it is needed",
                                              .fix = "apt-get install criu"});
    contract::CheckpointHere checkpoint;
    checkpoint.id = CheckpointId{"ckpt-1"};
    checkpoint.environment = kNew;
    const Json json = encode_plan(agents, plan_fleet(agents), {checkpoint});
    EXPECT_EQ(json.at("classes"), parse_json(R"([["a"], ["b"]])"));
    EXPECT_EQ(json.at("agents").at(0).at("problems"), parse_json(R"(["criu"])"));
    EXPECT_EQ(json.at("agents").at(1).at("status"), "ok");
    EXPECT_EQ(json.at("matrix").size(), 4U);
    EXPECT_EQ(json.at("matrix").at(1).at("made_on"), "a");
    EXPECT_EQ(json.at("matrix").at(1).at("restores_on"), "b");
    EXPECT_EQ(json.at("matrix").at(1).at("compatible"), false);
    EXPECT_EQ(json.at("matrix").at(1).at("differences").at(0).at("field"), "cpu_flags");
    EXPECT_EQ(json.at("baseline").at("warm_on"), parse_json(R"(["b"])"));
    EXPECT_EQ(json.at("baseline").at("in_the_way"), Json::array());
    EXPECT_EQ(json.at("checkpoints").at(0).at("restores_on").at(0).at("compatible"), true);
    EXPECT_EQ(json.at("checkpoints").at(0).at("restores_on").at(1).at("compatible"), false);
}

TEST(FleetFile, OfADoctorNamesTheAgent)
{
    const Json document = contract::encode(DoctorReport{.findings = {}, .environment = kOld});
    const FleetAgent agent = decode_agent("agents/build7.example.json", dump_json(document));
    EXPECT_EQ(agent.name, "build7.example");
    EXPECT_EQ(agent.report.environment, kOld);
    EXPECT_EQ(decode_agent("build7", dump_json(document)).name, "build7");
}

TEST(FleetFile, ThatIsMalformedIsNamedWithTheNextStep)
{
    for (const char* const words : {"", "{", "[]", "{}", R"({"findings": [], "environment": {"criu": 4}})"}) {
        const Error error = expect_error(ErrorCode::invalid_argument, [&] { decode_agent("agents/a.json", words); });
        EXPECT_TRUE(contains(error.what(), "agents/a.json")) << error.what();
        EXPECT_TRUE(contains(error.hint(), "doctor --json > a.json")) << error.hint();
    }
}

TEST(FleetFile, WithoutAnEnvironmentIsRefused)
{
    for (const char* const words : {R"({"findings": []})", R"({"findings": [], "environment": {}})"}) {
        const Error error = expect_error(ErrorCode::invalid_argument, [&] { decode_agent("a.json", words); });
        EXPECT_TRUE(contains(error.what(), "a.json does not tell")) << error.what();
        EXPECT_TRUE(contains(error.cause(), "Podman")) << error.cause();
        EXPECT_FALSE(error.hint().empty());
    }
}

TEST(FleetFile, OfTheOtherKindIsToldWhereItBelongs)
{
    const std::string checkpoint = R"({"id": "ckpt-1", "template_digest": "d"})";
    const Error for_agent = expect_error(ErrorCode::invalid_argument, [&] { decode_agent("c.json", checkpoint); });
    EXPECT_TRUE(contains(for_agent.hint(), "--checkpoint c.json")) << for_agent.hint();
    const Error for_checkpoint = expect_error(ErrorCode::invalid_argument,
                                              [&] { decode_checkpoint_file("a.json", R"({"findings": []})"); });
    EXPECT_TRUE(contains(for_checkpoint.hint(), "warmctl fleet plan a.json")) << for_checkpoint.hint();
    const Error neither = expect_error(ErrorCode::invalid_argument, [&] { decode_checkpoint_file("x.json", "{}"); });
    EXPECT_TRUE(contains(neither.what(), "x.json")) << neither.what();
    EXPECT_TRUE(contains(neither.hint(), "checkpoint show --json")) << neither.hint();
}

}  // namespace
}  // namespace warmd::client
