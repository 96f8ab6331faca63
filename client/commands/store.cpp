#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <set>

#include "client/commands/commands.h"
#include "client/exit_statuses.h"
#include "client/progress.h"
#include "daemon/base/text.h"

namespace warmd::client {

namespace {

void show_usage(const Context& context)
{
    const Json document = context.api().get("/v1/df");
    if (context.output.json) return context.output.print_json(document);
    const StoreUsage usage = contract::decode_usage(document);
    StoreUsage::Entry all;
    std::vector<std::vector<std::string>> rows{
        {"TEMPLATE", "CHECKPOINTS", "PINNED", "TARBALLS", "UNPACKED", "RECLAIMABLE"}};
    for (const StoreUsage::Entry& one : usage.templates) {
        rows.push_back({one.template_name.value(), std::to_string(one.checkpoints), std::to_string(one.pinned),
                        describe_bytes(one.tarball_bytes), describe_bytes(one.unpacked_bytes),
                        describe_bytes(one.reclaimable_bytes)});
        all.tarball_bytes += one.tarball_bytes;
        all.unpacked_bytes += one.unpacked_bytes;
        all.reclaimable_bytes += one.reclaimable_bytes;
    }
    context.output.print_table(rows);
    context.output.print_line("");
    const bool low = usage.free_bytes < usage.min_free_bytes + usage.reserved_bytes;
    context.output.print_table(
        {{"tarballs", describe_bytes(all.tarball_bytes)},
         {"unpacked", describe_bytes(all.unpacked_bytes)},
         {"reclaimable",
          describe_bytes(all.reclaimable_bytes) + (all.reclaimable_bytes > 0 ? "  (warmctl prune)" : "")},
         {"reserved", describe_bytes(usage.reserved_bytes)},
         {"free", describe_bytes(usage.free_bytes) + (low ? "  (too little for a checkpoint)" : "")},
         {"stays free", describe_bytes(usage.min_free_bytes)},
         {"total", describe_bytes(usage.total_bytes)}});
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

std::string describe(DeletionReason reason)
{
    std::string words{to_string(reason)};
    std::replace(words.begin(), words.end(), '_', ' ');
    return words;
}

std::string describe(const std::vector<Deletion>& deletions)
{
    std::uint64_t bytes = 0;
    for (const Deletion& one : deletions) bytes += one.size_bytes;
    return std::to_string(deletions.size()) + (deletions.size() == 1 ? " checkpoint, " : " checkpoints, ") +
           describe_bytes(bytes);
}

void show_plan(const Context& context, const std::vector<Deletion>& plan)
{
    std::vector<std::vector<std::string>> rows{{"CHECKPOINT", "TEMPLATE", "SIZE", "AGE", "WHY"}};
    for (const Deletion& one : plan) {
        rows.push_back({one.checkpoint.value(), one.template_name.value(), describe_bytes(one.size_bytes),
                        describe_age(one.created_at), describe(one.reason)});
    }
    if (!context.output.json) context.output.print_table(rows);
    std::fflush(stdout);  // before a question
}

/// One document for each planned deletion, as JSON.
void report(const Context& context, const std::vector<Deletion>& plan, const std::vector<Deletion>& gone)
{
    if (!context.output.json) return;
    std::set<CheckpointId> deleted;
    for (const Deletion& one : gone) deleted.insert(one.checkpoint);
    for (const Deletion& one : plan) {
        context.output.print_json({{"checkpoint", one.checkpoint.value()},
                                   {"template", one.template_name.value()},
                                   {"state", to_string(one.state)},
                                   {"size_bytes", one.size_bytes},
                                   {"why", to_string(one.reason)},
                                   {"deleted", deleted.contains(one.checkpoint)}});
    }
}

void prune(Context& context, const PruneOptions& options)
{
    const ApiClient api = context.api();
    contract::PruneOrder order{.request = {.keep = options.keep, .only = {}}, .dry_run = true};
    const std::vector<Deletion> plan = contract::decode_deletions(api.post("/v1/prune", contract::encode(order)));
    if (plan.empty()) return context.output.say("nothing to delete");
    show_plan(context, plan);
    if (options.dry_run) {
        report(context, plan, {});
        return context.output.say("would delete " + describe(plan));
    }
    if (!options.yes && !confirmed(context, "delete " + describe(plan) + "?")) {
        return context.output.say("nothing deleted");
    }
    // What was shown and no more: something else may have become superfluous since.
    for (const Deletion& one : plan) order.request.only.push_back(one.checkpoint);
    order.dry_run = false;
    const Operation started = contract::decode_operation(api.start("/v1/prune", contract::encode(order)));
    Output silent = context.output;
    silent.quiet = true;
    try {
        (void)follow(api, silent, started);
    } catch (const ConnectionLost&) {
        throw;
    } catch (const Error& error) {
        context.exit_status = kExitFailed;
        print_error(error, context.output);
    }
    const std::vector<Deletion> gone =
        contract::decode_operation(api.get("/v1/operations/" + percent_encode(started.id.value()))).deletions;
    report(context, plan, gone);
    const std::string of = gone.size() == plan.size() ? "" : " of " + std::to_string(plan.size());
    context.output.say("deleted " + describe(gone) + of);
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
        "Failed and quarantined ones, those that a newer one of the same template supersedes, and what the bounds of\n"
        "[retention] would delete. What is pinned, what a live instance was restored from and what a pool is filled "
        "from\n"
        "stay.\n"
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
