// What libraries make at their first use, they make here, before any test has threads: they are not built with
// ThreadSanitizer, which does not see their locks and would call that use a data race.
#include <gtest/gtest.h>
#include <httplib.h>
#include <spdlog/spdlog.h>

#include <string>
#include <thread>
#include <utility>

#include "api/http/listeners.h"
#include "api/http/server.h"
#include "tests/support/temp_dir.h"

namespace warmd {
namespace {

class FirstUse final : public ::testing::Environment {
public:
    void SetUp() override
    {
        spdlog::default_logger()->flush();
        http::Router router;
        router.get("/stream", [](const http::Request&) {
            http::Response response;
            response.content_type = "text/plain";
            response.stream = [](const http::StreamWriter& write) { write("bytes"); };
            return response;
        });
        router.post("/body", [](const http::Request& request) { return http::Response::json(request.json()); });
        const test::TempDir directory;
        const std::string path = (directory.path() / "first.sock").string();
        http::Server server{http::open_listeners({.socket_path = path}), {.workers = 1}, std::move(router)};
        const std::jthread thread{[&server] { server.run(); }};
        httplib::Client client{path};
        client.set_address_family(AF_UNIX);
        client.set_default_headers({{"Host", "test"}});
        EXPECT_TRUE(client.Get("/stream"));
        EXPECT_TRUE(client.Post("/body", "{}", "application/json"));
        EXPECT_TRUE(client.Get("/nothing"));
        server.stop();
    }
};

// Owned by gtest.
const ::testing::Environment* const first_use = ::testing::AddGlobalTestEnvironment(new FirstUse);

}  // namespace
}  // namespace warmd
