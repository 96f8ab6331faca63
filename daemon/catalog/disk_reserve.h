#pragma once

#include <filesystem>

namespace warmd::detail {

/// A file that holds a little of a disk, so that on a full one there is still room to record what makes room again.
class DiskReserve {
public:
    /// An empty path: no reserve.
    explicit DiskReserve(std::filesystem::path path) : path_{std::move(path)} {}

    /// Makes the file unless it is there, or the disk is so full that this would be in the way. Never throws.
    void take() const noexcept;
    /// Removes the file. False when there is none.
    bool give_up() const noexcept;

private:
    std::filesystem::path path_;
};

}  // namespace warmd::detail
