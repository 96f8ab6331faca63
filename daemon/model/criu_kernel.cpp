#include "daemon/model/criu_kernel.h"

#include <array>
#include <sstream>

namespace warmd {

namespace {

using Version = std::pair<int, int>;

struct Conflict {
    Version kernel;  // from this one on
    Version criu;    // before this one
    const char* symptom;
};

constexpr std::array<Conflict, 2> kConflicts{{{{6, 16}, {4, 2}, "cannot dump a process with an internet socket"},
                                              {{6, 13}, {4, 1}, "cannot handle the kernel's vDSO and does not start"}}};

std::string text(const Version& version)
{
    return std::to_string(version.first) + "." + std::to_string(version.second);
}

}  // namespace

std::optional<Version> version_numbers(const std::string& text)
{
    std::istringstream in{text};
    Version version{};
    if (!(in >> version.first)) return std::nullopt;
    if (in.peek() == '.') {
        in.get();
        if (!(in >> version.second)) version.second = 0;
    }
    return version;
}

std::optional<std::string> known_conflict(const std::string& kernel, const std::string& criu)
{
    const auto running = version_numbers(kernel);
    const auto installed = version_numbers(criu);
    if (!running || !installed) return std::nullopt;
    // The worst last.
    std::optional<std::string> found;
    for (const Conflict& conflict : kConflicts) {
        if (*running < conflict.kernel || *installed >= conflict.criu) continue;
        found = "on Linux " + text(conflict.kernel) + " and later, CRIU before " + text(conflict.criu) + " " +
                conflict.symptom;
    }
    return found;
}

}  // namespace warmd
