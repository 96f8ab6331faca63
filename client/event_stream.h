#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace warmd::client {

/// One event of a text/event-stream.
struct StreamEvent {
    std::string type = "message";
    std::string data;     // several data lines are joined by line feeds
    std::string last_id;  // the newest id that the stream has given, of this event or an earlier one
};

/// Reads a text/event-stream (the WHATWG's format) from pieces of any size.
class EventStreamParser {
public:
    /// Calls `handler` for every event that is complete with `chunk`, in order.
    void feed(std::string_view chunk, const std::function<void(const StreamEvent&)>& handler);

    /// To resume with; empty when the stream has given none. An id counts once its event is complete.
    [[nodiscard]] const std::string& last_id() const noexcept { return last_id_; }
    /// How long to wait before connecting anew, if the stream has said it.
    [[nodiscard]] std::optional<std::chrono::milliseconds> retry() const noexcept { return retry_; }

private:
    void line(const std::function<void(const StreamEvent&)>& handler);
    void field(std::string_view name, std::string_view value);

    std::string line_;
    bool after_return_ = false;  // a line feed now belongs to the line end before it
    bool started_ = false;
    bool has_data_ = false;
    std::string type_;
    std::string data_;
    std::string id_;
    std::string last_id_;
    std::optional<std::chrono::milliseconds> retry_;
};

}  // namespace warmd::client
