#include "daemon/podman/podman_engine.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <utility>

#include "daemon/base/criu_image.h"
#include "daemon/base/error.h"
#include "daemon/base/json.h"
#include "daemon/base/process.h"
#include "daemon/base/scope_exit.h"
#include "daemon/base/text.h"
#include "daemon/podman/exec_demux.h"
#include "daemon/podman/podman_json.h"
#include "daemon/podman/program_tar.h"
#include "daemon/podman/rootfs_repair.h"
#include "daemon/podman/tar_splice.h"

namespace warmd::podman {

namespace {

/// Guards against a pid that has become another process.
bool belongs_to(int pid, const ContainerId& container) { return in_control_group(pid, "libpod-" + container.value()); }

constexpr Duration kForever = std::chrono::hours{24 * 365};

std::string container_path(const std::string& id_or_name) { return "/containers/" + percent_encode(id_or_name); }

/// Podman answers nearly everything with 500: what went wrong is in the words.
[[noreturn]] void refuse(const std::string& what, const HttpReply& reply)
{
    const std::string words = decode_error(reply.body);
    const auto says = [&words](const char* part) { return words.find(part) != std::string::npos; };
    ErrorCode code = ErrorCode::engine_failed;
    // "image not known": of Podman 4.3, on creating a container.
    const bool missing = says("no such container") || says("no such exec session") || says("image not known");
    if (reply.status == 404 || missing) code = ErrorCode::not_found;
    else if (reply.status == 409 || says("already in use") || says("state improper")) code = ErrorCode::conflict;
    Error error = Error{code, "Podman refused to " + what}.with_cause(words);
    if (says("configured runtime does not support checkpoint/restore")) {
        throw std::move(error).with_hint("install a crun built with CRIU support, and criu itself");
    }
    if (code == ErrorCode::engine_failed) {
        throw std::move(error).with_hint("look at `journalctl -u podman` and at the log file that the cause names");
    }
    throw std::move(error);
}

/// The program that the shell would run as `criu`: its path, inode and times, so that a new version of the package is
/// another. "none" without one.
std::string identify_criu()
{
    const char* const path = std::getenv("PATH");
    std::istringstream folders{path == nullptr ? "/usr/sbin:/usr/bin:/sbin:/bin" : path};
    for (std::string folder; std::getline(folders, folder, ':');) {
        const std::string program = folder + "/criu";
        struct stat status {};
        if (::access(program.c_str(), X_OK) != 0 || ::stat(program.c_str(), &status) != 0) continue;
        return program + " " + std::to_string(status.st_ino) + " " + std::to_string(status.st_mtim.tv_sec) + " " +
               std::to_string(status.st_ctim.tv_sec);
    }
    return "none";
}

/// CRIU tells its version to nobody but its caller, and Podman's info leaves it out.
std::string ask_criu_version()
{
    const std::unique_ptr<FILE, int (*)(FILE*)> pipe{::popen("criu --version 2>/dev/null", "r"), &::pclose};
    std::array<char, 64> line{};
    if (!pipe || std::fgets(line.data(), static_cast<int>(line.size()), pipe.get()) == nullptr) return {};
    const std::string text{line.data()};  // "Version: 4.2.1\n"
    const std::size_t at = text.find(": ");
    return at == std::string::npos ? std::string{} : text.substr(at + 2, text.find('\n') - at - 2);
}

}  // namespace

PodmanEngine::PodmanEngine(PodmanOptions options) : options_{std::move(options)}, http_{options_.socket_path} {}

std::string PodmanEngine::api_prefix()
{
    const std::string known = prefix_.with([](const std::string& prefix) { return prefix; });
    if (!known.empty()) return known;
    const HttpReply reply = http_.call({.path = "/libpod/_ping", .timeout = options_.call_timeout});
    if (reply.status != 200 || reply.libpod_version.empty()) {
        throw Error{ErrorCode::unavailable, "what listens on Podman's socket does not answer as Podman does"}
            .with_cause(printable(reply.body, 200))
            .with_hint("compare podman.socket in warmd.toml with `podman info --format {{.Host.RemoteSocket.Path}}`");
    }
    return prefix_.with([&reply](std::string& prefix) { return prefix = "/v" + reply.libpod_version + "/libpod"; });
}

std::string PodmanEngine::request(const std::string& method, const std::string& path, const std::string& body,
                                  std::optional<Duration> timeout, std::stop_token stop)
{
    try {
        const HttpReply reply = http_.call({.method = method,
                                            .path = api_prefix() + path,
                                            .body = body,
                                            .timeout = timeout.value_or(options_.call_timeout),
                                            .stop = std::move(stop)});
        if (reply.status / 100 != 2) refuse(method + " " + path.substr(0, path.find('?')), reply);
        return reply.body;
    } catch (const Error& error) {
        // The service may come back as another version.
        if (error.code() == ErrorCode::unavailable) prefix_.with([](std::string& prefix) { prefix.clear(); });
        throw;
    }
}

std::optional<std::string> PodmanEngine::find(const std::string& path)
{
    try {
        return request("GET", path);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::not_found) throw;
        return std::nullopt;
    }
}

EngineInfo PodmanEngine::info()
{
    EngineInfo info = decode_info(request("GET", "/info"));
    info.criu_version = criu_version_.with([](CriuVersion& known) {
        const std::string program = identify_criu();
        if (known.program != program) known = {.program = program, .version = ask_criu_version()};
        return known.version;
    });
    return info;
}

std::optional<ImageInfo> PodmanEngine::find_image(const std::string& reference)
{
    const auto body = find("/images/" + percent_encode(reference) + "/json");
    if (!body) return std::nullopt;
    return decode_image(*body);
}

std::string PodmanEngine::import_program(const std::filesystem::path& program)
{
    const std::string tar = tar_of_program(program, "program");
    const ByteSource upload = [&tar, at = std::size_t{0}](std::span<char> buffer) mutable {
        const std::size_t count = tar.copy(buffer.data(), buffer.size(), at);
        at += count;
        return count;
    };
    // Its body is a tarball, whatever its content type says (pkg/api/handlers/libpod/images.go: ImagesImport).
    const HttpReply reply = http_.call({.method = "POST",
                                        .path = api_prefix() + "/images/import",
                                        .upload = upload,
                                        .timeout = options_.call_timeout});
    if (reply.status / 100 != 2) refuse("import an image", reply);
    std::string id = decode_id(reply.body);
    if (id.starts_with("sha256:")) id.erase(0, 7);
    return id;
}

void PodmanEngine::remove_image(const std::string& id)
{
    try {
        request("DELETE", "/images/" + percent_encode(id));
    } catch (const Error& error) {
        if (error.code() != ErrorCode::not_found) throw;
    }
}

ContainerId PodmanEngine::create(const ContainerSpec& spec)
{
    return ContainerId{decode_id(request("POST", "/containers/create", encode_create(spec)))};
}

void PodmanEngine::start(const ContainerId& id) { request("POST", container_path(id.value()) + "/start"); }

std::optional<ContainerInfo> PodmanEngine::inspect(const std::string& id_or_name)
{
    const auto body = find(container_path(id_or_name) + "/json");
    if (!body) return std::nullopt;
    return decode_container(*body);
}

int PodmanEngine::running_pid(const ContainerId& id)
{
    const int known = pids_.with([&id](const std::map<ContainerId, int>& pids) {
        const auto found = pids.find(id);
        return found == pids.end() ? 0 : found->second;
    });
    if (known != 0 && belongs_to(known, id)) return known;
    const auto container = inspect(id.value());
    if (!container) throw Error{ErrorCode::not_found, "no container " + id.value().substr(0, 12)};
    if (container->pid == 0 || !belongs_to(container->pid, id)) {
        throw Error{ErrorCode::conflict, "container " + id.value().substr(0, 12) + " is not running"};
    }
    constexpr std::size_t kRemembered = 4096;  // containers end without telling us
    pids_.with([&id, &container](std::map<ContainerId, int>& pids) {
        if (pids.size() >= kRemembered) pids.clear();
        pids[id] = container->pid;
    });
    return container->pid;
}

std::optional<std::uint64_t> PodmanEngine::memory_in_use(const ContainerId& id)
{
    return memory_of_control_group(running_pid(id));
}

std::vector<ContainerInfo> PodmanEngine::list(std::string_view label)
{
    const std::string filter = percent_encode(dump_json({{"label", {std::string{label}}}}));
    std::vector<ContainerInfo> containers;
    for (const std::string& id : decode_list_ids(request("GET", "/containers/json?all=true&filters=" + filter))) {
        if (auto container = inspect(id)) containers.push_back(*std::move(container));
    }
    return containers;
}

void PodmanEngine::set_frozen(const ContainerId& id, bool frozen)
{
    // Not Podman's pause: that starts the runtime and writes two databases, and refuses to be repeated.
    set_control_group_frozen(running_pid(id), frozen);
}

std::optional<int> PodmanEngine::wait(const ContainerId& id, Duration timeout, std::stop_token stop)
{
    try {
        const std::string path = container_path(id.value()) + "/wait?condition=exited&condition=stopped";
        return std::stoi(request("POST", path, {}, timeout, std::move(stop)));
    } catch (const Error& error) {
        if (error.code() != ErrorCode::timeout) throw;
        return std::nullopt;
    } catch (const std::logic_error& error) {  // std::stoi
        throw Error{ErrorCode::engine_failed, "Podman's exit status cannot be read"}.with_cause(error.what());
    }
}

std::string PodmanEngine::logs(const ContainerId& id, int lines)
{
    const std::string body = request(
        "GET", container_path(id.value()) + "/logs?stdout=true&stderr=true&tail=" + std::to_string(lines));
    std::string text;
    ExecDemux demux{[&text](ExecStream, std::string_view bytes) { text += bytes; }};
    demux.write(body);
    return text;
}

void PodmanEngine::remove(const std::string& id_or_name)
{
    // A dump or restore that its client gave up holds the container's lock until it ends: hence the long
    // wait. timeout=0 kills at once; anything that must be said to the application was said before.
    constexpr Duration kPatience = std::chrono::minutes{2};
    try {
        request("DELETE", container_path(id_or_name) + "?force=true&timeout=0&v=true", {}, kPatience);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::not_found) throw;
    }
}

CheckpointReport PodmanEngine::checkpoint(const ContainerId& id, const CheckpointOptions& options, const ByteSink& sink,
                                          std::stop_token stop)
{
    const std::string path = container_path(id.value());
    const std::string document = request("GET", path + "/json");
    // Podman's own answers here depend on how far the container once came, and are no help to anybody.
    const ContainerInfo container = decode_container(document);
    if (container.status != ContainerStatus::running) {
        throw Error{ErrorCode::conflict, "container " + id.value().substr(0, 12) + " is not running"};
    }
    const std::string upper = decode_upper_directory(document);
    if (upper.empty()) {
        throw Error{ErrorCode::engine_failed,
                    "only containers on the overlay storage driver can be checkpointed: with any other, changes to "
                    "the image's files would be lost"}
            .with_hint("set driver = \"overlay\" in /etc/containers/storage.conf");
    }
    if (keeps_changes_elsewhere(root_options_of(container.pid))) {
        throw Error{ErrorCode::engine_failed,
                    "container " + id.value().substr(0, 12) +
                        " cannot be checkpointed: changes to the image's files may not be in its own layer"}
            .with_hint("remove metacopy=on and redirect_dir=on from mountopt in /etc/containers/storage.conf");
    }

    CheckpointReport report;
    std::string stats_dump;
    std::optional<TarSplice> splice;
    // Podman answers only when the dump is complete and the container stopped, so its first byte is the
    // moment from which the container's layer no longer changes.
    const auto begin = [&] {
        RootfsChanges changes = decode_changes(request("GET", path + "/changes"));
        RootfsRepair repair = collect_modified(changes.modified, std::move(changes.deleted), upper,
                                               options_.spool_directory);
        report.statistics["rootfs.repaired_entries"] = repair.count;
        splice.emplace([&](std::string_view bytes) {
            report.bytes += bytes.size();
            sink(bytes);
        });
        splice->rewrite("stats-dump", [&stats_dump](const std::string& content) { return stats_dump = content; });
        if (!repair.replaced.empty()) {
            splice->rewrite("deleted.files", [replaced = std::move(repair.replaced)](const std::string& content) {
                return keep_files(content, replaced);
            });
        }
        if (repair.count > 0) splice->prepend("rootfs-diff.tar", std::move(repair.entries));
    };
    // fileLocks: without it CRIU refuses a process that holds one, and a warm application may.
    const HttpReply reply = http_.stream({.method = "POST",
                                          .path = api_prefix() + path + "/checkpoint?export=true&fileLocks=true",
                                          .timeout = options.timeout,
                                          .stop = std::move(stop)},
                                         [&](std::string_view bytes) {
                                             if (!splice) begin();
                                             splice->write(bytes);
                                         });
    if (reply.status / 100 != 2) refuse("checkpoint " + id.value().substr(0, 12), reply);
    if (!splice) throw Error{ErrorCode::engine_failed, "Podman exported an empty checkpoint"};
    splice->finish();
    for (const char* const member : {"config.dump", "spec.dump", "checkpoint/inventory.img"}) {
        if (!splice->members().contains(member)) {
            throw Error{ErrorCode::corrupt, std::string{"Podman's checkpoint tarball has no "} + member};
        }
    }
    report.statistics.merge(decode_dump_statistics(stats_dump));
    return report;
}

void PodmanEngine::resume(const ContainerId& id, Duration timeout)
{
    request("POST", container_path(id.value()) + "/restore?fileLocks=true", {}, timeout);
}

ContainerId PodmanEngine::restore(const ByteSource& tarball, const RestoreSpec& spec, std::stop_token stop)
{
    // Podman takes id, name and labels from config.dump, so they are chosen there: the id is then known
    // before anything can fail, and the labels tell this instance from the one that was dumped.
    const ContainerId id{random_hex(64)};
    std::string pending;
    std::size_t offset = 0;
    TarSplice splice{[&pending](std::string_view bytes) { pending += bytes; }};
    splice.rewrite("config.dump", [&](const std::string& content) { return rename_config_dump(content, id, spec); });
    // CRIU restores the host name of the dumped container, whatever Podman's documents say; and to change it afterwards
    // would take CAP_SYS_ADMIN.
    if (!spec.hostname.empty()) {
        splice.rewrite("checkpoint/utsns-*",
                       [&](const std::string& content) { return rename_host(content, spec.hostname); });
    }
    std::vector<char> block(256 * 1024);
    bool ended = false;
    const ByteSource upload = [&](std::span<char> buffer) {
        if (offset == pending.size()) {
            pending.clear();
            offset = 0;
        }
        while (pending.empty() && !ended) {
            const std::size_t count = tarball(block);
            ended = count == 0;
            if (ended) splice.finish();
            else splice.write({block.data(), count});
        }
        const std::size_t count = std::min(buffer.size(), pending.size() - offset);
        pending.copy(buffer.data(), count, offset);
        offset += count;
        return count;
    };

    // A failed import leaves a container, its name taken and the images in its directory; so does one that
    // nobody waits for any more.
    ScopeExit undo{[&]() noexcept {
        try {
            remove(id.value());
        } catch (const std::exception& error) {
            spdlog::warn("cannot remove what a failed restore left as {}: {}", spec.name, error.what());
        }
    }};
    const std::string path = api_prefix() + "/containers/import/restore?import=true&fileLocks=true&ignoreStaticIP=true"
                                            "&ignoreStaticMAC=true";
    const HttpReply reply = http_.call(
        {.method = "POST", .path = path, .upload = upload, .timeout = spec.timeout, .stop = std::move(stop)});
    if (reply.status / 100 != 2) refuse("restore " + spec.name, reply);
    if (decode_id(reply.body) != id.value()) {
        throw Error{ErrorCode::engine_failed, "Podman restored another container than it was told to"};
    }
    undo.dismiss();
    return id;
}

bool PodmanEngine::exec_is_killed(const std::string& session_path, const ContainerId& container)
{
    const auto body = find(session_path + "/json");
    if (!body) return true;
    const ExecSession session = decode_exec_session(*body);
    const auto ours = [&container](int pid) { return belongs_to(pid, container); };
    if (session.running && session.pid > 0 && ours(session.pid)) kill_process_tree(session.pid, ours);
    return !session.running;
}

ExecResult PodmanEngine::exec(const ContainerId& id, const ExecRequest& command, Duration timeout,
                              const ExecOutput& output, std::stop_token stop)
{
    const SteadyTime began = std::chrono::steady_clock::now();
    const std::string session = "/exec/" + percent_encode(decode_id(request(
                                               "POST", container_path(id.value()) + "/exec", encode_exec(command))));

    // Disconnecting would leave the command running, so whatever ends it early kills it on the host and
    // then reads on to the end of the stream.
    std::mutex mutex;
    std::condition_variable_any changed;
    bool ended = false;
    bool abandoned = false;
    bool timed_out = false;
    std::exception_ptr output_failure;
    std::stop_source give_up;
    const auto keep_watch = [&] {
        std::unique_lock lock{mutex};
        if (changed.wait_until(lock, stop, began + timeout, [&] { return ended || abandoned; }) && ended) return;
        timed_out = !abandoned && !stop.stop_requested();
        constexpr int kAttempts = 100;
        for (int attempt = 0; !ended && attempt < kAttempts; ++attempt) {
            lock.unlock();
            try {
                exec_is_killed(session, id);
            } catch (const std::exception& error) {
                spdlog::warn("cannot kill the command of exec session {}: {}", session, error.what());
            }
            lock.lock();
            changed.wait_for(lock, std::chrono::milliseconds{100}, [&] { return ended; });
        }
        if (!ended) give_up.request_stop();
    };

    ExecDemux demux{[&](ExecStream stream, std::string_view bytes) {
        {
            const std::scoped_lock lock{mutex};
            if (abandoned) return;
        }
        try {
            output(stream, bytes);
        } catch (...) {
            const std::scoped_lock lock{mutex};
            output_failure = std::current_exception();
            abandoned = true;
            changed.notify_all();
        }
    }};
    HttpReply reply;
    {
        const std::jthread watcher{keep_watch};
        const ScopeExit end{[&]() noexcept {
            const std::scoped_lock lock{mutex};
            ended = true;
            changed.notify_all();
        }};
        reply = http_.stream({.method = "POST",
                              .path = api_prefix() + session + "/start",
                              .body = R"({"Detach":false,"Tty":false})",
                              .timeout = kForever,
                              .stop = give_up.get_token()},
                             [&demux](std::string_view bytes) { demux.write(bytes); });
    }
    if (output_failure) std::rethrow_exception(output_failure);
    if (stop.stop_requested()) throw Error{ErrorCode::cancelled, "the command was cancelled and killed"};
    if (reply.status / 100 != 2) refuse("exec in " + id.value().substr(0, 12), reply);
    // Podman stores the exit status before it closes the stream (libpod/container_exec.go).
    const ExecSession final_state = decode_exec_session(request("GET", session + "/json"));
    return {.exit_status = timed_out ? kExitTimeout : final_state.exit_code,
            .timed_out = timed_out,
            .elapsed = std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now() - began)};
}

bool PodmanEngine::file_exists(const ContainerId& id, const std::string& path)
{
    return open_in_root(running_pid(id), path, O_PATH).valid();
}

int PodmanEngine::open_tcp_connections(const ContainerId& id) { return open_tcp_connections_of(running_pid(id)); }

void PodmanEngine::watch(std::string_view label, const std::function<void(const EngineEvent&)>& handler,
                         std::stop_token stop)
{
    // Measured on 5.4: a filter by a label's name alone, which the list of containers knows, lets no event
    // through. Hence all containers' events, and the label looked at here.
    const std::string filter = percent_encode(dump_json({{"type", {"container"}}}));
    std::string line;
    try {
        const HttpReply reply = http_.stream(
            {.path = api_prefix() + "/events?stream=true&filters=" + filter, .timeout = kForever, .stop = stop},
            [&](std::string_view bytes) {
                for (const char c : bytes) {
                    if (c != '\n') {
                        line += c;
                        continue;
                    }
                    const auto event = decode_event(line, label);
                    if (event && !stop.stop_requested()) handler(*event);
                    line.clear();
                }
            });
        if (reply.status / 100 != 2) refuse("stream events", reply);
    } catch (const Error& error) {
        if (error.code() == ErrorCode::cancelled && stop.stop_requested()) return;
        throw;
    }
    throw Error{ErrorCode::unavailable, "Podman ended its stream of events"};
}

}  // namespace warmd::podman
