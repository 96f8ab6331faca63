#include "client/commands/commands.h"
#include "client/exit_statuses.h"
#include "daemon/base/text.h"

namespace warmd::client {

namespace {

void list_checkpoints(const Context& context, const std::string& template_name)
{
    const std::string filter = template_name.empty() ? "" : "?template=" + percent_encode(template_name);
    std::vector<std::vector<std::string>> rows{{"CHECKPOINT", "TEMPLATE", "STATE", "SIZE", "AGE", "REASON"}};
    for (const Json& item : context.api().get_all("/v1/checkpoints" + filter)) {
        if (context.output.json) context.output.print_json(item);
        const contract::CheckpointHere entry = contract::decode_checkpoint(item);
        const bool misfit = entry.state == CheckpointState::available && !fits(entry.differences);
        std::string reason = misfit ? "does not fit this host: " + describe_blocking(entry.differences) : entry.reason;
        if (entry.pinned) reason = reason.empty() ? "pinned" : "pinned; " + reason;
        rows.push_back({entry.id.value(), entry.template_name.value(), std::string{to_string(entry.state)},
                        describe_bytes(entry.size_bytes), describe_age(entry.created_at), std::move(reason)});
    }
    if (!context.output.json) context.output.print_table(rows);
}

void show_checkpoint(const Context& context, const std::string& id)
{
    const Json document = context.api().get("/v1/checkpoints/" + percent_encode(id));
    if (context.output.json) {
        context.output.print_json(document);
        return;
    }
    const contract::CheckpointHere checkpoint = contract::decode_checkpoint(document);
    std::vector<std::vector<std::string>> rows{
        {"checkpoint", checkpoint.id.value()},
        {"template", checkpoint.template_name.value()},
        {"state",
         std::string{to_string(checkpoint.state)} + (checkpoint.reason.empty() ? "" : ": " + checkpoint.reason)},
        {"created", format_time(checkpoint.created_at)},
        {"last used", checkpoint.used_at ? format_time(*checkpoint.used_at) : "never"},
        {"pinned", checkpoint.pinned ? "yes" : "no"},
        {"image", checkpoint.image},
        {"image id", checkpoint.image_id},
        {"size", describe_bytes(checkpoint.size_bytes)},
        {"sha256", checkpoint.sha256},
        {"verified", checkpoint.verified_at ? format_time(*checkpoint.verified_at) : "never"},
        {"fits this host", fits(checkpoint.differences) ? "yes" : "no"}};
    for (const Difference& one : checkpoint.differences) {
        rows.push_back({one.blocks ? "  because of" : "  differs", describe(one) + ": " + one.why});
    }
    for (const auto& [name, value] : checkpoint.environment) rows.push_back({name, value});
    for (const auto& [name, value] : checkpoint.statistics) rows.push_back({name, std::to_string(value)});
    context.output.print_table(rows);
    context.output.print_line("");
    context.output.print_table(phase_rows(checkpoint.phases));
}

void make_checkpoint(const Context& context, const std::string& target, bool wait)
{
    const bool of_instance = target.starts_with(kInstancePrefix);
    const std::string path = of_instance ? "/v1/instances/" + percent_encode(target) + "/checkpoint"
                                         : "/v1/templates/" + percent_encode(target) + "/checkpoints";
    start_operation(context, "POST", path, wait,
                    [](const Operation& operation) { return operation.checkpoint.value(); });
}

void add_rm(CLI::App& command, Context& context)
{
    CLI::App* const remove = command.add_subcommand("rm", "Delete checkpoints");
    remove->footer("Example: warmctl checkpoint rm ckpt-...");
    const auto removed = std::make_shared<std::vector<std::string>>();
    remove->add_option("CHECKPOINT", *removed, "Their ids")->required();
    remove->callback([&context, removed] {
        for (const std::string& id : *removed) {
            start_operation(context, "DELETE", "/v1/checkpoints/" + percent_encode(id), true,
                            [](const Operation&) { return std::string{}; });
        }
    });
}

void verify(const Context& context, const std::string& id, bool by_restore)
{
    start_operation(context, "POST",
                    "/v1/checkpoints/" + percent_encode(id) + "/verify" + (by_restore ? "?restore=true" : ""), true,
                    [](const Operation& operation) { return operation.checkpoint.value(); });
}

/// All that are available, the next also when one turns out to be damaged.
void verify_all(Context& context, bool by_restore)
{
    for (const Json& item : context.api().get_all("/v1/checkpoints")) {
        const contract::CheckpointHere checkpoint = contract::decode_checkpoint(item);
        if (checkpoint.state != CheckpointState::available) continue;
        if (by_restore && !fits(checkpoint.differences)) {
            context.output.say(checkpoint.id.value() + " does not fit this host: skipped");
            continue;
        }
        try {
            verify(context, checkpoint.id.value(), by_restore);
        } catch (const Error& error) {
            print_error(error, context.output);
            context.exit_status = kExitFailed;
        }
    }
}

void add_verify(CLI::App& command, Context& context)
{
    CLI::App* const verification = command.add_subcommand("verify",
                                                          "Read checkpoints and compare them with their sums");
    verification->footer("Prints the ids of those that are intact; the others are quarantined.\n"
                         "Examples: warmctl checkpoint verify ckpt-...\n"
                         "          warmctl checkpoint verify --all --restore");
    const auto id = std::make_shared<std::string>();
    const auto all = std::make_shared<bool>(false);
    const auto by_restore = std::make_shared<bool>(false);
    CLI::Option* const one = verification->add_option("CHECKPOINT", *id, "Its id");
    verification->add_flag("--all", *all, "All that are available")->excludes(one);
    verification->add_flag("--restore", *by_restore,
                           "Restore a copy as well, ask the template's canary in it, and destroy it");
    verification->callback([&context, id, all, by_restore] {
        if (id->empty() && !*all) throw CLI::RequiredError{"CHECKPOINT or --all"};
        if (*all) verify_all(context, *by_restore);
        else verify(context, *id, *by_restore);
    });
}

void add_pin(CLI::App& command, Context& context, bool pinned)
{
    CLI::App* const pin = command.add_subcommand(
        pinned ? "pin" : "unpin",
        pinned ? "Keep checkpoints, whatever the bounds say" : "Let pinned checkpoints go again");
    pin->footer(pinned ? "Nothing deletes a pinned one: no bound of [retention], no prune and no `checkpoint rm`.\n"
                         "Example: warmctl checkpoint pin ckpt-..."
                       : "Example: warmctl checkpoint unpin ckpt-...");
    const auto ids = std::make_shared<std::vector<std::string>>();
    pin->add_option("CHECKPOINT", *ids, "Their ids")->required();
    pin->callback([&context, ids, pinned] {
        const ApiClient api = context.api();
        for (const std::string& id : *ids) {
            const std::string path = "/v1/checkpoints/" + percent_encode(id) + "/pin";
            const Json now = pinned ? api.post(path) : api.del(path);
            if (context.output.json) context.output.print_json(now);
        }
    });
}

}  // namespace

void add_checkpoint_command(CLI::App& app, Context& context)
{
    CLI::App* const command = app.add_subcommand("checkpoint", "Make checkpoints, list, show, pin and delete them");
    command->footer("Prints the checkpoint's id.\nExamples: warmctl checkpoint octave        (warms it first)\n"
                    "          warmctl checkpoint inst-...      (ends that instance)\n"
                    "          warmctl checkpoint list");
    const auto target = std::make_shared<std::string>();
    command->add_option("TARGET", *target, "A template's name or an instance's id");
    const auto no_wait = add_no_wait(*command);

    CLI::App* const create = command->add_subcommand("create", "Make a checkpoint: the same as `checkpoint TARGET`");
    create->footer(
        "Examples: warmctl checkpoint create octave\n          warmctl checkpoint create inst-... --no-wait");
    const auto created = std::make_shared<std::string>();
    create->add_option("TARGET", *created, "A template's name or an instance's id")->required();
    const auto create_no_wait = add_no_wait(*create);
    create->callback([&context, created, create_no_wait] { make_checkpoint(context, *created, !*create_no_wait); });

    add_restore_command(*command, context);

    CLI::App* const list = command->add_subcommand("list", "List the checkpoints, newest first");
    list->footer("Example: warmctl checkpoint list --template octave");
    const auto filter = std::make_shared<std::string>();
    list->add_option("--template", *filter, "Only of this template");
    list->callback([&context, filter] { list_checkpoints(context, *filter); });

    CLI::App* const show = command->add_subcommand("show", "Show one checkpoint");
    show->footer("Example: warmctl checkpoint show ckpt-...");
    const auto shown = std::make_shared<std::string>();
    show->add_option("CHECKPOINT", *shown, "Its id")->required();
    show->callback([&context, shown] { show_checkpoint(context, *shown); });

    add_rm(*command, context);
    add_transfer_commands(*command, context);
    add_verify(*command, context);
    add_pin(*command, context, true);
    add_pin(*command, context, false);
    add_prune_command(*command, context);

    command->callback([&context, command, target, no_wait] {
        if (!command->get_subcommands().empty()) return;
        if (target->empty()) throw CLI::RequiredError{"TARGET or a subcommand"};
        make_checkpoint(context, *target, !*no_wait);
    });
}

}  // namespace warmd::client
