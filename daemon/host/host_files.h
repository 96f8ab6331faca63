#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace warmd {

/// The files of this machine, or of one that a test has made up below another root.
class HostFiles {
public:
    HostFiles() = default;
    explicit HostFiles(std::filesystem::path root) : root_{std::move(root)} {}

    /// The whole file; nothing when it cannot be read.
    [[nodiscard]] std::optional<std::string> text(const std::string& path) const;
    /// Without the line's end; empty when it cannot be read.
    [[nodiscard]] std::string first_line(const std::string& path) const;
    [[nodiscard]] bool exists(const std::string& path) const;
    /// The number after "NAME:" in a file of such lines, as /proc/meminfo.
    [[nodiscard]] std::optional<long long> number(const std::string& path, const std::string& name) const;
    /// Where Podman's service would find a program: with the path that systemd gives to services.
    [[nodiscard]] std::optional<std::string> program(const std::string& name) const;
    /// Where the loader looks for a shared library of this name.
    [[nodiscard]] std::optional<std::string> library(const std::string& name) const;
    /// The files in a folder that end in `suffix`, sorted; none when there is no such folder.
    [[nodiscard]] std::vector<std::string> files(const std::string& folder, const std::string& suffix) const;

private:
    [[nodiscard]] std::filesystem::path at(const std::string& path) const;

    std::filesystem::path root_ = "/";
};

}  // namespace warmd
