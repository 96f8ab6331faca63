#pragma once

#include <chrono>
#include <string>

#include "api/contract/documents.h"
#include "client/api_client.h"
#include "client/output.h"

namespace warmd::client {

/// One line on standard error that is drawn anew in place; nothing where that cannot be done, or was not wanted.
/// Whoever writes anything else to standard error clears it first.
class LiveLine {
public:
    explicit LiveLine(const Output& output);
    ~LiveLine() { clear(); }
    LiveLine(const LiveLine&) = delete;
    LiveLine& operator=(const LiveLine&) = delete;

    /// A spinner, `words` and the time since this was made. Longer than the terminal is wide it is cut.
    void draw(const std::string& words);
    void clear();

    [[nodiscard]] bool shown() const noexcept { return shown_; }
    [[nodiscard]] Duration elapsed() const;

private:
    const bool shown_;
    const bool coloured_;
    const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
    std::size_t turn_ = 0;
    bool dirty_ = false;
};

/// Follows an operation to its end and returns it. On a terminal one line on standard error shows the current phase
/// and the time; elsewhere each change is a line of its own; `quiet` shows nothing. Throws the operation's error when
/// it failed or was cancelled. Interrupted, it ends the process with 130 and says that the operation goes on.
Operation follow(const ApiClient& api, const Output& output, Operation operation);

}  // namespace warmd::client
