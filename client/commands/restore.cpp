#include "client/commands/commands.h"
#include "daemon/base/text.h"

namespace warmd::client {

void add_restore_command(CLI::App& app, Context& context)
{
    CLI::App* const command = app.add_subcommand("restore", "Make an instance from a checkpoint");
    command->footer("Prints the instance's id.\nExamples: warmctl restore octave\n          warmctl restore ckpt-...");
    const auto from = std::make_shared<std::string>();
    command->add_option("CHECKPOINT", *from, "A checkpoint's id, or a template's name for its newest checkpoint")
        ->required();
    const auto path = std::make_shared<std::string>();
    command
        ->add_option("--path", *path,
                     "linked: from the unpacked images; archive: from the tarball\n"
                     "(default: linked, and archive where that fails)")
        ->check(CLI::IsMember{{"linked", "archive"}});
    const auto force = std::make_shared<bool>(false);
    command->add_flag("--force", *force, "Try it though the checkpoint was made on a host that this one differs from");
    const auto no_wait = add_no_wait(*command);
    command->callback([&context, from, path, force, no_wait] {
        const std::string collection = from->starts_with(kCheckpointPrefix) ? "/v1/checkpoints/" : "/v1/templates/";
        std::string query = path->empty() ? "" : "?path=" + *path;
        if (*force) query += query.empty() ? "?force=true" : "&force=true";
        start_operation(context, "POST", collection + percent_encode(*from) + "/restore" + query, !*no_wait,
                        [](const Operation& operation) { return operation.instance.value(); });
    });
}

}  // namespace warmd::client
