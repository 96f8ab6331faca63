#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "daemon/base/ed25519.h"

namespace warmd {

/// Whose checkpoints this host takes, and with what it signs its own.
struct TrustOptions {
    std::optional<SigningKey> key;           // none: nothing leaves this host signed
    std::vector<VerifyingKey> keys;          // of hosts whose checkpoints may come here
    std::filesystem::path import_directory;  // where they come from; empty: nowhere, nothing is imported
};

}  // namespace warmd
