#pragma once

#include <httplib.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "api/http/listeners.h"
#include "api/http/routes.h"
#include "api/http/server.h"
#include "daemon/base/json.h"
#include "tests/support/openapi.h"
#include "tests/support/service_fixture.h"

namespace warmd::test {

struct Reply {
    int status = 0;
    std::string content_type;
    std::string body;
    httplib::Headers headers;

    [[nodiscard]] Json json() const { return parse_json(body); }
    [[nodiscard]] std::string header(const std::string& name) const
    {
        const auto found = headers.find(name);
        return found == headers.end() ? std::string{} : found->second;
    }
};

/// The real server on a socket of its own. Every answer is held against api/openapi.yaml.
class ApiFixture : public ServiceFixture {
protected:
    ~ApiFixture() override { stop_server(); }

    void start_server()
    {
        std::vector<UniqueFd> listeners = http::open_listeners(
            {.socket_path = socket_path(), .tcp = tcp, .for_everybody = socket_for_everybody});
        if (!tcp.empty()) tcp = http::bound_address(listeners.back());
        server_ = std::make_unique<http::Server>(std::move(listeners), front_door,
                                                 http::make_router(service(), access));
        thread_ = std::jthread{[this] { server_->run(); }};
    }

    void stop_server()
    {
        if (!server_) return;
        service().shut_down();
        server_->stop();
        thread_.join();
        server_.reset();
    }

    [[nodiscard]] std::string socket_path() const { return (directory.path() / "api.sock").string(); }

    Reply call(const std::string& method, const std::string& target, const std::string& body = {},
               const std::string& content_type = "application/json", const std::string& accept = {})
    {
        httplib::Headers headers;
        if (!body.empty()) headers.emplace("Content-Type", content_type);
        if (!accept.empty()) headers.emplace("Accept", accept);
        return send(method, target, body, std::move(headers));
    }

    /// As `call`, with more headers.
    Reply call(const std::string& method, const std::string& target, const std::string& body, httplib::Headers headers)
    {
        if (!body.empty()) headers.emplace("Content-Type", "application/json");
        return send(method, target, body, std::move(headers));
    }

    Reply send(const std::string& method, const std::string& target, const std::string& body, httplib::Headers headers)
    {
        if (!server_) start_server();
        httplib::Client client{socket_path()};
        client.set_address_family(AF_UNIX);
        headers.emplace("Host", "test");
        return send(client, method, target, body, std::move(headers));
    }

    /// As `send`, over TCP: `tcp` must have been set before the first request.
    Reply send_over_tcp(const std::string& method, const std::string& target, const std::string& body,
                        httplib::Headers headers)
    {
        if (!server_) start_server();
        const std::size_t colon = tcp.rfind(':');
        httplib::Client client{tcp.substr(0, colon), std::stoi(tcp.substr(colon + 1))};
        if (!headers.contains("Host")) headers.emplace("Host", tcp);
        return send(client, method, target, body, std::move(headers));
    }

    Reply send(httplib::Client& client, const std::string& method, const std::string& target, const std::string& body,
               httplib::Headers headers)
    {
        client.set_read_timeout(std::chrono::seconds{60});
        httplib::Request request;
        request.method = method;
        request.path = target;
        request.headers = std::move(headers);
        request.body = body;
        const httplib::Result result = client.send(request);
        EXPECT_TRUE(result) << method << " " << target << ": " << httplib::to_string(result.error());
        if (!result) return {};
        Reply reply{.status = result->status,
                    .content_type = result->get_header_value("Content-Type"),
                    .body = result->body,
                    .headers = result->headers};
        if (method != "HEAD") {
            EXPECT_EQ(
                api_.check(method, target.substr(0, target.find('?')), reply.status, reply.content_type, reply.body),
                "")
                << method << " " << target << " " << reply.status << " " << reply.body;
        }
        return reply;
    }

    Reply get(const std::string& target, httplib::Headers headers = {})
    {
        return call("GET", target, {}, std::move(headers));
    }
    Reply post(const std::string& target, const std::string& body = {}) { return call("POST", target, body); }

    void expect_problem(const Reply& reply, int status, const std::string& code)
    {
        EXPECT_EQ(reply.status, status) << reply.body;
        EXPECT_EQ(reply.content_type, "application/problem+json");
        EXPECT_EQ(reply.json().at("code"), code) << reply.body;
        EXPECT_EQ(reply.json().at("status"), status);
        EXPECT_EQ(reply.json().at("request_id"), reply.header("X-Request-Id"));
    }

    // What the server is started with.
    http::FrontDoorOptions front_door;
    AccessOptions access{
        .callers = {{Role::admin, {.users = {::getuid()}, .groups = {}}}}, .tokens = {}, .hosts = {}, .origins = {}};
    bool socket_for_everybody = false;
    std::string tcp;  // "127.0.0.1:0"; once it runs, the address that it got
    [[nodiscard]] const OpenApi& api() const { return api_; }

private:
    OpenApi api_;
    std::unique_ptr<http::Server> server_;
    std::jthread thread_;
};

}  // namespace warmd::test
