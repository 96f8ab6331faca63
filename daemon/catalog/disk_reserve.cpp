#include "daemon/catalog/disk_reserve.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <system_error>

#include "daemon/base/unique_fd.h"

namespace warmd::detail {

namespace {

// The write-ahead log grows to 1000 pages of 4 KiB before it is used again from its beginning (sqlite.org/wal.html).
constexpr std::uint64_t kBytes = std::uint64_t{8} << 20U;
constexpr std::uint64_t kPlenty = 8 * kBytes;

}  // namespace

void DiskReserve::take() const noexcept
{
    if (path_.empty()) return;
    std::error_code unknown;
    if (std::filesystem::exists(path_, unknown) || unknown) return;
    const std::filesystem::space_info space = std::filesystem::space(path_.parent_path(), unknown);
    if (unknown || space.available < kPlenty) return;
    const UniqueFd file{::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)};
    if (file.valid() && ::posix_fallocate(file.get(), 0, static_cast<off_t>(kBytes)) != 0) ::unlink(path_.c_str());
}

bool DiskReserve::give_up() const noexcept { return !path_.empty() && ::unlink(path_.c_str()) == 0; }

}  // namespace warmd::detail
