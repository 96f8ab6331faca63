#include "client/progress.h"

#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <string>
#include <utility>

#include "daemon/base/text.h"

namespace warmd::client {

namespace {

class Progress {
public:
    explicit Progress(const Output& output) : shown_{!output.quiet}, terminal_{::isatty(STDERR_FILENO) == 1} {}
    ~Progress() { clear(); }
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    void show(const Operation& operation)
    {
        if (!shown_) return;
        clear();
        for (; reported_ < operation.phases.size(); ++reported_) {
            const Phase& phase = operation.phases[reported_];
            std::fprintf(stderr, "%-8s %s\n", printable(phase.name).c_str(), describe(phase.elapsed).c_str());
        }
        if (!terminal_ || is_final(operation.state)) return;
        constexpr std::array<char, 4> kSpinner{'|', '/', '-', '\\'};
        const std::string doing = operation.phase.empty() ? std::string{to_string(operation.state)} : operation.phase;
        const auto waited = std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now() - began_);
        std::fprintf(stderr, "%c %s %s", kSpinner.at(turn_++ % kSpinner.size()), printable(doing).c_str(),
                     describe(waited).c_str());
        std::fflush(stderr);
        dirty_ = true;
    }

private:
    void clear()
    {
        if (dirty_) std::fputs("\r\033[K", stderr);
        dirty_ = false;
    }

    const bool shown_;
    const bool terminal_;
    const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
    std::size_t reported_ = 0;
    std::size_t turn_ = 0;
    bool dirty_ = false;
};

}  // namespace

Operation follow(const ApiClient& api, const Output& output, Operation operation)
{
    Progress progress{output};
    progress.show(operation);
    while (!is_final(operation.state)) {
        // The daemon answers at the end or after this time, whichever comes first.
        operation = contract::decode_operation(api.get("/v1/operations/" + operation.id.value() + "?wait=150ms"));
        progress.show(operation);
    }
    if (operation.error) throw Error{*operation.error};
    return operation;
}

}  // namespace warmd::client
