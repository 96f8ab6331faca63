#pragma once

#include <functional>
#include <optional>
#include <set>
#include <stop_token>
#include <string>

#include "api/contract/documents.h"
#include "client/api_client.h"
#include "client/bench_report.h"
#include "client/interrupts.h"
#include "client/output.h"
#include "daemon/base/guarded.h"

namespace warmd::client {

struct BenchPlan {
    TemplateName template_name;
    int runs = 10;
    int cold_runs = 10;   // of the runs, how many begin with a cold start
    bool podman = true;   // compare with podman's own restore
    ExecRequest command;  // for a ready instance
};

/// Measures one template through the API: each run does every thing once, in turns, so that what else the machine does
/// falls on all alike. Everything that it makes is removed, at the latest by the destructor.
class Bench {
public:
    Bench(const ApiClient& api, const Output& output, BenchPlan plan);
    ~Bench();
    Bench(const Bench&) = delete;
    Bench& operator=(const Bench&) = delete;

    /// Blocks. Throws Error: `cancelled` after SIGINT, SIGTERM or SIGHUP.
    void run();

    [[nodiscard]] const BenchReport& report() const noexcept { return report_; }

private:
    struct Running {
        InstanceId instance;
        ExecId exec;
    };

    void one_run(int number);
    void start_cold();
    void restore_by_podman();
    std::optional<InstanceId> restore(const std::string& path, std::string& failures);
    void execute(const std::string& row, const InstanceId& instance);
    void lease();
    std::optional<PoolStatus> pool() const;
    std::optional<PoolStatus> pool_when(const std::function<bool(const PoolStatus&)>& condition);

    Operation timed(const std::string& row, const std::string& path);
    Operation finish(Operation operation, std::stop_token stop);
    void remove_instance(const InstanceId& id);
    void remove_checkpoint(const CheckpointId& id);
    void clean_up(const std::function<void()>& step) const;
    void interrupted();
    void check_stop() const;

    const ApiClient& api_;
    const Output& output_;
    BenchPlan plan_;
    BenchReport report_;
    CheckpointId checkpoint_;  // what every restore is from
    std::set<InstanceId> instances_;
    std::set<CheckpointId> checkpoints_;
    LeaseId lease_;
    std::stop_source stop_;
    Guarded<Running> running_;
    Interrupts interrupts_;  // last: its thread uses api_, stop_ and running_
};

}  // namespace warmd::client
