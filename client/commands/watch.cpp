#include <poll.h>
#include <sys/eventfd.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <thread>

#include "client/commands/commands.h"
#include "client/event_feed.h"
#include "client/interrupts.h"
#include "client/status_view.h"
#include "daemon/base/guarded.h"
#include "daemon/base/scope_exit.h"
#include "daemon/base/text.h"
#include "daemon/base/unique_fd.h"

namespace warmd::client {

namespace {

constexpr std::size_t kKeptEvents = 50;

/// What the thread that reads events leaves for the one that draws.
struct Seen {
    bool connected = false;
    bool changed = true;  // since the last drawing
    std::deque<std::string> events;
    std::map<std::string, std::string> phases;  // of operations that run
};

/// The alternate screen, without echo and line editing, until the end of this.
class Screen {
public:
    Screen()
    {
        raw_ = ::tcgetattr(STDIN_FILENO, &before_) == 0;
        termios now = before_;
        now.c_lflag &= static_cast<tcflag_t>(~(ICANON | ECHO));
        if (raw_) ::tcsetattr(STDIN_FILENO, TCSANOW, &now);
        write("\033[?1049h\033[?25l\033[?7l");  // no cursor, and long lines are cut
    }
    ~Screen()
    {
        write("\033[?7h\033[?25h\033[?1049l");
        if (raw_) ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
    }
    Screen(const Screen&) = delete;
    Screen& operator=(const Screen&) = delete;

    void draw(const std::vector<std::string>& lines) const
    {
        const auto height = static_cast<std::size_t>(terminal_lines(STDOUT_FILENO));
        std::string text = "\033[H";
        for (std::size_t i = 0; i < lines.size() && i + 1 < height; ++i) text += lines[i] + "\033[K\r\n";
        write(text + "\033[J");
    }

private:
    static void write(const std::string& text)
    {
        std::fwrite(text.data(), 1, text.size(), stdout);
        std::fflush(stdout);
    }

    termios before_{};
    bool raw_ = false;
};

class Watch {
public:
    explicit Watch(const Context& context)
        : context_{context}, api_{context.api()}, wake_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)}
    {
        if (!wake_.valid()) throw system_error("cannot watch", errno);
    }

    /// Draws until q or an interrupt.
    void run()
    {
        refresh();  // what is wrong at once is an error, not a screen
        const Interrupts interrupts{[this](const char*) {
            stop_.request_stop();
            wake();
        }};
        const Screen screen;
        const std::jthread reader{[this] { read_events(); }};
        const ScopeExit ends_reader{[this]() noexcept { stop_.request_stop(); }};
        while (!stop_.stop_requested()) {
            screen.draw(lines());
            wait();
            refresh_or_say();
        }
    }

    std::vector<std::string> once()
    {
        refresh();
        return lines();
    }

private:
    void wake() const
    {
        const std::uint64_t one = 1;
        if (::write(wake_.get(), &one, sizeof one) < 0) return;  // full: it is awake
    }

    void read_events()
    {
        EventFeed feed{api_, ""};
        try {
            feed.run(
                stop_.get_token(), std::chrono::hours{24}, [this](const StreamEvent& event) { take(event); },
                [this](bool connected, const std::string&) {
                    seen_.with([connected](Seen& seen) { seen.connected = connected; });
                    wake();
                });
        } catch (const Error&) {
            // Without events the status is polled; what is wrong that says as well.
        }
        seen_.with([](Seen& seen) { seen.connected = false; });
    }

    void take(const StreamEvent& event)
    {
        const Json data = parse_json(event.data);
        JsonObject object{data};
        seen_.with([&](Seen& seen) {
            seen.changed = true;
            if (event.type == "reset") seen.phases.clear();
            if (event.type == "progress" && !object.optional_text("phase").value_or("").empty()) {
                seen.phases[object.text("operation")] = object.optional_text("template").value_or("") + "  " +
                                                        object.optional_text("kind").value_or("") + ": " +
                                                        object.optional_text("phase").value_or("");
            }
            if (event.type != "change") return;
            const auto state = operation_state_from_string(object.text("state"));
            if (state && is_final(*state)) seen.phases.erase(object.text("subject"));
            seen.events.push_front(event_line(data));
            if (seen.events.size() > kKeptEvents) seen.events.pop_back();
        });
        wake();
    }

    /// Until something changed, a key was pressed, or it is time to poll.
    void wait()
    {
        constexpr int kPoll = 1000;         // without events
        constexpr int kPollEvents = 10000;  // ages and free space change without one
        const bool connected = seen_.with([](const Seen& seen) { return seen.connected; });
        std::array<pollfd, 2> polled{{{wake_.get(), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}}};
        if (::poll(polled.data(), polled.size(), connected ? kPollEvents : kPoll) < 0) return;
        std::uint64_t count = 0;
        if (polled[0].revents != 0 && ::read(wake_.get(), &count, sizeof count) < 0) return;
        if (polled[1].revents == 0) return;
        char key = 'q';  // the terminal is gone
        if (::read(STDIN_FILENO, &key, 1) < 1 || key == 'q') stop_.request_stop();
    }

    void refresh()
    {
        if (auto document = api_.get_if_changed("/v1/status", etag_)) status_ = std::move(*document);
        problem_.clear();
    }

    void refresh_or_say()
    {
        try {
            refresh();
        } catch (const Error& error) {
            problem_ = error.what();
        }
    }

    std::vector<std::string> lines() const
    {
        const bool coloured = context_.output.coloured(STDOUT_FILENO);
        const Seen seen = seen_.with([](const Seen& now) { return now; });
        std::vector<std::string> text = status_lines(status_, std::nullopt, coloured);
        if (!problem_.empty()) text.insert(text.begin(), paint(coloured, Colour::red, printable(problem_)));
        if (!seen.phases.empty()) text.insert(text.end(), {"", paint(coloured, Colour::bold, "OPERATIONS")});
        for (const auto& [operation, words] : seen.phases) text.push_back(printable(operation + "  " + words));
        if (!seen.events.empty()) text.insert(text.end(), {"", paint(coloured, Colour::bold, "EVENTS")});
        text.insert(text.end(), seen.events.begin(), seen.events.end());
        text.insert(text.begin(),
                    paint(coloured, Colour::dim,
                          api_.endpoint().text() + (seen.connected ? "  live" : "  polling") + "  q ends"));
        return text;
    }

    const Context& context_;
    const ApiClient api_;
    UniqueFd wake_;
    std::stop_source stop_;
    Guarded<Seen> seen_;
    Json status_;
    std::string etag_;
    std::string problem_;
};

}  // namespace

void add_watch_command(CLI::App& app, Context& context)
{
    CLI::App* const command = app.add_subcommand("watch", "Show status, pools and events as they change");
    command->footer("q or Ctrl-C ends it. When the stream of events breaks, the status is asked for once a second.\n"
                    "Where standard output is no terminal, and with --json, it prints events like `warmctl events`.\n"
                    "Examples: warmctl watch\n          warmctl watch --once");
    const auto once = std::make_shared<bool>(false);
    command->add_flag("--once", *once, "Print what it shows, and end");
    command->callback([&context, once] {
        const bool screen = can_redraw(::isatty(STDOUT_FILENO) == 1, TerminalEnvironment::read());
        if (*once && context.output.json) return context.output.print_json(context.api().get("/v1/status"));
        if (!*once && (context.output.json || !screen)) return print_events(context, "");
        Watch watch{context};
        if (!*once) return watch.run();
        const auto lines = watch.once();
        for (std::size_t i = 1; i < lines.size(); ++i) context.output.print_line(lines[i]);  // without the keys
    });
}

}  // namespace warmd::client
