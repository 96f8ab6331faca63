#include "client/shim_script.h"

#include <algorithm>
#include <array>

#include "shim_parts.h"

namespace warmd::client {

namespace {

struct Kind {
    std::string_view program;
    const char* usual_template;
    const char* part;  // what tells its batch calls from others
};

constexpr std::array<Kind, 5> kKinds{{
    {"matlab", "matlab", detail::kMatlabShim},
    {"octave", "octave", detail::kOctaveShim},
    {"octave-cli", "octave", detail::kOctaveShim},
    {"python", "python", detail::kPythonShim},
    {"python3", "python", detail::kPythonShim},
}};

// Every shim begins so, and client/shims/common.sh knows others by the second line.
constexpr std::string_view kHead =
    "#!/bin/sh\n"
    "# warmd shim: `warmctl shim install` wrote this, and it replaces only files with this line.\n";
constexpr std::string_view kTemplate = "shim_template='";

const Kind* find(std::string_view program)
{
    const auto* const found = std::find_if(kKinds.begin(), kKinds.end(),
                                           [program](const Kind& kind) { return kind.program == program; });
    return found == kKinds.end() ? nullptr : found;
}

}  // namespace

std::vector<std::string> shim_programs()
{
    std::vector<std::string> programs;
    for (const Kind& kind : kKinds) programs.emplace_back(kind.program);
    return programs;
}

std::optional<ShimKind> find_shim(std::string_view program)
{
    const Kind* const kind = find(program);
    if (kind == nullptr) return std::nullopt;
    return ShimKind{.program = kind->program, .usual_template = TemplateName{kind->usual_template}};
}

std::string shim_script(const std::string& program, const TemplateName& template_name)
{
    const Kind* const kind = find(program);
    std::string script{kHead};
    script += "shim_name='" + program + "'\n";
    script += std::string{kTemplate} + template_name.value() + "'\n\n";
    script += kind->part;
    script += "\n";
    script += detail::kCommonShim;
    return script;
}

std::optional<TemplateName> template_of_shim(std::string_view script)
{
    constexpr std::string_view kKnown = "#!/bin/sh\n# warmd shim:";
    if (!script.starts_with(kKnown)) return std::nullopt;
    const std::size_t begin = script.find(kTemplate);
    if (begin == std::string_view::npos) return TemplateName{};
    const std::string_view name = script.substr(begin + kTemplate.size());
    return TemplateName{std::string{name.substr(0, name.find('\''))}};
}

}  // namespace warmd::client
