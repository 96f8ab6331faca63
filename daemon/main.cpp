// warmd: reads the configuration, wires the parts together, and waits for a signal. Everything that lives as
// long as the daemon is made here, in the order in which the parts need each other.
#include <fcntl.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "api/contract/documents.h"
#include "api/http/listeners.h"
#include "api/http/routes.h"
#include "api/http/server.h"
#include "daemon/agent/agent_client.h"
#include "daemon/agent/container_socket.h"
#include "daemon/base/clock.h"
#include "daemon/base/error.h"
#include "daemon/base/heartbeat.h"
#include "daemon/base/json.h"
#include "daemon/base/log.h"
#include "daemon/base/memory.h"
#include "daemon/base/text.h"
#include "daemon/base/unique_fd.h"
#include "daemon/catalog/catalog.h"
#include "daemon/config/config.h"
#include "daemon/host/doctor.h"
#include "daemon/host/probe.h"
#include "daemon/podman/podman_engine.h"
#include "daemon/registry/skopeo.h"
#include "daemon/service/service.h"
#include "daemon/store/tarball_store.h"
#include "warmd_version.h"

namespace {

using namespace warmd;

constexpr int kConfigurationWrong = 78;  // EX_CONFIG: systemd shows it as such

sigset_t block_signals()
{
    // Before the first thread, so that all inherit it and sigwait gets every one of them.
    sigset_t signals;
    sigemptyset(&signals);
    for (const int signal : {SIGTERM, SIGINT}) sigaddset(&signals, signal);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
    return signals;
}

/// Held for the life of the process: two daemons on one state directory would undo each other's work.
UniqueFd lock_state(const std::filesystem::path& directory)
{
    std::filesystem::create_directories(directory);
    const std::filesystem::path path = directory / "lock";
    UniqueFd lock{::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
    if (!lock.valid()) throw system_error("open " + path.string(), errno);
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
        throw Error{ErrorCode::conflict, "another warmd uses " + directory.string()}.with_hint(
            "stop it with `systemctl stop warmd`, or set another store.directory");
    }
    return lock;
}

/// What the shell command ends with, and what it says.
std::pair<int, std::string> run_command(const std::string& command)
{
    const auto close = [](FILE* pipe) { ::pclose(pipe); };
    std::unique_ptr<FILE, decltype(close)> pipe{::popen(command.c_str(), "r"), close};
    if (!pipe) throw system_error("run " + command, errno);
    std::string words;
    std::array<char, 4096> part{};
    while (const std::size_t count = std::fread(part.data(), 1, part.size(), pipe.get())) {
        append_up_to(words, {part.data(), count}, kLongestWords);
    }
    const int status = ::pclose(pipe.release());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128, words};
}

std::filesystem::path agent_program()
{
    return std::filesystem::read_symlink("/proc/self/exe").parent_path() / "warm-agent";
}

/// Everything that GET /v1/doctor looks at, without the daemon and what its service is forbidden.
void print_findings(const Config& config, const std::string& only)
{
    SystemClock clock;
    podman::PodmanEngine engine{{.socket_path = config.podman_socket.string(), .call_timeout = config.podman_timeout}};
    Probe probe{engine, clock, agent_program()};
    Doctor doctor{engine,
                  probe,
                  {.files = {},
                   .store = config.state_directory,
                   .podman_socket = config.podman_socket.string(),
                   .run = run_command}};
    std::printf("%s\n", dump_json(contract::encode(doctor.examine({}, only))).c_str());
}

/// For systemd's watchdog (WatchdogSec=), if that is on: the thread that answers requests, and the catalog, which
/// everything waits for.
std::unique_ptr<Heartbeat> begin_heartbeat(Clock& clock, const Catalog& catalog, http::Server& server)
{
    std::uint64_t limit = 0;  // microseconds
    if (sd_watchdog_enabled(0, &limit) <= 0) return nullptr;
    const Duration interval{limit / 8};
    std::vector<VitalPart> parts{{"the HTTP front door", [&server] { server.wait_for_turn(); }},
                                 {"the catalog", [&catalog] { catalog.ping(); }}};
    return std::make_unique<Heartbeat>(std::move(parts), interval, 4 * interval, clock,
                                       [] { sd_notify(0, "WATCHDOG=1"); });
}

void serve(const Config& config, const sigset_t& signals)
{
    const UniqueFd lock = lock_state(config.state_directory);
    SystemClock clock;
    const OpenedCatalog opened = open_catalog((config.state_directory / "catalog.sqlite").string());
    if (!opened.damaged.empty()) {
        spdlog::error("the catalog is damaged and was moved to {}: {}", opened.damaged, opened.damage);
    }
    Catalog& catalog = *opened.catalog;
    TarballStore store{config.state_directory, config.min_free_bytes};
    podman::PodmanEngine engine{{.socket_path = config.podman_socket.string(),
                                 .call_timeout = config.podman_timeout,
                                 .spool_directory = store.scratch().string()}};
    agent::ContainerSocket sockets{engine};
    Skopeo registry{config.registry};
    agent::AgentClient agent{sockets};
    std::filesystem::create_directories(config.socket.parent_path());
    // Bound before there are threads (it sets the umask), answering only once the service is there.
    Service service{catalog,
                    store,
                    engine,
                    agent,
                    clock,
                    Templates{config.templates},
                    {.operation_workers = config.operation_workers,
                     .operation_queue = config.operation_queue,
                     .history = config.history,
                     .pools = {.parallel_fills = config.pool_fills,
                               .max_waiting = config.http_streams / 2,
                               .available_memory = available_memory},
                     .retention = config.retention,
                     .agent = agent_program(),
                     .primed = config.socket.parent_path() / "primed",
                     .doctor = {.files = {},
                                .store = config.state_directory,
                                .podman_socket = config.podman_socket.string(),
                                .run = run_command},
                     .verify_every = config.verify_every,
                     .damaged_catalog = opened.damaged,
                     .trust = config.trust,
                     .registry = config.registry.repository.empty() ? nullptr : &registry}};
    http::Server server{
        http::open_listeners({.socket_path = config.socket.string(),
                              .socket_group = config.socket_group,
                              .tcp = config.tcp,
                              .for_everybody = config.socket_for_everybody}),
        {.workers = config.http_threads, .streams = config.http_streams, .connections = config.http_connections},
        http::make_router(service, config.access)};

    service.reconcile();
    const std::jthread maintenance{[&service](const std::stop_token& stop) { service.maintain(stop); }};
    const std::jthread integrity{[&service](const std::stop_token& stop) { service.keep_intact(stop); }};
    const std::jthread http{[&server] { server.run(); }};
    sd_notify(0, "READY=1");
    const auto heartbeat = begin_heartbeat(clock, catalog, server);
    spdlog::info("warmd {} serves {} templates on {}", WARMD_VERSION, config.templates.size(), config.socket.string());
    if (!config.tcp.empty()) spdlog::info("and on {} for {} tokens", config.tcp, config.access.tokens.size());

    int signal = 0;
    sigwait(&signals, &signal);
    spdlog::info("stopping on signal {}", signal);
    sd_notify(0, "STOPPING=1");
    server.turn_away();
    service.shut_down();
    server.stop();
}

void report(const Error& error)
{
    std::fprintf(stderr, "warmd: %s\n", error.what());
    if (!error.cause().empty()) std::fprintf(stderr, "  cause: %s\n", error.cause().c_str());
    if (!error.hint().empty()) std::fprintf(stderr, "  next:  %s\n", error.hint().c_str());
}

}  // namespace

int main(int argc, char** argv)
{
    const sigset_t signals = block_signals();
    CLI::App app{"Keeps slow-starting applications warm: checkpoint once, restore ready copies."};
    std::string directory = "/etc/warmd";
    bool check = false;
    std::string only;
    app.add_option("--config", directory, "Directory with warmd.toml and templates.d/")->capture_default_str();
    app.add_flag("--check-config", check, "Report what is wrong with the configuration and end");
    const CLI::Option* const doctor = app.add_option("--doctor", only,
                                                     "Look at this machine, print what is found as JSON, and end")
                                          ->expected(0, 1)
                                          ->type_name("[CHECK]");
    app.set_version_flag("--version", "warmd " WARMD_VERSION);
    CLI11_PARSE(app, argc, argv);

    try {
        std::vector<ConfigProblem> problems;
        const Config config = load_config(directory, problems);
        for (const ConfigProblem& problem : problems) {
            std::fprintf(stderr, "%s: %s\n", problem.where.c_str(), problem.message.c_str());
        }
        if (!problems.empty()) return kConfigurationWrong;
        if (*doctor) {
            set_up_logging("error");
            print_findings(config, only);
            return 0;
        }
        set_up_logging(config.log_level);
        if (check) {
            std::printf("%s is good: %zu templates\n", directory.c_str(), config.templates.size());
            return 0;
        }
        serve(config, signals);
        return 0;
    } catch (const Error& error) {
        report(error);
        return error.field().starts_with("log.") ? kConfigurationWrong : 1;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "warmd: %s\n", error.what());
        return 1;
    }
}
