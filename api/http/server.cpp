#include "api/http/server.h"

#include <httplib.h>

#include <exception>
#include <string>
#include <string_view>
#include <utility>

#include "api/http/error_response.h"
#include "daemon/base/error.h"
#include "daemon/base/id.h"
#include "daemon/base/text.h"

namespace warmd::http {

namespace {

/// A head that has been read, as the library's idea of a connection. Its answer goes to the exchange.
class ExchangeStream final : public httplib::Stream {
public:
    explicit ExchangeStream(const Exchange& exchange) : exchange_{exchange}, unread_{exchange.head.normalised} {}

    [[nodiscard]] bool is_readable() const override { return true; }
    [[nodiscard]] bool is_writable() const override { return connected_; }
    ssize_t read(char* buffer, size_t size) override
    {
        const std::size_t count = unread_.copy(buffer, size);
        unread_.remove_prefix(count);
        return static_cast<ssize_t>(count);
    }
    ssize_t write(const char* bytes, size_t size) override
    {
        connected_ = connected_ && exchange_.write({bytes, size});
        return connected_ ? static_cast<ssize_t>(size) : -1;
    }
    void get_remote_ip_and_port(std::string& /*ip*/, int& port) const override { port = 0; }
    void get_local_ip_and_port(std::string& /*ip*/, int& port) const override { port = 0; }
    [[nodiscard]] socket_t socket() const override { return INVALID_SOCKET; }
    [[nodiscard]] bool connected() const { return connected_; }

private:
    const Exchange& exchange_;
    std::string_view unread_;
    bool connected_ = true;
};

void answer(Response response, const httplib::Request& in, httplib::Response& out)
{
    out.status = response.status;
    for (const auto& [name, value] : response.headers) out.set_header(name, value);
    if (!response.headers.contains("Cache-Control")) out.set_header("Cache-Control", "no-store");
    out.set_header("X-Content-Type-Options", "nosniff");
    if (response.status == 304) return;  // has no content
    if (!response.stream) {
        // An answer without content has no type.
        if (response.status != 204 && response.status != 304) {
            out.set_content(std::move(response.body), response.content_type);
        }
        return;
    }
    if (response.length) {
        const auto provide = [stream = std::move(response.stream)](std::size_t, std::size_t size,
                                                                   httplib::DataSink& sink) {
            std::size_t written = 0;
            stream([&](std::string_view bytes) {
                if (!sink.write(bytes.data(), bytes.size())) return false;
                written += bytes.size();
                return true;
            });
            return written == size;  // otherwise the connection is closed, and the client has less than was promised
        };
        out.set_content_provider(*response.length, response.content_type, provide);
        return;
    }
    const auto provide = [stream = std::move(response.stream)](std::size_t, httplib::DataSink& sink) {
        bool connected = true;
        stream([&](std::string_view bytes) {
            connected = connected && sink.write(bytes.data(), bytes.size());
            return connected;
        });
        if (connected) sink.done();
        return connected;
    };
    // HTTP/1.0 has no chunks: there the end of the connection is the end of the stream.
    if (in.version == "HTTP/1.0") out.set_content_provider(response.content_type, provide);
    else out.set_chunked_content_provider(response.content_type, provide);
}

Request to_request(const httplib::Request& in, Exchange& exchange)
{
    Request request;
    request.method = in.method;
    request.path = in.path;
    for (const auto& [name, value] : in.params) request.query.insert_or_assign(name, value);
    for (const auto& [name, value] : in.headers) request.headers.insert_or_assign(lower_case(name), value);
    if (!exchange.head.range.empty()) request.headers.insert_or_assign("range", exchange.head.range);
    if (!exchange.head.if_range.empty()) request.headers.insert_or_assign("if-range", exchange.head.if_range);
    request.body = std::move(exchange.body);
    request.request_id = new_id("req-");
    request.peer = std::move(exchange.peer);
    request.stop = exchange.stop;
    return request;
}

/// The library's server without its sockets and threads.
class Engine final : public httplib::Server {
public:
    explicit Engine(Router router) : router_{std::move(router)}
    {
        svr_sock_ = 0;               // without one the library believes that it shuts down, and ends all streams
        set_keep_alive_timeout(60);  // what clients are told: less than the front door's patience
        set_keep_alive_max_count(1'000'000);
        // All requests, before the library looks for a route: its own routes are regular expressions.
        set_pre_routing_handler([this](const httplib::Request& in, httplib::Response& out) {
            answer(router_.dispatch(to_request(in, *exchange_)), in, out);
            return HandlerResponse::Handled;
        });
        // Otherwise the library tells the client what was thrown.
        set_exception_handler([](const httplib::Request& in, httplib::Response& out, const std::exception_ptr&) {
            answer(error_response(Error{ErrorCode::internal, "an unexpected error"}, new_id("req-")), in, out);
        });
        // What the library refuses by itself.
        set_error_handler([](const httplib::Request& in, httplib::Response& out) {
            if (!out.body.empty() || out.has_header("X-Request-Id")) return;
            const Error error{ErrorCode::invalid_argument, "the request is not one that this server understands"};
            answer(error_response(error, new_id("req-")), in, out);
        });
    }

    bool serve(Exchange& exchange)
    {
        ExchangeStream stream{exchange};
        bool closed = false;
        exchange_ = &exchange;
        const bool served = process(*this, stream, closed);
        exchange_ = nullptr;
        return served && !closed && stream.connected();
    }

    [[nodiscard]] Pace pace_of(const RequestHead& head) const { return router_.pace(head.method, head.target); }

private:
    /// Both ways in which the library wants to be called: from 0.15 on with the addresses of both ends.
    template <typename Self>
    static bool process(Self& self, ExchangeStream& stream, bool& closed)
    {
        const auto nothing = [](httplib::Request&) {};
        if constexpr (requires {
                          self.process_request(stream, std::string{}, 0, std::string{}, 0, false, closed, nothing);
                      }) {
            return self.process_request(stream, std::string{}, 0, std::string{}, 0, false, closed, nothing);
        } else {
            return self.process_request(stream, false, closed, nothing);
        }
    }

    const Router router_;
    // The library hands nothing of ours from `serve` to its handlers, which run on the same thread.
    static thread_local Exchange* exchange_;
};

thread_local Exchange* Engine::exchange_ = nullptr;

}  // namespace

struct Server::Impl {
    Impl(std::vector<UniqueFd> listeners, const FrontDoorOptions& options, Router router)
        : engine{std::move(router)},
          door{std::move(listeners), options, [this](const RequestHead& head) { return engine.pace_of(head); },
               [this](Exchange& exchange) { return engine.serve(exchange); }}
    {
    }
    Engine engine;
    FrontDoor door;
};

Server::Server(std::vector<UniqueFd> listeners, const FrontDoorOptions& options, Router router)
    : impl_{std::make_unique<Impl>(std::move(listeners), options, std::move(router))}
{
}
Server::~Server() = default;
void Server::run() { impl_->door.run(); }
void Server::wait_for_turn() { impl_->door.wait_for_turn(); }
void Server::turn_away() { impl_->door.turn_away(); }
void Server::stop() { impl_->door.stop(); }

}  // namespace warmd::http
