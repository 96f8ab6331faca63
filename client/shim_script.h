#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/id.h"

namespace warmd::client {

/// A program that a shim can stand for, and the template that it sends batch calls to unless told otherwise.
struct ShimKind {
    std::string_view program;
    TemplateName usual_template;
};

/// "matlab", "octave", ...: every program there is a shim for.
std::vector<std::string> shim_programs();
/// Nothing for a program that has no shim.
std::optional<ShimKind> find_shim(std::string_view program);

/// The whole script, for POSIX sh: client/shims/*.sh put together. `program` is one of shim_programs(), and the
/// template's name is valid.
std::string shim_script(const std::string& program, const TemplateName& template_name);

/// The template that a shim was made for; nothing when `script` is no shim.
std::optional<TemplateName> template_of_shim(std::string_view script);

}  // namespace warmd::client
