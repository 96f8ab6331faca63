#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "daemon/base/error.h"
#include "daemon/base/unique_fd.h"

namespace warmd {

/// The next bytes, at most as many as fit; 0 at the end. Throws as `system_error(attempted, ...)`.
std::size_t read_some(const UniqueFd& file, std::span<char> buffer, std::string_view attempted,
                      ErrorCode fallback = ErrorCode::internal);

/// Throws as `system_error(attempted, ...)`.
void write_all(const UniqueFd& file, std::string_view bytes, std::string_view attempted);

}  // namespace warmd
