#include "daemon/config/registry_config.h"

#include <algorithm>
#include <optional>
#include <string>

namespace warmd {

namespace {

/// HOST[:PORT]/PATH in small letters, without a tag: what an OCI registry calls a repository.
bool is_repository(const std::string& text)
{
    const std::size_t slash = text.find('/');
    if (slash == std::string::npos || slash == 0 || slash + 1 == text.size() || text.size() > 255) return false;
    if (text.find("//") != std::string::npos || text.ends_with('/')) return false;
    const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_' || c == '/' ||
               c == ':';
    });
    return plain && text.find(':', slash) == std::string::npos;
}

}  // namespace

void read_registry(TomlTable& root, Config& config)
{
    auto registry = root.table("registry");
    if (!registry) return;
    std::optional<std::string> auth_file;
    std::optional<std::string> certificates;
    registry->read("repository", config.registry.repository);
    registry->read_absolute("auth_file", auth_file);
    registry->read_absolute("certificate_directory", certificates);
    registry->read("plain_http", config.registry.plain_http);
    registry->finish();
    if (auth_file) config.registry.auth_file = *auth_file;
    if (certificates) config.registry.certificate_directory = *certificates;
    if (!config.registry.repository.empty() && !is_repository(config.registry.repository)) {
        registry->report("repository", "must be HOST[:PORT]/PATH in small letters, without a tag: "
                                       "\"registry.example.org/warmd\"");
    }
}

void check_distribution(const Config& config, std::vector<ConfigProblem>& problems)
{
    for (const auto& [name, from] : config.templates) {
        const auto report = [&problems, &name = name](const std::string& lacks) {
            problems.push_back({.where = "templates.d/" + name.value() + ".toml",
                                .message = "checkpoint.distribute needs " + lacks + " in warmd.toml"});
        };
        if (from.distribute == Distribute::none) continue;
        if (config.registry.repository.empty()) report("registry.repository");
        if (pushes(from.distribute) && !config.trust.key) report("trust.key");
        if (pulls(from.distribute) && config.trust.keys.empty()) report("trust.keys");
    }
}

}  // namespace warmd
