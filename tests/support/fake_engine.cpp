#include "tests/support/fake_engine.h"

#include <archive.h>
#include <archive_entry.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>
#include <utility>

#include "daemon/base/json.h"
#include "tests/support/child_process.h"

namespace warmd::test {

namespace fs = std::filesystem;

namespace {

std::string read_file(const fs::path& path)
{
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}

/// The members of a tarball, in the order given.
std::string make_tarball(const std::vector<std::pair<std::string, std::string>>& members)
{
    std::string bytes;
    archive* const writer = archive_write_new();
    archive_write_set_format_ustar(writer);
    archive_write_set_bytes_per_block(writer, 0);
    archive_write_open(
        writer, &bytes, nullptr,
        [](archive*, void* target, const void* data, std::size_t size) {
            static_cast<std::string*>(target)->append(static_cast<const char*>(data), size);
            return static_cast<la_ssize_t>(size);
        },
        nullptr);
    for (const auto& [name, content] : members) {
        archive_entry* const entry = archive_entry_new();
        archive_entry_set_pathname(entry, name.c_str());
        archive_entry_set_filetype(entry, AE_IFREG);
        archive_entry_set_perm(entry, 0600);
        archive_entry_set_size(entry, static_cast<la_int64_t>(content.size()));
        archive_write_header(writer, entry);
        archive_write_data(writer, content.data(), content.size());
        archive_entry_free(entry);
    }
    archive_write_close(writer);
    archive_write_free(writer);
    return bytes;
}

std::map<std::string, std::string> read_tarball(const std::string& bytes)
{
    std::map<std::string, std::string> members;
    archive* const reader = archive_read_new();
    archive_read_support_format_tar(reader);
    archive_entry* entry = nullptr;
    bool good = archive_read_open_memory(reader, bytes.data(), bytes.size()) == ARCHIVE_OK;
    while (good && archive_read_next_header(reader, &entry) == ARCHIVE_OK) {
        std::string content(static_cast<std::size_t>(archive_entry_size(entry)), '\0');
        good = archive_read_data(reader, content.data(), content.size()) == static_cast<la_ssize_t>(content.size());
        members[archive_entry_pathname(entry)] = content;
    }
    archive_read_free(reader);
    return members;
}

/// As Podman writes it, of a container that has nothing special.
std::string spec_dump(const ContainerSpec& spec)
{
    Json document = parse_json(R"({
        "root": {"path": "/var/lib/containers/storage/overlay/fa4e/merged"},
        "linux": {"namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"},
                                 {"type": "mount"}],
                  "seccomp": {"defaultAction": "SCMP_ACT_ERRNO"},
                  "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
                  "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]}})");
    document["process"]["env"] = Json::array();
    for (const auto& [name, value] : spec.env) document["process"]["env"].push_back(name + "=" + value);
    return dump_json(document);
}

std::map<std::string, std::string> read_checkpoint(const std::string& bytes)
{
    std::map<std::string, std::string> members = read_tarball(bytes);
    if (!members.contains("config.dump")) {
        throw Error{ErrorCode::engine_failed, "the fake engine refused to restore"}.with_cause("no config.dump");
    }
    return members;
}

}  // namespace

FakeEngine::FakeEngine()
{
    std::string pattern = (fs::temp_directory_path() / "warmd-fake-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw system_error("make " + pattern, errno);
    directory_ = pattern;
}

FakeEngine::~FakeEngine()
{
    for (auto& [id, container] : containers_) kill(container);
    std::error_code ignored;
    fs::remove_all(directory_, ignored);
}

void FakeEngine::add_image(const std::string& reference, const std::string& id,
                           std::map<std::string, std::string> labels)
{
    const std::scoped_lock lock{mutex_};
    images_[reference] = {.id = id, .digest = "sha256:" + id, .labels = std::move(labels)};
}

void FakeEngine::fail_next(const std::string& operation, Error error)
{
    const std::scoped_lock lock{mutex_};
    failures_[operation].push_back(std::move(error));
}

void FakeEngine::hang_next(const std::string& operation)
{
    const std::scoped_lock lock{mutex_};
    hangs_.insert(operation);
}

void FakeEngine::fail_checkpoint_after(std::size_t bytes)
{
    const std::scoped_lock lock{mutex_};
    checkpoint_limit_ = bytes;
}

void FakeEngine::plant(const std::string& name)
{
    const std::scoped_lock lock{mutex_};
    planted_.emplace_back(name, "planted");
}

void FakeEngine::end_next_restored()
{
    const std::scoped_lock lock{mutex_};
    end_next_restored_ = true;
}

void FakeEngine::set_memory_in_use(std::optional<std::uint64_t> bytes)
{
    const std::scoped_lock lock{mutex_};
    memory_in_use_ = bytes;
}

void FakeEngine::set_open_tcp_connections(std::deque<int> counts)
{
    const std::scoped_lock lock{mutex_};
    tcp_connections_ = std::move(counts);
}

void FakeEngine::kill_container(const std::string& name)
{
    const std::scoped_lock lock{mutex_};
    Container& container = get(name);
    kill(container);
    container.info.status = ContainerStatus::exited;
    container.info.exit_code = 137;
    emit("died", container);
}

int FakeEngine::calls(const std::string& operation) const
{
    const std::scoped_lock lock{mutex_};
    const auto count = calls_.find(operation);
    return count == calls_.end() ? 0 : count->second;
}

std::vector<std::string> FakeEngine::container_names() const
{
    const std::scoped_lock lock{mutex_};
    std::vector<std::string> names;
    for (const auto& [id, container] : containers_) names.push_back(container.info.name);
    return names;
}

std::map<std::string, std::string> FakeEngine::last_env() const
{
    const std::scoped_lock lock{mutex_};
    return last_env_;
}

void FakeEngine::enter(const std::string& operation, std::stop_token stop)
{
    std::unique_lock lock{mutex_};
    ++calls_[operation];
    changed_.notify_all();
    if (auto& failures = failures_[operation]; !failures.empty()) {
        const Error error = failures.front();
        failures.pop_front();
        throw error;
    }
    if (const auto hang = hangs_.find(operation); hang != hangs_.end()) {
        hangs_.erase(hang);
        changed_.wait(lock, stop, [] { return false; });
    }
    if (stop.stop_requested()) throw Error{ErrorCode::cancelled, operation + " was cancelled"};
}

FakeEngine::Container* FakeEngine::find(const std::string& id_or_name)
{
    for (auto& [id, container] : containers_) {
        if (id == id_or_name || container.info.name == id_or_name) return &container;
    }
    return nullptr;
}

FakeEngine::Container& FakeEngine::get(const std::string& id_or_name)
{
    if (Container* const container = find(id_or_name)) return *container;
    throw Error{ErrorCode::not_found, "no such container: " + id_or_name};
}

void FakeEngine::refresh(Container& container)
{
    if (container.info.status != ContainerStatus::running) return;
    int status = 0;
    if (::waitpid(container.info.pid, &status, WNOHANG) != container.info.pid) return;
    container.info.status = ContainerStatus::exited;
    container.info.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    container.info.pid = 0;
    emit("died", container);
}

void FakeEngine::run(Container& container)
{
    std::vector<std::string> command = container.spec.command;
    if (command.empty()) command = {"sleep", "infinity"};
    if (const auto program = programs_.find(container.info.image_id);
        program != programs_.end() && command.front() == "/program") {
        command.front() = program->second;
    }
    container.info.pid = start_process(command, container.spec.env, container.root, container.log);
    if (container.info.pid == 0) {
        throw Error{ErrorCode::engine_failed, "cannot start " + command.front()}.with_cause(
            "no such file or directory");
    }
    container.info.status = ContainerStatus::running;
}

void FakeEngine::kill(Container& container)
{
    if (container.info.pid == 0) return;
    ::kill(-container.info.pid, SIGKILL);
    ::waitpid(container.info.pid, nullptr, 0);
    container.info.pid = 0;
}

void FakeEngine::emit(const std::string& action, const Container& container)
{
    events_.push_back({{.action = action, .container = container.info.id, .name = container.info.name, .at = {}},
                       container.info.labels});
    changed_.notify_all();
}

void FakeEngine::require_running(const Container& container) const
{
    if (container.info.status == ContainerStatus::running) return;
    throw Error{ErrorCode::conflict, "container " + container.info.name + " is not running"}.with_cause(
        "container state improper");
}

EngineInfo FakeEngine::info()
{
    enter("info");
    const std::scoped_lock lock{mutex_};
    return info_;
}

void FakeEngine::set_info(EngineInfo info)
{
    const std::scoped_lock lock{mutex_};
    info_ = std::move(info);
}

std::optional<ImageInfo> FakeEngine::find_image(const std::string& reference)
{
    enter("find_image");
    const std::scoped_lock lock{mutex_};
    for (const auto& [name, image] : images_) {
        if (name == reference || image.id == reference) return image;
    }
    return std::nullopt;
}

std::string FakeEngine::import_program(const fs::path& program)
{
    enter("import_program");
    if (!fs::exists(program)) throw Error{ErrorCode::not_found, program.string() + " cannot be read"};
    const std::scoped_lock lock{mutex_};
    const std::string id = random_hex(64);
    images_[id] = {.id = id, .digest = "sha256:" + id, .labels = {}};
    programs_[id] = program;
    return id;
}

void FakeEngine::remove_image(const std::string& reference)
{
    enter("remove_image");
    const std::scoped_lock lock{mutex_};
    for (const auto& [id, container] : containers_) {
        if (programs_.contains(reference) && container.info.image_id == reference)
            throw Error{ErrorCode::conflict, "image used by " + id};
    }
    images_.erase(reference);
}

ContainerId FakeEngine::create(const ContainerSpec& spec)
{
    enter("create");
    const std::scoped_lock lock{mutex_};
    const auto image = images_.find(spec.image);
    if (image == images_.end()) throw Error{ErrorCode::not_found, "no such image: " + spec.image};
    if (find(spec.name) != nullptr) throw Error{ErrorCode::conflict, spec.name + ": that name is already in use"};
    Container container;
    container.info.id = ContainerId{random_hex(64)};
    container.info.name = spec.name;
    container.info.status = ContainerStatus::created;
    container.info.image_id = image->second.id;
    container.info.labels = spec.labels;
    container.spec = spec;
    last_env_ = spec.env;
    container.root = directory_ / container.info.id.value();
    container.log = directory_ / (container.info.id.value() + ".log");
    fs::create_directories(container.root);
    emit("create", container);
    return containers_.emplace(container.info.id.value(), std::move(container)).first->second.info.id;
}

void FakeEngine::start(const ContainerId& id)
{
    enter("start");
    const std::scoped_lock lock{mutex_};
    Container& container = get(id.value());
    run(container);
    emit("start", container);
}

std::optional<ContainerInfo> FakeEngine::inspect(const std::string& id_or_name)
{
    enter("inspect");
    const std::scoped_lock lock{mutex_};
    Container* const container = find(id_or_name);
    if (container == nullptr) return std::nullopt;
    refresh(*container);
    return container->info;
}

int FakeEngine::running_pid(const ContainerId& id)
{
    enter("running_pid");
    const std::scoped_lock lock{mutex_};
    Container& container = get(id.value());
    refresh(container);
    require_running(container);
    return container.info.pid;
}

std::optional<std::uint64_t> FakeEngine::memory_in_use(const ContainerId& id)
{
    enter("memory_in_use");
    const std::scoped_lock lock{mutex_};
    Container& container = get(id.value());
    refresh(container);
    require_running(container);
    return memory_in_use_;
}

std::vector<ContainerInfo> FakeEngine::list(std::string_view label)
{
    enter("list");
    const std::scoped_lock lock{mutex_};
    std::vector<ContainerInfo> found;
    for (auto& [id, container] : containers_) {
        refresh(container);
        if (container.info.labels.contains(std::string{label})) found.push_back(container.info);
    }
    return found;
}

void FakeEngine::set_frozen(const ContainerId& id, bool frozen)
{
    enter("set_frozen");
    const std::scoped_lock lock{mutex_};
    Container& container = get(id.value());
    refresh(container);
    require_running(container);
    ::kill(-container.info.pid, frozen ? SIGSTOP : SIGCONT);
}

std::optional<int> FakeEngine::wait(const ContainerId& id, Duration timeout, std::stop_token stop)
{
    enter("wait", stop);
    const SteadyTime deadline = std::chrono::steady_clock::now() + timeout;
    std::unique_lock lock{mutex_};
    while (true) {
        Container& container = get(id.value());
        refresh(container);
        if (container.info.status == ContainerStatus::exited) return container.info.exit_code;
        if (stop.stop_requested()) throw Error{ErrorCode::cancelled, "wait was cancelled"};
        if (std::chrono::steady_clock::now() >= deadline) return std::nullopt;
        // A child's end wakes nobody here.
        changed_.wait_for(lock, stop, std::chrono::milliseconds{5}, [] { return false; });
    }
}

std::string FakeEngine::logs(const ContainerId& id, int lines)
{
    enter("logs");
    const std::scoped_lock lock{mutex_};
    std::istringstream text{read_file(get(id.value()).log)};
    std::deque<std::string> last;
    for (std::string line; std::getline(text, line);) {
        last.push_back(line + "\n");
        if (static_cast<int>(last.size()) > lines) last.pop_front();
    }
    std::string result;
    for (const std::string& line : last) result += line;
    return result;
}

void FakeEngine::remove(const std::string& id_or_name)
{
    enter("remove");
    const std::scoped_lock lock{mutex_};
    Container* const container = find(id_or_name);
    if (container == nullptr) return;
    kill(*container);
    fs::remove_all(container->root);
    fs::remove(container->log);
    emit("remove", *container);
    containers_.erase(container->info.id.value());
}

CheckpointReport FakeEngine::checkpoint(const ContainerId& id, const CheckpointOptions&, const ByteSink& sink,
                                        std::stop_token stop)
{
    enter("checkpoint", stop);
    std::string tarball;
    std::optional<std::size_t> limit;
    {
        const std::scoped_lock lock{mutex_};
        Container& container = get(id.value());
        refresh(container);
        require_running(container);
        kill(container);
        container.info.status = ContainerStatus::exited;
        container.info.checkpointed = true;
        std::vector<std::pair<std::string, std::string>> files = planted_;
        for (const fs::directory_entry& entry : fs::recursive_directory_iterator{container.root}) {
            if (!entry.is_regular_file()) continue;
            files.emplace_back(fs::relative(entry.path(), container.root).string(), read_file(entry.path()));
        }
        planted_.clear();
        tarball = make_tarball({{"config.dump", dump_json({{"rootfsImageName", container.spec.image},
                                                           {"rootfsImageID", container.info.image_id},
                                                           {"command", container.spec.command}})},
                                {"spec.dump", spec_dump(container.spec)},
                                {"checkpoint/inventory.img", "fake"},
                                {"rootfs-diff.tar", make_tarball(files)}});
        limit = std::exchange(checkpoint_limit_, std::nullopt);
    }
    constexpr std::size_t kPiece = 1000;
    for (std::size_t at = 0; at < tarball.size(); at += kPiece) {
        if (limit && at >= *limit) throw Error{ErrorCode::unavailable, "the connection broke"};
        sink(std::string_view{tarball}.substr(at, kPiece));
    }
    const std::scoped_lock lock{mutex_};
    emit("checkpoint", get(id.value()));
    return {.bytes = tarball.size(), .statistics = {{"rootfs.repaired_entries", 0}}};
}

void FakeEngine::resume(const ContainerId& id, Duration)
{
    enter("resume");
    const std::scoped_lock lock{mutex_};
    Container& container = get(id.value());
    if (!container.info.checkpointed) throw Error{ErrorCode::engine_failed, "no images to restore from"};
    container.info.checkpointed = false;
    run(container);
}

ContainerId FakeEngine::restore(const ByteSource& tarball, const RestoreSpec& spec, std::stop_token stop)
{
    enter("restore", stop);
    std::string bytes;
    std::vector<char> buffer(64 * 1024);
    while (const std::size_t count = tarball(buffer)) bytes.append(buffer.data(), count);
    const std::map<std::string, std::string> members = read_checkpoint(bytes);
    const Json config = parse_json(members.at("config.dump"));

    const std::scoped_lock lock{mutex_};
    if (find(spec.name) != nullptr) throw Error{ErrorCode::conflict, spec.name + ": that name is already in use"};
    Container container;
    container.info.id = ContainerId{random_hex(64)};
    container.info.name = spec.name;
    container.info.image_id = config.at("rootfsImageID").get<std::string>();
    container.info.labels = spec.labels;
    container.spec.image = config.at("rootfsImageName").get<std::string>();
    container.spec.command = config.at("command").get<std::vector<std::string>>();
    const Json process = parse_json(members.at("spec.dump")).at("process");
    for (const Json& variable : process.at("env")) {
        const auto text = variable.get<std::string>();
        container.spec.env[text.substr(0, text.find('='))] = text.substr(text.find('=') + 1);
    }
    container.root = directory_ / container.info.id.value();
    container.log = directory_ / (container.info.id.value() + ".log");
    fs::create_directories(container.root);
    for (const auto& [name, content] : read_tarball(members.at("rootfs-diff.tar"))) {
        fs::create_directories((container.root / name).parent_path());
        std::ofstream{container.root / name, std::ios::binary} << content;
    }
    run(container);
    if (std::exchange(end_next_restored_, false)) {
        kill(container);
        container.info.status = ContainerStatus::exited;
        container.info.exit_code = 7;
    }
    emit("restore", container);
    return containers_.emplace(container.info.id.value(), std::move(container)).first->second.info.id;
}

ExecResult FakeEngine::exec(const ContainerId& id, const ExecRequest& request, Duration timeout,
                            const ExecOutput& output, std::stop_token stop)
{
    enter("exec", stop);
    fs::path root;
    {
        const std::scoped_lock lock{mutex_};
        Container& container = get(id.value());
        refresh(container);
        require_running(container);
        root = container.root;
    }
    return run_process(request, root, timeout, output, std::move(stop));
}

bool FakeEngine::file_exists(const ContainerId& id, const std::string& path)
{
    enter("file_exists");
    const std::scoped_lock lock{mutex_};
    Container& container = get(id.value());
    refresh(container);
    require_running(container);
    return fs::exists(container.root / fs::path{path}.relative_path());
}

int FakeEngine::open_tcp_connections(const ContainerId& id)
{
    enter("open_tcp_connections");
    const std::scoped_lock lock{mutex_};
    Container& container = get(id.value());
    refresh(container);
    require_running(container);
    if (tcp_connections_.empty()) return 0;
    const int count = tcp_connections_.front();
    tcp_connections_.pop_front();
    return count;
}

void FakeEngine::watch(std::string_view label, const std::function<void(const EngineEvent&)>& handler,
                       std::stop_token stop)
{
    std::unique_lock lock{mutex_};
    std::size_t next = events_.size();
    lock.unlock();
    enter("watch", stop);
    lock.lock();
    while (changed_.wait(lock, stop, [&] { return next < events_.size(); }) && !stop.stop_requested()) {
        const auto [event, labels] = events_[next++];
        if (!labels.contains(std::string{label})) continue;
        lock.unlock();
        handler(event);
        lock.lock();
    }
}

}  // namespace warmd::test
