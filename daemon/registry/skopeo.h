#pragma once

#include <functional>
#include <utility>

#include "daemon/base/program.h"
#include "daemon/model/registry_options.h"
#include "daemon/ports/registry.h"

namespace warmd {

/// A registry by means of skopeo, Debian's program for it: 1.9 and later copy artifacts whose layers are of types that
/// it does not know, as long as nothing of them is to change (--preserve-digests). It looks first whether the registry
/// has a blob and reads it only if not (measured with 1.9.3 and docker-registry 2.8), which `push` relies on.
class Skopeo final : public Registry {
public:
    using Run = std::function<ProgramResult(const std::vector<std::string>& command, std::size_t limit,
                                            const std::stop_token& stop)>;

    explicit Skopeo(RegistryOptions options, Run run = run_program) : options_{std::move(options)}, run_{std::move(run)}
    {
    }

    [[nodiscard]] std::string name() const override { return options_.repository; }
    std::vector<std::string> tags(const std::stop_token& stop) override;
    std::optional<std::string> manifest(const std::string& tag, const std::stop_token& stop) override;
    void push(const std::filesystem::path& layout, const std::string& reference, const std::string& tag,
              const std::stop_token& stop) override;
    void pull(const std::string& digest, const std::filesystem::path& layout, const std::string& reference,
              const std::stop_token& stop) override;

private:
    ProgramResult call(std::vector<std::string> words, const std::string& prefix, const std::vector<std::string>& what,
                       const std::stop_token& stop);
    [[nodiscard]] std::string remote(const std::string& suffix) const;

    const RegistryOptions options_;
    const Run run_;
};

}  // namespace warmd
