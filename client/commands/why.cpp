#include "client/command_tree.h"
#include "client/commands/commands.h"
#include "client/diagnosis.h"
#include "daemon/base/text.h"

namespace warmd::client {

namespace {

constexpr std::size_t kShownLeases = 5;

std::vector<Json> first_page(const ApiClient& api, const std::string& path)
{
    const Json page = api.get(path);
    JsonObject object{page};
    const Json* const items = object.child("items");
    return items == nullptr ? std::vector<Json>{} : std::vector<Json>{items->begin(), items->end()};
}

/// Throws not_found with the name that was meant, where one is near.
Json template_of(const ApiClient& api, const std::string& name)
{
    try {
        return api.get("/v1/templates/" + percent_encode(name));
    } catch (const Error& error) {
        if (error.code() != ErrorCode::not_found) throw;
        std::vector<std::string> known;
        for (const Json& item : api.get_all("/v1/templates")) known.push_back(JsonObject{item}.text("name"));
        const auto meant = closest(name, known);
        throw Error{ErrorCode::not_found, error.what()}.with_hint(meant ? "did you mean " + *meant + "?"
                                                                        : "warmctl template list");
    }
}

PoolFacts gather(const ApiClient& api, const std::string& name)
{
    const Json document = template_of(api, name);
    const std::string encoded = percent_encode(name);
    PoolFacts facts{.pool = contract::decode_pool(api.get("/v1/pools/" + encoded)),
                    .digest = JsonObject{document}.text("digest")};
    for (const Json& item : api.get_all("/v1/checkpoints?template=" + encoded)) {
        facts.checkpoints.push_back(contract::decode_checkpoint(item));
    }
    for (const Json& item : first_page(api, "/v1/operations?limit=1000")) {
        Operation operation = contract::decode_operation(item);
        if (operation.template_name.value() == name) facts.operations.push_back(std::move(operation));
    }
    for (const Json& item : first_page(api, "/v1/leases?all=true&limit=1000")) {
        Lease lease = contract::decode_lease(item);
        if (lease.template_name.value() == name) facts.leases.push_back(std::move(lease));
    }
    if (facts.leases.size() > kShownLeases) facts.leases.resize(kShownLeases);
    return facts;
}

void print(const Output& output, const PoolFacts& facts, const Diagnosis& diagnosis)
{
    const PoolStatus& pool = facts.pool;
    std::size_t current = 0;
    std::size_t earlier = 0;
    for (const Checkpoint& checkpoint : facts.checkpoints) {
        if (checkpoint.state != CheckpointState::available) continue;
        ++(checkpoint.template_digest == facts.digest ? current : earlier);
    }
    std::vector<std::vector<std::string>> rows{{"from the pool", diagnosis.served ? "yes" : "no"},
                                               {"because", diagnosis.cause}};
    if (!diagnosis.detail.empty()) rows.push_back({"", diagnosis.detail});
    rows.push_back({"next", diagnosis.next});
    rows.push_back({"pool", std::to_string(pool.idle) + " idle (min_idle " + std::to_string(pool.policy.min_idle) +
                                "), " + std::to_string(pool.leased) + " leased, " + std::to_string(pool.filling) +
                                " filling, max_size " + std::to_string(pool.policy.max_size)});
    rows.push_back({"checkpoints", std::to_string(current) + " available of the template as it is, " +
                                       std::to_string(earlier) + " of an earlier form"});
    for (const Lease& lease : facts.leases) {
        rows.push_back({&lease == &facts.leases.front() ? "last leases" : "",
                        describe_age(lease.created_at) + " ago: " + std::string{to_string(lease.path)} + ", waited " +
                            describe(lease.elapsed)});
    }
    output.print_table(rows);
}

}  // namespace

void add_why_command(CLI::App& app, Context& context)
{
    CLI::App* const command = app.add_subcommand("why", "Say why a lease would not come from a template's pool");
    command->footer("The exit status is 0 when a lease would be served from the pool now, otherwise 1.\n"
                    "Examples: warmctl why octave\n          warmctl why octave -q || warmctl checkpoint octave");
    const auto name = std::make_shared<std::string>();
    command->add_option("TEMPLATE", *name, "The template's name")->required();
    command->callback([&context, name] {
        const ApiClient api = context.api();
        const PoolFacts facts = gather(api, *name);
        const Diagnosis diagnosis = diagnose(facts);
        if (!diagnosis.served) context.exit_status = 1;
        if (!context.output.json) return print(context.output, facts, diagnosis);
        Json leases = Json::array();
        for (const Lease& lease : facts.leases) leases.push_back(contract::encode(lease));
        context.output.print_json({{"template", *name},
                                   {"served", diagnosis.served},
                                   {"cause", diagnosis.cause},
                                   {"detail", diagnosis.detail},
                                   {"next", diagnosis.next},
                                   {"pool", contract::encode(facts.pool)},
                                   {"leases", std::move(leases)}});
    });
}

}  // namespace warmd::client
