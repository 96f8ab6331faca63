// fake-warmd: the real API and the real service on an engine without containers, for what drives a daemon from outside
// where there is no Podman: the browser test, generated requests, load. A process for each container, no CRIU.
#include <signal.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "api/http/listeners.h"
#include "api/http/routes.h"
#include "api/http/server.h"
#include "daemon/catalog/catalog.h"
#include "daemon/config/config.h"
#include "daemon/service/service.h"
#include "daemon/store/tarball_store.h"
#include "tests/support/fake_agent.h"
#include "tests/support/fake_engine.h"

namespace {

using namespace warmd;

void serve(const Config& config, const sigset_t& signals)
{
    std::filesystem::create_directories(config.state_directory);
    SystemClock clock;
    Catalog catalog{(config.state_directory / "catalog.sqlite").string()};
    TarballStore store{config.state_directory, config.min_free_bytes};
    test::FakeEngine engine;
    for (const auto& [name, entry] : config.templates) engine.add_image(entry.image, std::string(64, 'a'));
    test::FakeAgent agent;
    Service service{catalog, store, engine, agent, clock, Templates{config.templates}, {.retention = config.retention}};
    AccessOptions access = config.access;
    access.callers[Role::admin].users.push_back(::getuid());  // tests need not run as root
    http::Server server{
        http::open_listeners(
            {.socket_path = config.socket.string(), .tcp = config.tcp, .for_everybody = config.socket_for_everybody}),
        {.workers = config.http_threads, .streams = config.http_streams, .connections = config.http_connections},
        http::make_router(service, std::move(access))};
    service.reconcile();
    const std::jthread maintenance{[&service](const std::stop_token& stop) { service.maintain(stop); }};
    const std::jthread http{[&server] { server.run(); }};
    std::printf("ready\n");
    std::fflush(stdout);
    int signal = 0;
    sigwait(&signals, &signal);
    service.shut_down();
    server.stop();
}

}  // namespace

int main(int argc, char** argv)
{
    sigset_t signals;
    sigemptyset(&signals);
    for (const int signal : {SIGTERM, SIGINT}) sigaddset(&signals, signal);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    CLI::App app{"Serves warmd's API on an engine without containers. Prints \"ready\" once it answers."};
    std::string directory;
    app.add_option("--config", directory, "Directory with warmd.toml and templates.d/, as warmd's")->required();
    CLI11_PARSE(app, argc, argv);
    try {
        std::vector<ConfigProblem> problems;
        const Config config = load_config(directory, problems);
        for (const ConfigProblem& problem : problems) {
            std::fprintf(stderr, "%s: %s\n", problem.where.c_str(), problem.message.c_str());
        }
        if (!problems.empty()) return 1;
        spdlog::set_level(spdlog::level::from_str(config.log_level));
        serve(config, signals);
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "fake-warmd: %s\n", error.what());
        return 1;
    }
}
