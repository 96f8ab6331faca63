#include "daemon/host/host_environment.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <fstream>
#include <iterator>
#include <set>
#include <sstream>

namespace warmd {

namespace {

/// The value of the first line "NAME : VALUE" of /proc/cpuinfo.
std::string cpu_info(const std::string& name)
{
    std::ifstream file{"/proc/cpuinfo"};
    std::string line;
    while (std::getline(file, line)) {
        const std::size_t colon = line.find(':');
        if (colon == std::string::npos || !line.starts_with(name)) continue;
        if (line.find_last_not_of(" \t", colon - 1) + 1 != name.size()) continue;
        const std::size_t value = line.find_first_not_of(' ', colon + 1);
        return value == std::string::npos ? std::string{} : line.substr(value);
    }
    return {};
}

std::string sorted_words(const std::string& text)
{
    std::istringstream in{text};
    const std::set<std::string> words{std::istream_iterator<std::string>{in}, {}};
    std::string result;
    for (const std::string& word : words) result += (result.empty() ? "" : " ") + word;
    return result;
}

/// The bytes that the kernel saves of each thread's extended registers: an image with more than the host
/// has cannot be restored there.
std::string xsave_size()
{
#if defined(__x86_64__)
    unsigned eax = 0;
    unsigned ebx = 0;
    unsigned ecx = 0;
    unsigned edx = 0;
    constexpr unsigned kExtendedState = 0x0D;
    if (__get_cpuid_count(kExtendedState, 0, &eax, &ebx, &ecx, &edx) == 1) return std::to_string(ebx);
#endif
    return {};
}

}  // namespace

Environment host_environment(const EngineInfo& engine)
{
    Environment environment{{"podman", engine.version},
                            {"runtime", engine.runtime},
                            {"runtime_version", engine.runtime_version},
                            {"criu", engine.criu_version},
                            {"kernel", engine.kernel},
                            {"architecture", engine.architecture},
                            {"storage_driver", engine.storage_driver},
                            {"cpu_model", cpu_info("model name")},
                            {"cpu_flags", sorted_words(cpu_info("flags"))},
                            {"xsave_size", xsave_size()}};
    std::erase_if(environment, [](const auto& entry) { return entry.second.empty(); });
    return environment;
}

}  // namespace warmd
