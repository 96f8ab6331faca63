#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "daemon/base/clock.h"
#include "daemon/base/unique_fd.h"

namespace warmd {

/// Told of each piece of a file that has been read. Throws to end the reading; may block to slow it down.
using ReadPace = std::function<void(std::uint64_t bytes)>;

/// Which file it is, and what changes when anybody changes it: the time of its last change of any kind cannot be set.
struct FileStamp {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::uint64_t size = 0;
    std::int64_t modified = 0;  // nanoseconds since 1970
    std::int64_t changed = 0;   // likewise
    bool operator==(const FileStamp&) const = default;

    /// Throws Error{internal}.
    static FileStamp of(const UniqueFd& file);

    /// True when the last change was so long ago that the next one will show. The kernel's clock for this ticks a
    /// hundred times a second at least.
    [[nodiscard]] bool is_settled(Time now) const;
};

/// SHA-256 of all that is in the file, as 64 hexadecimal digits. Leaves the file's offset alone. Throws Error{corrupt}
/// when it cannot be read, and what `pace` throws.
std::string sha256_of(const UniqueFd& file, const ReadPace& pace = {});

/// As above, of the file at `path`, which is no link. Throws Error{corrupt} when it cannot be opened.
std::string sha256_of(const std::filesystem::path& path, const ReadPace& pace = {});

}  // namespace warmd
