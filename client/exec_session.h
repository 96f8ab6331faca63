#pragma once

#include <optional>
#include <string>

#include "client/api_client.h"
#include "client/interrupts.h"
#include "client/output.h"
#include "client/progress.h"
#include "daemon/base/guarded.h"

namespace warmd::client {

/// One command or piece of code in an instance, from its request to its exit status. While this lives, signals that
/// reach this process are passed on to it; a second one, or one that cannot be passed on, ends this process with 130,
/// and the daemon then kills the command.
class ExecSession {
public:
    /// `instance`: where the command will run; empty when the daemon's first frame tells.
    ExecSession(const ApiClient& api, const Output& output, InstanceId instance = {});

    /// Sends `body` to `path` and writes the command's streams to ours, with --json the frames as lines. Blocks until
    /// the command has ended and returns its exit status. Throws Error.
    int run(const std::string& path, const Json& body);

    struct Started {
        std::optional<InstancePath> path;  // where the instance came from, when the daemon chose it
        SteadyTime at;
    };

    /// Nothing as long as the daemon has not said that the command was started.
    [[nodiscard]] const std::optional<Started>& started() const noexcept { return started_; }

private:
    struct Target {
        InstanceId instance;
        ExecId exec;  // empty: not started yet, or signalled already
    };

    void handle(const contract::ExecFrame& frame);
    void start(const contract::ExecFrame& frame);
    void pass_on(const char* signal_name);

    const ApiClient& api_;
    const Output& output_;
    std::optional<Started> started_;
    LiveLine progress_;
    std::optional<int> exit_status_;
    Guarded<Target> target_;
    Interrupts interrupts_;  // last: its thread uses api_ and target_
};

}  // namespace warmd::client
