#include "client/api_client.h"

#include <httplib.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <exception>

#include "daemon/base/clock.h"
#include "daemon/base/id.h"

namespace warmd::client {

namespace {

httplib::Client connect(const Endpoint& endpoint)
{
    if (endpoint.tcp()) return httplib::Client{endpoint.host, endpoint.port};
    httplib::Client client{endpoint.socket};
    client.set_address_family(AF_UNIX);
    return client;
}

Error unreachable(const Endpoint& endpoint, int error, const std::string& words)
{
    Error failure = Error{ErrorCode::unavailable, "no daemon answers on " + endpoint.text()}.with_cause(
        error != 0 ? std::strerror(error) : words);
    if (endpoint.tcp())
        return std::move(failure).with_hint("is [api] tcp set in its warmd.toml? systemctl status warmd");
    if (error == EACCES) {
        return std::move(failure).with_hint(
            "only root and members of the group warmd may: sudo usermod -aG warmd $USER");
    }
    return std::move(failure).with_hint("systemctl status warmd; journalctl -u warmd");
}

std::optional<int> seconds_of(const std::string& text)
{
    int seconds = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (error != std::errc{} || end != text.data() + text.size() || seconds < 0) return std::nullopt;
    return seconds;
}

/// When to send a request again, and when not to.
class Repeats {
public:
    /// The pause before the next try, or nothing when it is time to give up.
    std::optional<Duration> next(std::optional<int> asked_seconds)
    {
        constexpr int kTries = 4;
        constexpr std::chrono::seconds kPatience{10};
        constexpr std::chrono::milliseconds kFirstPause{250};
        if (++tried_ >= kTries) return std::nullopt;
        const Duration pause = asked_seconds ? Duration{std::chrono::seconds{*asked_seconds}}
                                             : Duration{kFirstPause * (1 << (2 * (tried_ - 1)))};  // 0.25, 1, 4 s
        if (clock_.steady_now() + pause > began_ + kPatience) return std::nullopt;
        return pause;
    }

    void pause(Duration duration) { clock_.sleep_for(duration, {}); }

private:
    SystemClock clock_;
    SteadyTime began_ = clock_.steady_now();
    int tried_ = 0;
};

}  // namespace

ApiClient::Answer ApiClient::send(const Exchange& exchange) const
{
    const Endpoint& endpoint = options_.endpoint;
    httplib::Client client = connect(endpoint);
    client.set_read_timeout(options_.silence);
    client.set_connection_timeout(std::min(options_.silence, std::chrono::seconds{10}));
    httplib::Request request;
    request.method = exchange.method;
    request.path = exchange.path;
    request.headers = {{"Host", endpoint.tcp() ? endpoint.authority() : "warmd"}};
    for (const auto& [name, value] : exchange.headers) request.set_header(name, value);
    if (endpoint.tcp() && !options_.token.empty()) request.set_header("Authorization", "Bearer " + options_.token);
    request.body = exchange.body;
    if (!exchange.body.empty()) request.set_header("Content-Type", "application/json");
    Answer answer;
    std::exception_ptr thrown;
    request.response_handler = [&answer](const httplib::Response& response) {
        answer.status = response.status;
        answer.etag = response.get_header_value("ETag");
        answer.retry_after = seconds_of(response.get_header_value("Retry-After"));
        return true;
    };
    request.content_receiver = [&](const char* data, std::size_t size, std::uint64_t, std::uint64_t) {
        if (exchange.stop.stop_requested()) return false;
        if (!exchange.on_data || !answer.ok()) {
            answer.body.append(data, size);
            return true;
        }
        try {  // the library is not written for exceptions to pass through it
            exchange.on_data({data, size});
            return true;
        } catch (...) {
            thrown = std::current_exception();
            return false;
        }
    };
    const std::stop_callback breaks{exchange.stop, [&client] { client.stop(); }};
    errno = 0;
    const httplib::Result result = client.send(request);
    const int error = errno;
    if (thrown) std::rethrow_exception(thrown);
    if (!result && result.error() == httplib::Error::Connection) {
        throw Unreachable{unreachable(endpoint, error, httplib::to_string(result.error()))};
    }
    if (!result) {
        throw ConnectionLost{Error{ErrorCode::unavailable, "the connection to the daemon broke"}
                                 .with_cause(httplib::to_string(result.error()))
                                 .with_hint("systemctl status warmd; journalctl -u warmd")};
    }
    return answer;
}

std::string ApiClient::call(const Exchange& exchange) const
{
    Answer answer = send(exchange);
    if (!answer.ok()) throw contract::decode_problem(answer.body, answer.status);
    return std::move(answer.body);
}

Json ApiClient::get(const std::string& path) const { return parse_json(get_text(path)); }
Json ApiClient::post(const std::string& path) const { return parse_json(call({.method = "POST", .path = path})); }
Json ApiClient::post(const std::string& path, const Json& body) const
{
    return parse_json(call({.method = "POST", .path = path, .body = dump_json(body)}));
}
Json ApiClient::del(const std::string& path) const { return parse_json(call({.method = "DELETE", .path = path})); }
std::string ApiClient::get_text(const std::string& path) const { return call({.method = "GET", .path = path}); }

void ApiClient::download(const std::string& path, const std::function<void(std::string_view)>& on_data) const
{
    (void)call({.method = "GET", .path = path, .on_data = on_data});
}

std::vector<Json> ApiClient::get_all(const std::string& path) const
{
    std::vector<Json> items;
    std::string next = path;
    while (true) {
        Json page = get(next);
        JsonObject object{page};
        if (const Json* const list = object.child("items")) items.insert(items.end(), list->begin(), list->end());
        const auto cursor = object.optional_text("next_cursor");
        if (!cursor) return items;
        next = path + (path.find('?') == std::string::npos ? "?" : "&") + "cursor=" + *cursor;
    }
}

std::optional<Json> ApiClient::get_if_changed(const std::string& path, std::string& etag) const
{
    constexpr int kNotModified = 304;
    Exchange exchange{.method = "GET", .path = path};
    if (!etag.empty()) exchange.headers["If-None-Match"] = etag;
    const Answer answer = send(exchange);
    if (answer.status == kNotModified) return std::nullopt;
    if (!answer.ok()) throw contract::decode_problem(answer.body, answer.status);
    etag = answer.etag;
    return parse_json(answer.body);
}

Json ApiClient::start(const std::string& path, const std::optional<Json>& body, WhenBusy busy) const
{
    constexpr int kKeyDigits = 32;
    constexpr int kConflict = 409;
    constexpr int kUnavailable = 503;
    const Exchange exchange{.method = "POST",
                            .path = path,
                            .body = body ? dump_json(*body) : "",
                            .headers = {{"Idempotency-Key", random_hex(kKeyDigits)}}};
    Repeats repeats;
    bool lost = false;
    while (true) {
        std::exception_ptr failure;
        std::string words;
        std::optional<int> asked;
        try {
            const Answer answer = send(exchange);
            if (answer.ok()) return parse_json(answer.body);
            const Error problem = contract::decode_problem(answer.body, answer.status);
            const bool refused = answer.status == kUnavailable &&
                                 (problem.code() != ErrorCode::busy || busy == WhenBusy::repeat);
            // The first of them, whose connection was lost, is still being worked on.
            const bool under_way = answer.status == kConflict && lost;
            if (!answer.retry_after || !(refused || under_way)) throw Error{problem};
            failure = std::make_exception_ptr(problem);
            words = problem.what();
            asked = answer.retry_after;
        } catch (const ConnectionLost& error) {
            lost = true;
            failure = std::current_exception();
            words = error.what();
        } catch (const Unreachable& error) {
            if (!lost) throw;  // there never was a daemon
            failure = std::current_exception();
            words = error.what();
        }
        const auto pause = repeats.next(asked);
        if (!pause) std::rethrow_exception(failure);
        if (options_.notice) options_.notice(words + "; trying again in " + format_duration(*pause));
        repeats.pause(*pause);
    }
}

void ApiClient::signal(const InstanceId& id, const ExecId& exec, const std::string& name) const
{
    (void)call({.method = "POST",
                .path = "/v1/instances/" + id.value() + "/execs/" + exec.value() + "/signal",
                .body = dump_json(Json{{"signal", name}})});
}

void ApiClient::stream(
    const std::string& path, const Json& body,
    const std::function<void(const std::string& line, const contract::ExecFrame& frame)>& handler) const
{
    bool complete = false;
    std::string text;
    const auto take = [&](std::string_view data) {
        text += data;
        for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n')) {
            const std::string line = text.substr(0, end);
            text.erase(0, end + 1);
            const contract::ExecFrame frame = contract::decode_frame(line);
            if (frame.type == contract::FrameType::keepalive) continue;
            complete = frame.type == contract::FrameType::exit || frame.type == contract::FrameType::error;
            handler(line, frame);
        }
    };
    (void)call({.method = "POST", .path = path, .body = dump_json(body), .on_data = take});
    if (complete) return;
    throw ConnectionLost{
        Error{ErrorCode::unavailable, "the daemon ended the stream before the command's exit status"}.with_hint(
            "journalctl -u warmd")};
}

void ApiClient::events(const std::string& last_id, std::stop_token stop, EventStreamParser& parser,
                       const std::function<void(const StreamEvent&)>& handler) const
{
    Exchange exchange{.method = "GET",
                      .path = "/v1/events",
                      .headers = {{"Accept", "text/event-stream"}},
                      .on_data = [&](std::string_view data) { parser.feed(data, handler); },
                      .stop = stop};
    if (!last_id.empty()) exchange.headers["Last-Event-ID"] = last_id;
    try {
        (void)call(exchange);
    } catch (const ConnectionLost&) {
        if (!stop.stop_requested()) throw;
    }
    if (stop.stop_requested()) return;
    throw ConnectionLost{
        Error{ErrorCode::unavailable, "the daemon ended the stream of events"}.with_hint("journalctl -u warmd")};
}

}  // namespace warmd::client
