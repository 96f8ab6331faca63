#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "client/commands/commands.h"
#include "client/exit_statuses.h"
#include "client/progress.h"
#include "client/prune_plan.h"
#include "client/status_view.h"
#include "daemon/base/text.h"

namespace warmd::client {

namespace {

std::vector<contract::CheckpointHere> all_checkpoints(const ApiClient& api)
{
    std::vector<contract::CheckpointHere> checkpoints;
    for (const Json& item : api.get_all("/v1/checkpoints")) checkpoints.push_back(contract::decode_checkpoint(item));
    return checkpoints;
}

/// What live instances are from, and what pools are filled from.
std::set<CheckpointId> checkpoints_in_use(const ApiClient& api)
{
    std::set<CheckpointId> in_use;
    for (const Json& item : api.get_all("/v1/instances")) in_use.insert(contract::decode_instance(item).checkpoint);
    for (const Json& item : api.get_all("/v1/pools")) in_use.insert(contract::decode_pool(item).checkpoint);
    return in_use;
}

std::vector<Prunable> make_plan(const ApiClient& api, const std::vector<contract::CheckpointHere>& checkpoints,
                                int keep)
{
    std::map<TemplateName, std::string> digests;
    for (const Json& item : api.get_all("/v1/templates")) {
        JsonObject object{item};
        digests[TemplateName{object.text("name")}] = object.text("digest");
    }
    std::set<CheckpointId> stay = checkpoints_in_use(api);
    stay.merge(newest_fitting(checkpoints, digests));
    return plan_prune({checkpoints.begin(), checkpoints.end()}, digests, stay, keep);
}

void show_usage(const Context& context)
{
    const ApiClient api = context.api();
    const Json status = api.get("/v1/status");
    const std::vector<contract::CheckpointHere> checkpoints = all_checkpoints(api);
    const std::vector<Prunable> plan = make_plan(api, checkpoints, 1);
    struct Usage {
        int count = 0;
        std::uint64_t bytes = 0;
        std::uint64_t reclaimable = 0;
    };
    std::map<TemplateName, Usage> by_template;
    std::uint64_t bytes = 0;
    for (const Checkpoint& checkpoint : checkpoints) {
        Usage& usage = by_template[checkpoint.template_name];
        ++usage.count;
        usage.bytes += checkpoint.size_bytes;
        bytes += checkpoint.size_bytes;
    }
    for (const Prunable& entry : plan) {
        by_template[entry.checkpoint.template_name].reclaimable += entry.checkpoint.size_bytes;
    }
    const auto number = [&status](const char* name) { return status_number(status, "store", name); };
    if (context.output.json) {
        const auto or_null = [](const auto& value) { return value ? Json(*value) : Json(nullptr); };
        Json templates = Json::array();
        for (const auto& [name, usage] : by_template) {
            templates.push_back({{"template", name.value()},
                                 {"checkpoints", usage.count},
                                 {"bytes", usage.bytes},
                                 {"reclaimable_bytes", usage.reclaimable}});
        }
        return context.output.print_json({{"templates", std::move(templates)},
                                          {"tarball_bytes", bytes},
                                          {"reclaimable_bytes", total_bytes(plan)},
                                          {"unpacked_bytes", or_null(number("unpacked_bytes"))},
                                          {"free_bytes", or_null(number("free_bytes"))},
                                          {"total_bytes", or_null(number("total_bytes"))}});
    }
    std::vector<std::vector<std::string>> rows{{"TEMPLATE", "CHECKPOINTS", "TARBALLS", "RECLAIMABLE"}};
    for (const auto& [name, usage] : by_template) {
        rows.push_back({name.value(), std::to_string(usage.count), describe_bytes(usage.bytes),
                        describe_bytes(usage.reclaimable)});
    }
    context.output.print_table(rows);
    context.output.print_line("");
    const auto words = [&number](const char* name) {
        const auto value = number(name);
        return value ? describe_bytes(static_cast<std::uint64_t>(*value)) : std::string{"unknown"};
    };
    context.output.print_table(
        {{"tarballs", describe_bytes(bytes)},
         {"unpacked", words("unpacked_bytes")},
         {"reclaimable", describe_bytes(total_bytes(plan)) + (plan.empty() ? "" : "  (warmctl prune)")},
         {"free", words("free_bytes")},
         {"total", words("total_bytes")}});
}

struct PruneOptions {
    int keep = 1;
    bool yes = false;
    bool dry_run = false;
};

/// Asks on the terminal. Throws Error where there is none.
bool confirmed(Context& context, const std::string& question)
{
    if (::isatty(STDIN_FILENO) != 1 || ::isatty(STDERR_FILENO) != 1) {
        context.exit_status = kExitUsage;
        throw Error{ErrorCode::invalid_argument, "nobody can be asked: " + question}.with_hint(
            "look with --dry-run, then add --yes");
    }
    std::fprintf(stderr, "%s [y/N] ", question.c_str());
    std::string answer;
    std::getline(std::cin, answer);
    return answer == "y" || answer == "Y" || answer == "yes";
}

void report(const Context& context, const Prunable& entry, bool deleted)
{
    if (!context.output.json) return;
    context.output.print_json({{"checkpoint", entry.checkpoint.id.value()},
                               {"template", entry.checkpoint.template_name.value()},
                               {"state", to_string(entry.checkpoint.state)},
                               {"size_bytes", entry.checkpoint.size_bytes},
                               {"why", entry.why},
                               {"deleted", deleted}});
}

void prune(Context& context, const PruneOptions& options)
{
    const ApiClient api = context.api();
    const std::vector<Prunable> plan = make_plan(api, all_checkpoints(api), options.keep);
    if (plan.empty()) return context.output.say("nothing to delete");
    const std::string what = std::to_string(plan.size()) + (plan.size() == 1 ? " checkpoint, " : " checkpoints, ") +
                             describe_bytes(total_bytes(plan));
    std::vector<std::vector<std::string>> rows{{"CHECKPOINT", "TEMPLATE", "SIZE", "AGE", "WHY"}};
    for (const Prunable& entry : plan) {
        rows.push_back({entry.checkpoint.id.value(), entry.checkpoint.template_name.value(),
                        describe_bytes(entry.checkpoint.size_bytes), describe_age(entry.checkpoint.created_at),
                        entry.why});
    }
    if (!context.output.json) context.output.print_table(rows);
    std::fflush(stdout);  // before the question
    if (options.dry_run) {
        for (const Prunable& entry : plan) report(context, entry, false);
        return context.output.say("would delete " + what);
    }
    if (!options.yes && !confirmed(context, "delete " + what + "?")) return context.output.say("nothing deleted");
    for (const Prunable& entry : plan) {
        try {
            const Operation started = contract::decode_operation(
                api.del("/v1/checkpoints/" + percent_encode(entry.checkpoint.id.value())));
            Output silent = context.output;
            silent.quiet = true;
            (void)follow(api, silent, started);
            report(context, entry, true);
        } catch (const ConnectionLost&) {
            throw;
        } catch (const Error& error) {  // the others can still go
            context.exit_status = kExitFailed;
            print_error(error, context.output);
            report(context, entry, false);
        }
    }
    if (context.exit_status == 0) context.output.say("deleted " + what);
}

}  // namespace

void add_df_command(CLI::App& app, Context& context)
{
    CLI::App* const command = app.add_subcommand("df", "Show what the store's space is used for");
    command->footer("Reclaimable is what `warmctl prune` would delete.\n"
                    "Examples: warmctl df\n          warmctl df --json");
    command->callback([&context] { show_usage(context); });
}

void add_prune_command(CLI::App& app, Context& context)
{
    constexpr int kMostKept = 1000;
    CLI::App* const command = app.add_subcommand("prune", "Delete checkpoints that nobody will miss");
    command->footer(
        "Failed and quarantined ones, and those that a newer one of the same template supersedes. What a live\n"
        "instance was restored from, or a pool is filled from, stays.\n"
        "Examples: warmctl prune --dry-run\n          warmctl prune --keep 2 --yes");
    const auto options = std::make_shared<PruneOptions>();
    command->add_option("--keep", options->keep, "How many of each template stay")
        ->capture_default_str()
        ->check(CLI::Range(1, kMostKept));
    command->add_flag("--yes,-y", options->yes, "Do not ask");
    command->add_flag("--dry-run,-n", options->dry_run, "Show what would be deleted, and delete nothing");
    command->callback([&context, options] { prune(context, *options); });
}

void add_store_command(CLI::App& app, Context& context)
{
    CLI::App* const command = app.add_subcommand("store", "The space that checkpoints take");
    command->require_subcommand(1);
    command->footer("Examples: warmctl store df\n          warmctl store prune --dry-run");
    add_df_command(*command, context);
    add_prune_command(*command, context);
}

}  // namespace warmd::client
