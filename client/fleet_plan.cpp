#include "client/fleet_plan.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <set>
#include <string_view>
#include <utility>

namespace warmd::client {

namespace {

using Matrix = std::vector<std::vector<std::vector<Difference>>>;

/// build7 of fleet/build7.json.
std::string name_of(const std::string& file)
{
    const std::filesystem::path path = std::filesystem::path{file}.filename();
    return path.extension() == ".json" ? path.stem().string() : path.string();
}

std::string write_anew(const std::string& file)
{
    return "on that agent: sudo warmctl doctor --json > " + name_of(file) + ".json";
}

/// Members that tell the two documents apart which people have side by side.
bool is_checkpoint(const Json& json) { return json.is_object() && json.contains("template_digest"); }
bool is_doctors(const Json& json) { return json.is_object() && json.contains("findings"); }

/// Of a processor alone.
bool is_of_processor(const Difference& one)
{
    return one.field == "architecture" || one.field == "cpu_flags" || one.field == "xsave_size";
}

bool processor_fits(const std::vector<Difference>& differences)
{
    return std::none_of(differences.begin(), differences.end(),
                        [](const Difference& one) { return one.blocks && is_of_processor(one); });
}

std::string member(const FleetAgent& agent, const std::string& name)
{
    const auto found = agent.report.environment.find(name);
    return found == agent.report.environment.end() ? std::string{} : found->second;
}

/// What is known of one member, each value once.
std::set<std::string> values(const std::vector<FleetAgent>& agents, const std::string& name)
{
    std::set<std::string> found;
    for (const FleetAgent& agent : agents) found.insert(member(agent, name));
    found.erase("");
    return found;
}

std::vector<std::string> common_flags(const std::set<std::string>& processors)
{
    std::optional<std::set<std::string>> common;
    for (const std::string& flags : processors) {
        const std::vector<std::string> words = flags_that_count(flags);
        const std::set<std::string> these{words.begin(), words.end()};
        if (!common) common = these;
        else std::erase_if(*common, [&these](const std::string& flag) { return !these.contains(flag); });
    }
    if (!common) return {};
    return {common->begin(), common->end()};
}

std::optional<std::uint64_t> smallest(const std::set<std::string>& numbers)
{
    std::optional<std::uint64_t> found;
    for (const std::string& text : numbers) {
        std::uint64_t number = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
        if (error != std::errc{} || end != text.data() + text.size()) continue;
        if (!found || number < *found) found = number;
    }
    return found;
}

/// Those that do not restore what is made on `made_on`.
std::vector<Misfit> misfits(const Matrix& matrix, AgentIndex made_on)
{
    std::vector<Misfit> found;
    for (AgentIndex here = 0; here < matrix.size(); ++here) {
        if (!fits(matrix[made_on][here])) found.push_back({.agent = here, .differences = matrix[made_on][here]});
    }
    return found;
}

FleetBaseline find_baseline(const std::vector<FleetAgent>& agents, const Matrix& matrix)
{
    FleetBaseline baseline;
    std::size_t fewest = agents.size();
    for (AgentIndex i = 0; i < agents.size(); ++i) {
        const std::vector<Misfit> against = misfits(matrix, i);
        if (against.empty()) baseline.warm_on.push_back(i);
        if (std::all_of(matrix[i].begin(), matrix[i].end(), processor_fits)) baseline.by_processor.push_back(i);
        if (against.size() >= fewest) continue;
        fewest = against.size();
        baseline.nearest = i;
    }
    baseline.in_the_way = misfits(matrix, baseline.nearest);
    if (values(agents, "architecture").size() <= 1) {
        baseline.cpu_flags = common_flags(values(agents, "cpu_flags"));
        baseline.xsave_size = smallest(values(agents, "xsave_size"));
    }
    return baseline;
}

/// Of the two no agent can tell which of them made a checkpoint, and no checkpoint which of them restores it.
bool alike(const FleetPlan& plan, AgentIndex one, AgentIndex other)
{
    for (AgentIndex i = 0; i < plan.matrix.size(); ++i) {
        if (plan.restores(one, i) != plan.restores(other, i)) return false;
        if (plan.restores(i, one) != plan.restores(i, other)) return false;
    }
    return true;
}

Json names(const std::vector<FleetAgent>& agents, const std::vector<AgentIndex>& which)
{
    Json json = Json::array();
    for (const AgentIndex i : which) json.push_back(agents[i].name);
    return json;
}

Json encode_agents(const std::vector<FleetAgent>& agents)
{
    Json json = Json::array();
    for (const FleetAgent& agent : agents) {
        Json problems = Json::array();
        for (const Finding& finding : agent.report.findings) {
            if (finding.status == FindingStatus::problem) problems.push_back(finding.check);
        }
        json.push_back({{"agent", agent.name},
                        {"status", to_string(worst(agent.report.findings))},
                        {"problems", std::move(problems)},
                        {"not_compared", not_compared(agent.report.environment)},
                        {"environment", agent.report.environment}});
    }
    return json;
}

Json encode_matrix(const std::vector<FleetAgent>& agents, const FleetPlan& plan)
{
    Json json = Json::array();
    for (AgentIndex from = 0; from < agents.size(); ++from) {
        for (AgentIndex to = 0; to < agents.size(); ++to) {
            json.push_back({{"made_on", agents[from].name},
                            {"restores_on", agents[to].name},
                            {"compatible", plan.restores(from, to)},
                            {"differences", contract::encode_differences(plan.matrix[from][to])}});
        }
    }
    return json;
}

Json encode_baseline(const std::vector<FleetAgent>& agents, const FleetBaseline& baseline)
{
    Json in_the_way = Json::array();
    for (const Misfit& one : baseline.in_the_way) {
        in_the_way.push_back(
            {{"agent", agents[one.agent].name}, {"differences", contract::encode_differences(one.differences)}});
    }
    return {{"warm_on", names(agents, baseline.warm_on)},
            {"by_processor", names(agents, baseline.by_processor)},
            {"cpu_flags", baseline.cpu_flags},
            {"xsave_size", baseline.xsave_size ? Json(*baseline.xsave_size) : Json(nullptr)},
            {"nearest", agents[baseline.nearest].name},
            {"in_the_way", std::move(in_the_way)}};
}

}  // namespace

FleetAgent decode_agent(const std::string& file, const std::string& words)
{
    FleetAgent agent{.name = name_of(file), .report = {}};
    try {
        const Json json = parse_json(words);
        if (is_checkpoint(json)) {
            throw Error{ErrorCode::invalid_argument, "it is a checkpoint's"}.with_hint("--checkpoint " + file);
        }
        agent.report = contract::decode_doctor_report(json);
    } catch (const Error& error) {
        throw Error{ErrorCode::invalid_argument, file + " is no document of the doctor's: " + error.what()}.with_hint(
            error.hint().empty() ? write_anew(file) : error.hint());
    }
    if (agent.report.environment.empty()) {
        throw Error{ErrorCode::invalid_argument, file + " does not tell the agent's environment"}
            .with_cause("Podman did not answer there, or its warmd is of a version that does not tell it")
            .with_hint("mend what the doctor finds there, or install this version; then, " + write_anew(file));
    }
    return agent;
}

contract::CheckpointHere decode_checkpoint_file(const std::string& file, const std::string& words)
{
    try {
        const Json json = parse_json(words);
        if (is_doctors(json)) {
            throw Error{ErrorCode::invalid_argument, "it is the doctor's"}.with_hint(
                "agents are named without an option: warmctl fleet plan " + file);
        }
        return contract::decode_checkpoint(json);
    } catch (const Error& error) {
        throw Error{ErrorCode::invalid_argument, file + " is no checkpoint's document: " + error.what()}.with_hint(
            error.hint().empty() ? "where the checkpoint is: warmctl checkpoint show --json ckpt-... > " + file
                                 : error.hint());
    }
}

FleetPlan plan_fleet(const std::vector<FleetAgent>& agents)
{
    FleetPlan plan;
    for (const FleetAgent& made_on : agents) {
        std::vector<std::vector<Difference>>& row = plan.matrix.emplace_back();
        for (const FleetAgent& here : agents) {
            row.push_back(compare_hosts(made_on.report.environment, here.report.environment));
        }
    }
    for (AgentIndex i = 0; i < agents.size(); ++i) {
        const auto its = std::find_if(plan.classes.begin(), plan.classes.end(),
                                      [&plan, i](const auto& members) { return alike(plan, members.front(), i); });
        if (its == plan.classes.end()) plan.classes.push_back({i});
        else its->push_back(i);
    }
    plan.baseline = find_baseline(agents, plan.matrix);
    return plan;
}

std::vector<std::vector<Difference>> compare_with_fleet(const Checkpoint& checkpoint,
                                                        const std::vector<FleetAgent>& agents)
{
    std::vector<std::vector<Difference>> found;
    for (const FleetAgent& agent : agents) {
        found.push_back(compare_hosts(checkpoint.environment, agent.report.environment));
    }
    return found;
}

std::vector<std::string> not_compared(const Environment& environment)
{
    std::vector<std::string> missing;
    for (const char* const name : {"architecture", "cpu_flags", "xsave_size", "runtime", "criu", "kernel"}) {
        const auto found = environment.find(name);
        if (found == environment.end() || found->second.empty()) missing.emplace_back(name);
    }
    return missing;
}

Json encode_plan(const std::vector<FleetAgent>& agents, const FleetPlan& plan,
                 const std::vector<contract::CheckpointHere>& checkpoints)
{
    Json classes = Json::array();
    for (const auto& members : plan.classes) classes.push_back(names(agents, members));
    Json restorable = Json::array();
    for (const contract::CheckpointHere& checkpoint : checkpoints) {
        Json verdicts = Json::array();
        const auto differences = compare_with_fleet(checkpoint, agents);
        for (AgentIndex i = 0; i < agents.size(); ++i) {
            verdicts.push_back({{"agent", agents[i].name},
                                {"compatible", fits(differences[i])},
                                {"differences", contract::encode_differences(differences[i])}});
        }
        restorable.push_back({{"checkpoint", checkpoint.id.value()},
                              {"template", checkpoint.template_name.value()},
                              {"not_compared", not_compared(checkpoint.environment)},
                              {"restores_on", std::move(verdicts)}});
    }
    return {{"agents", encode_agents(agents)},
            {"classes", std::move(classes)},
            {"matrix", encode_matrix(agents, plan)},
            {"baseline", encode_baseline(agents, plan.baseline)},
            {"checkpoints", std::move(restorable)}};
}

}  // namespace warmd::client
