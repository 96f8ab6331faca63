#pragma once

#include <map>
#include <string>

#include "daemon/model/template.h"

namespace warmd {

enum class SecretUse { warm, exec };

/// The values of the template's secrets that `use` gets, by variable, read now from where they are kept. Throws
/// Error{not_ready} that names the secret and its source, never a value. Callers pass them on and forget them.
std::map<std::string, std::string> read_secrets(const Template& from, SecretUse use);

}  // namespace warmd
