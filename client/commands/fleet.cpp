#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <set>

#include "client/commands/commands.h"
#include "client/fleet_plan.h"
#include "daemon/base/unique_fd.h"

namespace warmd::client {

namespace {

using Rows = std::vector<std::vector<std::string>>;

/// Throws Error{invalid_argument} with this next step.
std::string read_file(const std::string& file, const std::string& hint)
{
    const UniqueFd in{::open(file.c_str(), O_RDONLY | O_CLOEXEC)};
    std::string words;
    std::array<char, 16384> part{};
    ssize_t count = in.valid() ? 1 : -1;
    while (count > 0) {
        count = ::read(in.get(), part.data(), part.size());
        if (count > 0) words.append(part.data(), static_cast<std::size_t>(count));
    }
    if (count == 0) return words;
    throw system_error("cannot read " + file, errno, ErrorCode::invalid_argument).with_hint(hint);
}

std::vector<FleetAgent> read_agents(const std::vector<std::string>& files)
{
    std::vector<FleetAgent> agents;
    std::set<std::string> names;
    for (const std::string& file : files) {
        agents.push_back(
            decode_agent(file, read_file(file, "write it on the agent: sudo warmctl doctor --json > " + file)));
        if (names.insert(agents.back().name).second) continue;
        throw Error{ErrorCode::invalid_argument,
                    "two files are of one agent, " + agents.back().name + "; the second is " + file}
            .with_hint("give each file the name of its agent: build7.json");
    }
    return agents;
}

std::string listed(const std::vector<std::string>& words, const char* between)
{
    std::string text;
    for (const std::string& word : words) text += (text.empty() ? "" : between) + word;
    return text;
}

std::string listed(const std::vector<FleetAgent>& agents, const std::vector<AgentIndex>& which)
{
    std::vector<std::string> names;
    for (const AgentIndex i : which) names.push_back(agents[i].name);
    return listed(names, ", ");
}

/// What keeps the plan from being the whole truth, on standard error.
void say_reservations(const Output& output, const std::vector<FleetAgent>& agents)
{
    for (const FleetAgent& agent : agents) {
        const std::vector<std::string> missing = not_compared(agent.report.environment);
        if (!missing.empty()) output.say(agent.name + " does not tell its " + listed(missing, ", ") + ": not compared");
        std::vector<std::string> problems;
        for (const Finding& finding : agent.report.findings) {
            if (finding.status == FindingStatus::problem) problems.push_back(finding.check);
        }
        if (!problems.empty()) {
            output.say(agent.name + " has problems that its doctor knows (" + listed(problems, ", ") +
                       "): planned as if they were mended");
        }
    }
}

void print_agents(const Output& output, const std::vector<FleetAgent>& agents, const FleetPlan& plan)
{
    const std::vector<std::string> shown{"architecture", "runtime", "criu", "kernel", "xsave_size", "cpu_model"};
    Rows rows{{"CLASS", "AGENT", "ARCHITECTURE", "RUNTIME", "CRIU", "KERNEL", "XSAVE", "PROCESSOR"}};
    for (std::size_t number = 0; number < plan.classes.size(); ++number) {
        for (const AgentIndex i : plan.classes[number]) {
            std::vector<std::string> row{std::to_string(number + 1), agents[i].name};
            for (const std::string& name : shown) {
                const auto found = agents[i].report.environment.find(name);
                row.push_back(found == agents[i].report.environment.end() ? "?" : found->second);
            }
            rows.push_back(std::move(row));
        }
    }
    output.print_table(rows);
}

/// A row for each difference that blocks; the first begins with `head`.
void add_reasons(Rows& rows, std::vector<std::string> head, const std::vector<Difference>& differences)
{
    for (const Difference& one : differences) {
        if (!one.blocks) continue;
        std::vector<std::string> row = head;
        row.push_back(describe(one) + ": " + one.why);
        rows.push_back(std::move(row));
        std::fill(head.begin(), head.end(), "");
    }
}

/// By class: the agents of one are alike in it.
void print_matrix(const Output& output, const std::vector<FleetAgent>& agents, const FleetPlan& plan)
{
    Rows matrix{{"MADE ON"}};
    Rows reasons{{"MADE ON", "NOT ON", "BECAUSE OF"}};
    const auto label = [&agents, &plan](std::size_t number) {
        const auto& members = plan.classes[number];
        return std::to_string(number + 1) + " (" + agents[members.front()].name + (members.size() > 1 ? ", ...)" : ")");
    };
    for (std::size_t from = 0; from < plan.classes.size(); ++from) {
        matrix.front().push_back("ON " + std::to_string(from + 1));
        std::vector<std::string> row{label(from)};
        for (std::size_t to = 0; to < plan.classes.size(); ++to) {
            const AgentIndex made_on = plan.classes[from].front();
            const AgentIndex here = plan.classes[to].front();
            row.emplace_back(plan.restores(made_on, here) ? "yes" : "no");
            add_reasons(reasons, {label(from), label(to)}, plan.matrix[made_on][here]);
        }
        matrix.push_back(std::move(row));
    }
    output.print_line("");
    output.print_table(matrix);
    if (reasons.size() == 1) return;
    output.print_line("");
    output.print_table(reasons);
}

void print_baseline(const Output& output, const std::vector<FleetAgent>& agents, const FleetBaseline& baseline)
{
    output.print_line("");
    if (!baseline.warm_on.empty()) {
        output.print_table({{"warm on", listed(agents, baseline.warm_on)}, {"restores on", "every agent"}});
        return;
    }
    const std::size_t served = agents.size() - baseline.in_the_way.size();
    Rows rows{{"warm on", "no agent: what none of them makes restores on all"},
              {"nearest", agents[baseline.nearest].name + ", for " + std::to_string(served) + " of " +
                              std::to_string(agents.size()) + " agents"}};
    if (!baseline.by_processor.empty()) rows.push_back({"by processor", listed(agents, baseline.by_processor)});
    if (!baseline.cpu_flags.empty()) rows.push_back({"all have", listed(baseline.cpu_flags, " ")});
    if (baseline.xsave_size) rows.push_back({"xsave", "at most " + std::to_string(*baseline.xsave_size) + " bytes"});
    output.print_table(rows);
    Rows reasons{{"IN THE WAY", "BECAUSE OF"}};
    for (const Misfit& one : baseline.in_the_way) add_reasons(reasons, {agents[one.agent].name}, one.differences);
    output.print_line("");
    output.print_table(reasons);
}

void print_checkpoints(const Output& output, const std::vector<FleetAgent>& agents,
                       const std::vector<contract::CheckpointHere>& checkpoints)
{
    if (checkpoints.empty()) return;
    Rows rows{{"CHECKPOINT", "AGENT", "RESTORES", "BECAUSE OF"}};
    for (const contract::CheckpointHere& checkpoint : checkpoints) {
        const auto differences = compare_with_fleet(checkpoint, agents);
        for (AgentIndex i = 0; i < agents.size(); ++i) {
            if (fits(differences[i])) rows.push_back({checkpoint.id.value(), agents[i].name, "yes"});
            else add_reasons(rows, {checkpoint.id.value(), agents[i].name, "no"}, differences[i]);
        }
    }
    output.print_line("");
    output.print_table(rows);
}

void print_plan(const Context& context, const std::vector<std::string>& files,
                const std::vector<std::string>& checkpoint_files)
{
    const Output& output = context.output;
    const std::vector<FleetAgent> agents = read_agents(files);
    std::vector<contract::CheckpointHere> checkpoints;
    for (const std::string& file : checkpoint_files) {
        checkpoints.push_back(decode_checkpoint_file(
            file,
            read_file(file, "write it where the checkpoint is: warmctl checkpoint show --json ckpt-... > " + file)));
    }
    const FleetPlan plan = plan_fleet(agents);
    if (output.json) return output.print_json(encode_plan(agents, plan, checkpoints));
    print_agents(output, agents, plan);
    print_matrix(output, agents, plan);
    print_baseline(output, agents, plan.baseline);
    print_checkpoints(output, agents, checkpoints);
    say_reservations(output, agents);
}

}  // namespace

void add_fleet_command(CLI::App& app, Context& context)
{
    CLI::App* const command = app.add_subcommand("fleet", "Many agents: which restores the checkpoints of which");
    command->require_subcommand(1);
    command->footer("Example: warmctl fleet plan agents/*.json");

    CLI::App* const plan = command->add_subcommand("plan",
                                                   "Find out where to make checkpoints that all agents restore");
    plan->footer(
        "Prints classes of agents that restore each other's checkpoints, a matrix of the classes with a reason for "
        "each\n"
        "no, and the agents to warm on so that every agent restores. No daemon is asked.\n"
        "Examples: sudo warmctl doctor --json > agents/build7.json        (on each agent; the file has its name)\n"
        "          warmctl fleet plan agents/*.json\n"
        "          warmctl fleet plan agents/*.json --checkpoint ckpt.json");
    const auto files = std::make_shared<std::vector<std::string>>();
    const auto checkpoints = std::make_shared<std::vector<std::string>>();
    plan->add_option("FILE", *files, "What `warmctl doctor --json` printed on an agent, with the agent's name")
        ->required();
    plan->add_option("--checkpoint", *checkpoints,
                     "What `warmctl checkpoint show --json` printed: which agents restore it; can be repeated")
        ->type_name("FILE")
        ->expected(1)
        ->take_all()
        ->allow_extra_args(false);  // what follows its file is a FILE
    plan->callback([&context, files, checkpoints] { print_plan(context, *files, *checkpoints); });
}

}  // namespace warmd::client
