#include "client/bench.h"

#include "client/commands/commands.h"
#include "client/commands/exec_options.h"

namespace warmd::client {

namespace {

void print(const Context& context, const BenchPlan& plan, const BenchReport& report, const std::string& version)
{
    if (context.output.json) {
        context.output.print_json(Json{{"template", plan.template_name.value()},
                                       {"warmd", version},
                                       {"runs", plan.runs},
                                       {"cold_runs", plan.cold_runs},
                                       {"exec", contract::encode(plan.command)},
                                       {"rows", report.json()}});
        return;
    }
    context.output.print_line(plan.template_name.value() + ", " + std::to_string(plan.runs) + " runs, warmd " +
                              version + ". As seen by a client; phases as warmd reports them.\n");
    std::fputs(report.markdown().c_str(), stdout);
}

void bench(Context& context, const BenchPlan& plan)
{
    const ApiClient api = context.api();
    const Json status = api.get("/v1/status");
    const std::string version = JsonObject{status}.text("version");
    Bench bench{api, context.output, plan};
    try {
        bench.run();
    } catch (const Error& error) {
        if (error.code() == ErrorCode::cancelled) context.exit_status = kExitInterrupted;
        throw;
    }
    print(context, plan, bench.report(), version);
}

}  // namespace

void add_bench_command(CLI::App& app, Context& context)
{
    constexpr int kMostRuns = 10000;
    CLI::App* const command = app.add_subcommand("bench", "Measure a template: cold start, restores, lease, exec");
    command->footer(
        "Each run starts the application cold, checkpoints it, restores it in each way, runs the command twice,\n"
        "and takes a lease where the template has a pool; all restores are from the first run's checkpoint.\n"
        "As root it also restores with podman alone, from /var/lib/warmd. Everything made is removed.\n"
        "Prints a table in Markdown, with --json all samples.\n"
        "Examples: warmctl bench octave -n 20 --code 'disp(sqrt(36))'\n"
        "          warmctl bench matlab -n 20 --cold 2 --code '1;'\n"
        "          warmctl --json bench octave -n 20 --no-podman -- matlab-bs -batch '1;'");
    const auto plan = std::make_shared<BenchPlan>();
    const auto name = std::make_shared<std::string>();
    const auto no_podman = std::make_shared<bool>(false);
    command->add_option("TEMPLATE", *name, "The template's name")->required();
    command->add_option("-n,--runs", plan->runs, "How many runs")
        ->capture_default_str()
        ->check(CLI::Range(1, kMostRuns));
    CLI::Option* const cold = command
                                  ->add_option("--cold", plan->cold_runs, "How many of them start cold (default: all)")
                                  ->check(CLI::Range(1, kMostRuns));
    command->add_flag("--no-podman", *no_podman, "Leave podman's own restore out");
    const auto options = std::make_shared<ExecOptions>(*command);
    command->callback([&context, plan, name, no_podman, cold, options] {
        plan->template_name = TemplateName{*name};
        plan->podman = !*no_podman;
        if (cold->count() == 0) plan->cold_runs = plan->runs;
        plan->command = options->empty() ? ExecRequest{.command = {"true"}} : options->request();
        bench(context, *plan);
    });
}

}  // namespace warmd::client
