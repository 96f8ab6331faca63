#include "client/api_client.h"

#include <httplib.h>

#include <cerrno>
#include <cstring>
#include <exception>
#include <string_view>

namespace warmd::client {

namespace {

constexpr std::string_view kUnixScheme = "unix://";

// Longer than the daemon's longest `wait`, and than its pause between keepalive frames.
constexpr std::chrono::seconds kSilence{90};

}  // namespace

ApiClient::ApiClient(const std::string& host)
    : socket_path_{host.starts_with(kUnixScheme) ? host.substr(kUnixScheme.size()) : host}
{
    if (socket_path_.empty() || socket_path_.front() != '/') {
        throw Error{ErrorCode::invalid_argument, "not an address of a daemon: \"" + host + "\""}
            .with_field("WARMD_HOST")
            .with_hint("use unix:///run/warmd/warmd.sock");
    }
}

std::string ApiClient::call(const std::string& method, const std::string& path, const std::string& body,
                            const std::function<void(const std::string& line)>& on_line) const
{
    httplib::Client client{socket_path_};
    client.set_address_family(AF_UNIX);
    client.set_read_timeout(kSilence);
    httplib::Request request;
    request.method = method;
    request.path = path;
    request.headers = {{"Host", "warmd"}};
    request.body = body;
    if (!body.empty()) request.set_header("Content-Type", "application/json");
    int status = 0;
    std::string text;
    std::exception_ptr thrown;
    request.response_handler = [&status](const httplib::Response& response) {
        status = response.status;
        return true;
    };
    request.content_receiver = [&](const char* data, std::size_t size, std::uint64_t, std::uint64_t) {
        text.append(data, size);
        if (!on_line || status / 100 != 2) return true;
        try {  // the library is not written for exceptions to pass through it
            for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n')) {
                const std::string line = text.substr(0, end);
                text.erase(0, end + 1);
                on_line(line);
            }
            return true;
        } catch (...) {
            thrown = std::current_exception();
            return false;
        }
    };
    errno = 0;
    const httplib::Result result = client.send(request);
    const int error = errno;
    if (thrown) std::rethrow_exception(thrown);
    if (!result) {
        const bool connecting = result.error() == httplib::Error::Connection;
        const bool forbidden = connecting && error == EACCES;
        Error failure = Error{ErrorCode::unavailable, connecting ? "no daemon answers on " + socket_path_
                                                                 : "the connection to the daemon broke"}
                            .with_cause(connecting && error != 0 ? std::strerror(error)
                                                                 : httplib::to_string(result.error()))
                            .with_hint(
                                forbidden ? "only root and members of the group warmd may: sudo usermod -aG warmd $USER"
                                          : "systemctl status warmd; journalctl -u warmd");
        if (connecting) throw Error{std::move(failure)};
        throw ConnectionLost{std::move(failure)};
    }
    if (status / 100 != 2) throw contract::decode_problem(text, status);
    return text;
}

Json ApiClient::get(const std::string& path) const { return parse_json(call("GET", path, {}, {})); }
Json ApiClient::post(const std::string& path) const { return parse_json(call("POST", path, {}, {})); }
Json ApiClient::post(const std::string& path, const Json& body) const
{
    return parse_json(call("POST", path, dump_json(body), {}));
}
Json ApiClient::del(const std::string& path) const { return parse_json(call("DELETE", path, {}, {})); }
std::string ApiClient::get_text(const std::string& path) const { return call("GET", path, {}, {}); }

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

void ApiClient::signal(const InstanceId& id, const ExecId& exec, const std::string& name) const
{
    call("POST", "/v1/instances/" + id.value() + "/execs/" + exec.value() + "/signal",
         dump_json(Json{{"signal", name}}), {});
}

void ApiClient::stream(
    const std::string& path, const Json& body,
    const std::function<void(const std::string& line, const contract::ExecFrame& frame)>& handler) const
{
    bool complete = false;
    call("POST", path, dump_json(body), [&](const std::string& line) {
        const contract::ExecFrame frame = contract::decode_frame(line);
        if (frame.type == contract::FrameType::keepalive) return;
        complete = frame.type == contract::FrameType::exit || frame.type == contract::FrameType::error;
        handler(line, frame);
    });
    if (complete) return;
    throw ConnectionLost{
        Error{ErrorCode::unavailable, "the daemon ended the stream before the command's exit status"}.with_hint(
            "journalctl -u warmd")};
}

}  // namespace warmd::client
