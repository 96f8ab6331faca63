#include "client/event_stream.h"

#include <charconv>

namespace warmd::client {

void EventStreamParser::feed(std::string_view chunk, const std::function<void(const StreamEvent&)>& handler)
{
    for (const char c : chunk) {
        // Lines end with LF, CR or CRLF, and a chunk may end between the two.
        const bool second_half = after_return_ && c == '\n';
        after_return_ = c == '\r';
        if (second_half) continue;
        if (c == '\n' || c == '\r') line(handler);
        else line_ += c;
    }
}

void EventStreamParser::line(const std::function<void(const StreamEvent&)>& handler)
{
    constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
    std::string text;
    text.swap(line_);
    if (!started_ && text.starts_with(kByteOrderMark)) text.erase(0, kByteOrderMark.size());
    started_ = true;
    if (!text.empty()) {
        const std::size_t colon = text.find(':');
        if (colon == 0) return;  // a comment
        std::string_view value = colon == std::string::npos ? std::string_view{}
                                                            : std::string_view{text}.substr(colon + 1);
        if (value.starts_with(' ')) value.remove_prefix(1);
        field(std::string_view{text}.substr(0, colon), value);
        return;
    }
    last_id_ = id_;
    StreamEvent event;
    if (!type_.empty()) event.type.swap(type_);
    event.data.swap(data_);
    event.last_id = last_id_;
    type_.clear();
    const bool complete = has_data_;
    has_data_ = false;
    if (complete) handler(event);
}

void EventStreamParser::field(std::string_view name, std::string_view value)
{
    if (name == "data") {
        if (has_data_) data_ += '\n';
        data_ += value;
        has_data_ = true;
    } else if (name == "event") {
        type_ = value;
    } else if (name == "id") {
        if (value.find('\0') == std::string_view::npos) id_ = value;
    } else if (name == "retry") {
        long milliseconds = 0;
        const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), milliseconds);
        const bool whole = !value.empty() && error == std::errc{} && end == value.data() + value.size();
        if (whole && milliseconds >= 0) retry_ = std::chrono::milliseconds{milliseconds};
    }
}

}  // namespace warmd::client
