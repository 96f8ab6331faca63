#pragma once

#include "daemon/config/config.h"
#include "daemon/config/toml_table.h"

namespace warmd {

/// Reads the table [registry].
void read_registry(TomlTable& root, Config& config);

/// Reports templates that are to be shared though there is no registry, or no key for it.
void check_distribution(const Config& config, std::vector<ConfigProblem>& problems);

}  // namespace warmd
