#pragma once

#include <filesystem>
#include <string>

namespace warmd::podman {

/// A tarball that holds the file alone, under `name`, executable. Throws Error{not_found} when it cannot be read.
std::string tar_of_program(const std::filesystem::path& program, const std::string& name);

}  // namespace warmd::podman
