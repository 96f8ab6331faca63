#pragma once

#include <map>
#include <optional>
#include <string>

#include "daemon/base/guarded.h"
#include "daemon/podman/unix_http.h"
#include "daemon/ports/container_engine.h"

namespace warmd::podman {

struct PodmanOptions {
    std::string socket_path = "/run/podman/podman.sock";
    /// For calls that only ask or change a record. Dumps, restores and commands bring their own times.
    Duration call_timeout = std::chrono::seconds{30};
    /// Where modified image files are spooled while a checkpoint is exported.
    std::string spool_directory = "/var/tmp";
};

/// Podman behind its libpod API. Speaks the API version that the service itself names (4.0 to 5.x are
/// known to serve; newer ones are tried).
class PodmanEngine final : public ContainerEngine {
public:
    explicit PodmanEngine(PodmanOptions options);

    EngineInfo info() override;
    std::optional<ImageInfo> find_image(const std::string& reference) override;
    std::string import_program(const std::filesystem::path& program) override;
    void remove_image(const std::string& id) override;
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
    std::string api_prefix();
    /// `path` without the version prefix. Throws for a status outside 2xx.
    std::string request(const std::string& method, const std::string& path, const std::string& body = {},
                        std::optional<Duration> timeout = std::nullopt, std::stop_token stop = {});
    /// As `request`, but a 404 is nothing.
    std::optional<std::string> find(const std::string& path);
    bool exec_is_killed(const std::string& session_path, const ContainerId& container);

    PodmanOptions options_;
    UnixHttp http_;
    Guarded<std::string> prefix_;  // "/v5.4.2/libpod"; empty until negotiated
    struct CriuVersion {
        std::string program;  // which file it was asked of; another one is asked again
        std::string version;
    };
    Guarded<CriuVersion> criu_version_;
    Guarded<std::map<ContainerId, int>> pids_;
};

}  // namespace warmd::podman
