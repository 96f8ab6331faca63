#include "client/progress.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "client/interrupts.h"
#include "daemon/base/text.h"

namespace warmd::client {

namespace {

class Progress {
public:
    explicit Progress(const Output& output)
        : shown_{!output.quiet}, coloured_{output.coloured(STDERR_FILENO)}, line_{output}
    {
    }

    void show(const Operation& operation)
    {
        if (!shown_) return;
        line_.clear();
        const bool changed = operation.state != state_;
        const bool ended = is_final(operation.state);
        if (!line_.shown() && changed && !ended) say(operation, std::string{to_string(operation.state)});
        for (; reported_ < operation.phases.size(); ++reported_) {
            const Phase& phase = operation.phases[reported_];
            std::fprintf(stderr, "%-8s %s\n", printable(phase.name).c_str(), client::describe(phase.elapsed).c_str());
        }
        if (!ended) {
            line_.draw(title(operation) + ": " +
                       (operation.phase.empty() ? std::string{to_string(operation.state)} : operation.phase));
        } else if (changed) {
            say(operation, std::string{to_string(operation.state)} + " in " + client::describe(line_.elapsed()));
        }
        state_ = operation.state;
    }

private:
    static std::string title(const Operation& operation)
    {
        std::string text{to_string(operation.kind)};
        std::replace(text.begin(), text.end(), '_', ' ');
        return operation.template_name.empty() ? text : text + " " + operation.template_name.value();
    }

    void say(const Operation& operation, const std::string& words) const
    {
        const std::string line = printable(title(operation) + ": " + words);
        std::fprintf(stderr, "%s\n", paint(coloured_, colour_of_state(to_string(operation.state)), line).c_str());
    }

    const bool shown_;
    const bool coloured_;
    LiveLine line_;
    std::optional<OperationState> state_;
    std::size_t reported_ = 0;
};

}  // namespace

LiveLine::LiveLine(const Output& output)
    : shown_{!output.quiet && output.redraws()}, coloured_{output.coloured(STDERR_FILENO)}
{
}

Duration LiveLine::elapsed() const
{
    return std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now() - began_);
}

void LiveLine::draw(const std::string& words)
{
    if (!shown_) return;
    constexpr std::array<const char*, 4> kSpinner{"|", "/", "-", "\\"};
    const std::string tail = "  " + client::describe(elapsed());
    const auto width = static_cast<std::size_t>(terminal_columns(STDERR_FILENO));
    const std::size_t room = width > tail.size() + 3 ? width - tail.size() - 3 : 1;
    const std::string spinner = paint(coloured_, Colour::yellow, kSpinner.at(turn_++ % kSpinner.size()));
    std::fprintf(stderr, "\r\033[K%s %s%s", spinner.c_str(), printable(words, room).substr(0, room).c_str(),
                 paint(coloured_, Colour::dim, tail).c_str());
    std::fflush(stderr);
    dirty_ = true;
}

void LiveLine::clear()
{
    if (std::exchange(dirty_, false)) std::fputs("\r\033[K", stderr);
}

Operation follow(const ApiClient& api, const Output& output, Operation operation)
{
    const std::string id = operation.id.value();
    const Interrupts interrupts{[id, &output](const char*) {
        if (!output.quiet) {
            std::fprintf(stderr, "%swarmctl: %s goes on\n  next:  warmctl operation wait %s, or operation cancel %s\n",
                         output.redraws() ? "\r\033[K" : "", id.c_str(), id.c_str(), id.c_str());
        }
        std::_Exit(kExitInterrupted);
    }};
    Progress progress{output};
    progress.show(operation);
    // The daemon answers at the end or after this time, whichever comes first.
    const std::string wait = !output.quiet && output.redraws() ? "?wait=150ms" : "?wait=1s";
    while (!is_final(operation.state)) {
        operation = contract::decode_operation(api.get("/v1/operations/" + id + wait));
        progress.show(operation);
    }
    if (operation.error) throw Error{*operation.error};
    return operation;
}

}  // namespace warmd::client
