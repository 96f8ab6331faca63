#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "api/contract/documents.h"
#include "daemon/model/doctor_report.h"

// Which of many agents restore each other's checkpoints, from what each one's doctor says and without asking anybody.
// Two agents are compared as the daemon compares a checkpoint with its own host (daemon/model/portability.h). Whether
// an agent has the image of a checkpoint no doctor tells: that is left open. All functions are pure.

namespace warmd::client {

struct FleetAgent {
    std::string name;
    DoctorReport report;
};

/// What `warmctl doctor --json` has written to `file`: build7.json is of the agent build7. Throws
/// Error{invalid_argument} that names the file for anything else, and for a document without an environment.
FleetAgent decode_agent(const std::string& file, const std::string& words);
/// What `warmctl checkpoint show --json` has written to `file`. Throws as `decode_agent`.
contract::CheckpointHere decode_checkpoint_file(const std::string& file, const std::string& words);

/// Agents are meant by their places in the list that was planned.
using AgentIndex = std::size_t;

/// An agent that does not restore what another one makes.
struct Misfit {
    AgentIndex agent = 0;
    std::vector<Difference> differences;  // one of them blocks
};

/// On which agents to make checkpoints that all agents restore.
struct FleetBaseline {
    std::vector<AgentIndex> warm_on;  // any of them does; empty: there is none
    /// Those whose processor would do, whatever else stands in the way.
    std::vector<AgentIndex> by_processor;
    /// What the processors have in common, as far as they are known; empty where there is more than one architecture.
    std::vector<std::string> cpu_flags;
    std::optional<std::uint64_t> xsave_size;
    /// Where `warm_on` is empty: the agent whose checkpoints most agents restore, and those that do not. Without them
    /// it would be the one to warm on, and no smaller number of agents stands in the way.
    AgentIndex nearest = 0;
    std::vector<Misfit> in_the_way;
};

struct FleetPlan {
    /// By the agent that a checkpoint is made on, then by the one that restores it: their differences.
    std::vector<std::vector<std::vector<Difference>>> matrix;
    /// Agents that restore each other's checkpoints, and do not differ in what else they restore or in who else
    /// restores theirs. In the order of their first ones.
    std::vector<std::vector<AgentIndex>> classes;
    FleetBaseline baseline;

    [[nodiscard]] bool restores(AgentIndex made_on, AgentIndex restored_on) const
    {
        return fits(matrix.at(made_on).at(restored_on));
    }
};

/// Of one agent at least.
FleetPlan plan_fleet(const std::vector<FleetAgent>& agents);

/// By agent, in which ways it is not the host that the checkpoint was made on.
std::vector<std::vector<Difference>> compare_with_fleet(const Checkpoint& checkpoint,
                                                        const std::vector<FleetAgent>& agents);

/// Members of the environment by which checkpoints are refused and that this one does not have: they are not compared.
std::vector<std::string> not_compared(const Environment& environment);

/// The plan as a document, with what becomes of these checkpoints.
Json encode_plan(const std::vector<FleetAgent>& agents, const FleetPlan& plan,
                 const std::vector<contract::CheckpointHere>& checkpoints);

}  // namespace warmd::client
