#pragma once

#include "daemon/config/config.h"
#include "daemon/config/toml_table.h"

namespace warmd {

/// Reads the table [trust], and the keys that it names. Reports files that are missing, not keys, or not for root alone
/// to read (the private one) or to write (all).
void read_trust(TomlTable& root, Config& config);

}  // namespace warmd
