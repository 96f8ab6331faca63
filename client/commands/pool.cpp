#include "client/commands/commands.h"
#include "client/status_view.h"
#include "daemon/base/text.h"

namespace warmd::client {

namespace {

void list_pools(const Context& context)
{
    std::vector<PoolStatus> pools;
    for (const Json& item : context.api().get_all("/v1/pools")) {
        if (context.output.json) context.output.print_json(item);
        pools.push_back(contract::decode_pool(item));
    }
    if (!context.output.json) context.output.print_table(pool_rows(pools));
}

std::string describe_limit(Duration limit) { return limit == Duration::zero() ? "never" : format_duration(limit); }

void show_pool(const Context& context, const std::string& name)
{
    const Json document = context.api().get("/v1/pools/" + percent_encode(name));
    if (context.output.json) {
        context.output.print_json(document);
        return;
    }
    const PoolStatus pool = contract::decode_pool(document);
    context.output.print_table({{"template", pool.template_name.value()},
                                {"idle", std::to_string(pool.idle)},
                                {"leased", std::to_string(pool.leased)},
                                {"filling", std::to_string(pool.filling)},
                                {"draining", std::to_string(pool.draining)},
                                {"waiting", std::to_string(pool.waiting)},
                                {"held back", pool.held_back.empty() ? "no" : pool.held_back},
                                {"filled from", pool.checkpoint.empty() ? "no checkpoint" : pool.checkpoint.value()},
                                {"min_idle", std::to_string(pool.policy.min_idle)},
                                {"max_size", std::to_string(pool.policy.max_size)},
                                {"idle_ttl", describe_limit(pool.policy.idle_ttl)},
                                {"max_lifetime", describe_limit(pool.policy.max_lifetime)},
                                {"frozen", pool.policy.frozen ? "yes" : "no"}});
}

}  // namespace

void add_pool_command(CLI::App& app, Context& context)
{
    CLI::App* const command = app.add_subcommand("pool", "The instances that stand ready");
    command->require_subcommand(1);
    command->footer("A template's pool is set in its file: [pool] min_idle = 2.\n"
                    "Examples: warmctl pool list\n          warmctl pool show octave");

    CLI::App* const list = command->add_subcommand("list", "List the pools");
    list->footer("Example: warmctl pool list");
    list->callback([&context] { list_pools(context); });

    CLI::App* const show = command->add_subcommand("show", "Show one pool, and why it is not filled further");
    show->footer("Example: warmctl pool show octave");
    const auto shown = std::make_shared<std::string>();
    show->add_option("TEMPLATE", *shown, "Its template's name")->required();
    show->callback([&context, shown] { show_pool(context, *shown); });

    add_why_command(*command, context);
}

}  // namespace warmd::client
