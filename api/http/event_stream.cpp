#include "api/http/event_stream.h"

#include <spdlog/spdlog.h>

#include <charconv>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "api/contract/documents.h"
#include "daemon/base/error.h"
#include "daemon/base/text.h"

namespace warmd::http {

namespace {

constexpr std::chrono::seconds kKeepalive{15};
constexpr int kBatch = 100;

std::int64_t parse_id(const std::string& text, const char* field)
{
    std::int64_t id = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
    if (error == std::errc{} && end == text.data() + text.size() && id >= 0) return id;
    throw Error{ErrorCode::invalid_argument, std::string{field} + " must be the id of an event: a whole number"}
        .with_field(field);
}

/// After which event the client wants to hear. The header is what a client sends by itself when it comes back, hence
/// newer than what stands in the address.
std::optional<std::int64_t> wanted_after(const Request& request)
{
    if (const std::string last = request.header("last-event-id"); !last.empty()) return parse_id(last, "Last-Event-ID");
    if (const auto after = request.query.find("after"); after != request.query.end()) {
        return parse_id(after->second, "after");
    }
    return std::nullopt;
}

std::string frame(const char* type, std::optional<std::int64_t> id, const Json& data)
{
    const std::string name = id ? "id: " + std::to_string(*id) + "\n" : std::string{};
    return name + "event: " + type + "\ndata: " + dump_json(data) + "\n\n";
}

/// One client's way through the events.
class Follower {
public:
    Follower(Service& service, std::optional<std::int64_t> after)
        : catalog_{service.catalog()}, progress_{service.operations().progress().subscribe()}
    {
        const std::int64_t newest = catalog_.last_event();
        after_ = after.value_or(newest);
        first_ = "retry: 2000\n\n";
        if (!after) first_ += frame("hello", newest, {{"newest", newest}});
    }

    /// What has not been written yet; empty when there is nothing.
    std::string next()
    {
        std::string text = std::exchange(first_, {});
        const std::int64_t oldest = catalog_.oldest_event();
        const std::int64_t newest = catalog_.last_event();
        if (after_ + 1 < oldest || after_ > newest) {
            text += frame("reset", newest, {{"oldest", oldest}, {"newest", newest}});
            after_ = newest;
        }
        if (after_ < newest) {
            for (const Event& event : catalog_.events_after(after_, kBatch)) {
                text += frame("change", event.id, contract::encode(event));
                after_ = event.id;
            }
        }
        for (const Progress& progress : progress_->take()) {
            text += frame("progress", std::nullopt, contract::encode(progress));
        }
        return text;
    }

    /// False when there is no news for as long as a connection may be silent.
    [[nodiscard]] bool wait(const std::stop_token& stop) const
    {
        return catalog_.wait_for_event(after_, kKeepalive, stop, [this] { return progress_->pending(); });
    }

private:
    const Catalog& catalog_;
    std::shared_ptr<ProgressFeed::Subscription> progress_;
    std::string first_;
    std::int64_t after_ = 0;
};

void follow(Service& service, std::optional<std::int64_t> after, const std::stop_token& stop, const StreamWriter& write)
{
    Follower follower{service, after};
    while (!stop.stop_requested()) {
        const std::string text = follower.next();
        if (!text.empty() && !write(text)) return;
        if (text.empty() && !follower.wait(stop) && !stop.stop_requested() && !write(": keepalive\n\n")) return;
    }
}

}  // namespace

Response respond_events(Service& service, const Request& request)
{
    request.allow_query({"after"});
    Response response;
    response.content_type = "text/event-stream";
    response.headers["X-Accel-Buffering"] = "no";  // what nginx would otherwise do
    response.stream = [&service, after = wanted_after(request), stop = request.stop,
                       name = request.request_id](const StreamWriter& write) {
        try {
            follow(service, after, stop, write);
        } catch (const std::exception& error) {
            // The client comes back and is told, by a status, if that is of no use.
            spdlog::error("request_id={} events: {}", name, printable(error.what()));
        }
    };
    return response;
}

}  // namespace warmd::http
