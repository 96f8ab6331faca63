#include "daemon/host/host_files.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>
#include <system_error>

namespace warmd {

namespace fs = std::filesystem;

fs::path HostFiles::at(const std::string& path) const { return root_ / fs::path{path}.relative_path(); }

std::optional<std::string> HostFiles::text(const std::string& path) const
{
    std::ifstream file{at(path)};
    if (!file) return std::nullopt;
    return std::string{std::istreambuf_iterator<char>{file}, {}};
}

std::string HostFiles::first_line(const std::string& path) const
{
    std::ifstream file{at(path)};
    std::string line;
    std::getline(file, line);
    return line;
}

bool HostFiles::exists(const std::string& path) const
{
    std::error_code ignored;
    return fs::exists(at(path), ignored);
}

std::optional<long long> HostFiles::number(const std::string& path, const std::string& name) const
{
    std::istringstream lines{text(path).value_or("")};
    for (std::string line; std::getline(lines, line);) {
        if (!line.starts_with(name + ":")) continue;
        long long value = 0;
        if (std::istringstream{line.substr(name.size() + 1)} >> value) return value;
    }
    return std::nullopt;
}

std::optional<std::string> HostFiles::program(const std::string& name) const
{
    for (const char* const folder : {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}) {
        const std::string path = std::string{folder} + "/" + name;
        if (::access(at(path).c_str(), X_OK) == 0) return path;
    }
    return std::nullopt;
}

std::optional<std::string> HostFiles::library(const std::string& name) const
{
    std::vector<std::string> folders{"/usr/local/lib", "/usr/lib", "/lib", "/usr/lib64", "/lib64"};
    for (const char* const parent : {"/usr/lib", "/usr/local/lib", "/lib"}) {
        std::error_code ignored;
        for (const fs::directory_entry& entry : fs::directory_iterator{at(parent), ignored}) {
            const std::string folder = entry.path().filename().string();
            if (folder.find("-linux-") != std::string::npos) folders.push_back(std::string{parent} + "/" + folder);
        }
    }
    for (const std::string& folder : folders) {
        if (exists(folder + "/" + name)) return folder + "/" + name;
    }
    return std::nullopt;
}

std::vector<std::string> HostFiles::files(const std::string& folder, const std::string& suffix) const
{
    std::vector<std::string> found;
    std::error_code ignored;
    for (const fs::directory_entry& entry : fs::directory_iterator{at(folder), ignored}) {
        std::string name = entry.path().filename().string();
        if (name.ends_with(suffix)) found.push_back(folder + "/" + name);
    }
    std::sort(found.begin(), found.end());
    return found;
}

}  // namespace warmd
