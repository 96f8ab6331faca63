#pragma once

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "daemon/base/error.h"
#include "daemon/ports/container_engine.h"

namespace warmd::test {

/// A container engine without containers: a container is a directory and a process of this machine that runs
/// in it, a checkpoint a small tarball of that directory. Commands see "/" as the host's, so tests name files
/// relative to the working directory, which is the container's root unless they say otherwise. Memory does
/// not survive a restore: the command starts again.
///
/// Held to real Podman by tests/contract.
class FakeEngine final : public ContainerEngine {
public:
    FakeEngine();
    ~FakeEngine() override;

    void add_image(const std::string& reference, const std::string& id, std::map<std::string, std::string> labels = {});
    /// What `info` answers from now on.
    void set_info(EngineInfo info);

    /// The next call of `operation` ("create", "checkpoint", ...) throws `error`. Calls stack up.
    void fail_next(const std::string& operation, Error error);
    /// The next call of `operation` blocks until its stop token is triggered, then throws Error{cancelled}.
    void hang_next(const std::string& operation);
    /// A checkpoint fails after that many bytes of its tarball.
    void fail_checkpoint_after(std::size_t bytes);
    /// The next checkpoint's changes to the root file system have a file of this name, which no container has.
    void plant(const std::string& name);
    /// The application of the next restored container has ended by the time the restore returns.
    void end_next_restored();
    /// What `memory_in_use` says of every container from now on.
    void set_memory_in_use(std::optional<std::uint64_t> bytes);
    void set_open_tcp_connections(std::deque<int> counts);
    /// Ends the container's process behind the engine's back.
    void kill_container(const std::string& name);
    /// How many calls of `operation` there were.
    [[nodiscard]] int calls(const std::string& operation) const;
    [[nodiscard]] std::vector<std::string> container_names() const;
    /// The environment that the last container was created with.
    [[nodiscard]] std::map<std::string, std::string> last_env() const;

    EngineInfo info() override;
    std::optional<ImageInfo> find_image(const std::string& reference) override;
    std::string import_program(const std::filesystem::path& program) override;
    void remove_image(const std::string& reference) override;
    ContainerId create(const ContainerSpec& spec) override;
    void start(const ContainerId& id) override;
    std::optional<ContainerInfo> inspect(const std::string& id_or_name) override;
    int running_pid(const ContainerId& id) override;
    std::optional<std::uint64_t> memory_in_use(const ContainerId& id) override;
    std::vector<ContainerInfo> list(std::string_view label) override;
    void set_frozen(const ContainerId& id, bool frozen) override;
    std::optional<int> wait(const ContainerId& id, Duration timeout, std::stop_token stop) override;
    std::string logs(const ContainerId& id, int lines) override;
    void remove(const std::string& id_or_name) override;
    CheckpointReport checkpoint(const ContainerId& id, const CheckpointOptions& options, const ByteSink& sink,
                                std::stop_token stop) override;
    void resume(const ContainerId& id, Duration timeout) override;
    ContainerId restore(const ByteSource& tarball, const RestoreSpec& spec, std::stop_token stop) override;
    ExecResult exec(const ContainerId& id, const ExecRequest& request, Duration timeout, const ExecOutput& output,
                    std::stop_token stop) override;
    bool file_exists(const ContainerId& id, const std::string& path) override;
    int open_tcp_connections(const ContainerId& id) override;
    void watch(std::string_view label, const std::function<void(const EngineEvent&)>& handler,
               std::stop_token stop) override;

private:
    struct Container {
        ContainerInfo info;
        ContainerSpec spec;
        std::filesystem::path root;
        std::filesystem::path log;
    };

    void enter(const std::string& operation, std::stop_token stop = {});
    Container& get(const std::string& id_or_name);
    Container* find(const std::string& id_or_name);
    void refresh(Container& container);
    void run(Container& container);
    static void kill(Container& container);
    void emit(const std::string& action, const Container& container);
    void require_running(const Container& container) const;

    std::filesystem::path directory_;
    mutable std::mutex mutex_;
    std::condition_variable_any changed_;
    // State below is protected by mutex_.
    std::map<std::string, Container> containers_;  // by id
    std::map<std::string, ImageInfo> images_;
    std::map<std::string, std::filesystem::path> programs_;  // by the id of the image that holds it
    std::map<std::string, std::string> last_env_;
    std::map<std::string, std::deque<Error>> failures_;
    std::multiset<std::string> hangs_;
    std::map<std::string, int> calls_;
    std::deque<int> tcp_connections_;
    EngineInfo info_{.version = "0.0-fake",
                     .api_version = "0.0",
                     .runtime = "fake",
                     .runtime_version = "0",
                     .runtime_has_criu = true,
                     .criu_version = "0",
                     .kernel = "0",
                     .architecture = "fake",
                     .storage_driver = "overlay"};
    bool end_next_restored_ = false;
    std::optional<std::size_t> checkpoint_limit_;
    std::vector<std::pair<std::string, std::string>> planted_;
    std::optional<std::uint64_t> memory_in_use_ = 1000;
    std::vector<std::pair<EngineEvent, std::map<std::string, std::string>>> events_;
};

}  // namespace warmd::test
