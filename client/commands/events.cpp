#include <cstdio>

#include "client/commands/commands.h"
#include "client/event_feed.h"
#include "client/status_view.h"
#include "daemon/base/text.h"

namespace warmd::client {

namespace {

std::string progress_line(const Json& data)
{
    JsonObject object{data};
    const std::string phase = object.optional_text("phase").value_or("");
    return object.text("operation") + "  " + object.optional_text("template").value_or("") + "  " +
           object.optional_text("kind").value_or("") + (phase.empty() ? "" : ": " + phase);
}

void print(const Output& output, const StreamEvent& event)
{
    Json data = parse_json(event.data);
    if (output.json) {
        Json line{{"event", event.type}};
        line.update(data);
        output.print_json(line);
    } else if (event.type == "change") {
        output.print_line(event_line(data));
    } else if (event.type == "progress") {
        output.print_line(printable(progress_line(data)));
    } else if (event.type == "reset") {
        output.say("some events were missed");
    }
    std::fflush(stdout);  // whoever reads wants them as they come
}

}  // namespace

void print_events(const Context& context, const std::string& since)
{
    constexpr std::chrono::seconds kPatience{60};
    const ApiClient api = context.api();
    EventFeed feed{api, since};
    bool first = true;
    feed.run(
        {}, kPatience, [&context](const StreamEvent& event) { print(context.output, event); },
        [&](bool connected, const std::string& words) {
            if (!connected) context.output.say(words + "; connecting again");
            else if (!first) context.output.say("events come again");
            first = false;
        });
}

void add_events_command(CLI::App& app, Context& context)
{
    CLI::App* const command = app.add_subcommand("events", "Print what happens, a line each, until interrupted");
    command->footer("A broken connection is made again, and what happened meanwhile is printed.\n"
                    "Examples: warmctl events\n          warmctl events --json --since 120 | jq -r .subject");
    const auto since = std::make_shared<std::string>();
    command->add_option("--since", *since, "Also what happened after the event with this id")
        ->check(CLI::NonNegativeNumber);
    command->callback([&context, since] { print_events(context, *since); });
}

}  // namespace warmd::client
