#pragma once

#include "daemon/config/config.h"
#include "daemon/config/toml_table.h"

namespace warmd {

/// [tokens.NAME] of warmd.toml.
void read_tokens(TomlTable& root, Config& config);

/// tcp, hosts and origins of [api]. Call after `read_tokens`: a TCP listener without a token is a mistake.
void read_tcp(TomlTable& api, Config& config);

/// [access]. Names become ids: what the user database says later is not looked at. Call after api.group has been read.
void read_access(TomlTable& root, Config& config);

}  // namespace warmd
