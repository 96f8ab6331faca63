#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "client/api_client.h"
#include "client/output.h"

// One file a command. Each function adds its command to the tree; what the command does happens in its
// callback, while the command line is parsed. Callbacks throw Error, and set `exit_status` where 0 or the
// error's is not it.

namespace warmd::client {

struct Context {
    std::string host;
    Output output;
    int exit_status = 0;

    /// Throws Error for an address or a token that cannot be one.
    [[nodiscard]] ApiClient api() const;
};

/// The whole tree, with the options that go with every command.
void add_commands(CLI::App& app, Context& context);

void add_template_command(CLI::App& app, Context& context);
void add_warm_command(CLI::App& app, Context& context);
void add_checkpoint_command(CLI::App& app, Context& context);
void add_restore_command(CLI::App& app, Context& context);
void add_exec_command(CLI::App& app, Context& context);
void add_run_command(CLI::App& app, Context& context);
void add_instance_command(CLI::App& app, Context& context);
void add_pool_command(CLI::App& app, Context& context);
void add_lease_command(CLI::App& app, Context& context);
void add_operation_command(CLI::App& app, Context& context);
void add_shim_command(CLI::App& app, Context& context);
void add_bench_command(CLI::App& app, Context& context);
void add_status_command(CLI::App& app, Context& context);
void add_store_command(CLI::App& app, Context& context);
void add_df_command(CLI::App& app, Context& context);
void add_prune_command(CLI::App& app, Context& context);
void add_transfer_commands(CLI::App& command, Context& context);
void add_why_command(CLI::App& app, Context& context);
void add_doctor_command(CLI::App& app, Context& context);
void add_fleet_command(CLI::App& app, Context& context);
void add_watch_command(CLI::App& app, Context& context);
void add_events_command(CLI::App& app, Context& context);
void add_whoami_command(CLI::App& app, Context& context);
void add_completion_command(CLI::App& app);

/// Prints what may stand in the last place of `words`, a line each with a tab and a description. Ends within a second,
/// and is silent about what fails. Returns the exit status.
int print_completions(const CLI::App& root, const Context& context, const std::vector<std::string>& words);

/// Prints the daemon's events from after `since` on. Ends only by Error.
void print_events(const Context& context, const std::string& since);

/// Sends what starts an operation. With `wait` follows it and prints `result` of it (with --json the
/// operation), otherwise prints its id. `body`: what a POST sends.
void start_operation(const Context& context, const std::string& method, const std::string& path, bool wait,
                     const std::function<std::string(const Operation&)>& result, const std::optional<Json>& body = {});

/// The flag --no-wait. The returned value is true when it was given; it lives as long as the command.
std::shared_ptr<bool> add_no_wait(CLI::App& command);

}  // namespace warmd::client
