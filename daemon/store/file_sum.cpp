#include "daemon/store/file_sum.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "daemon/base/error.h"
#include "daemon/base/sha256.h"

namespace warmd {

namespace {

std::int64_t nanoseconds(const timespec& time) { return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; }

}  // namespace

FileStamp FileStamp::of(const UniqueFd& file)
{
    struct stat status {};
    if (::fstat(file.get(), &status) != 0) throw system_error("look at an open file", errno);
    return {.device = status.st_dev,
            .inode = status.st_ino,
            .size = static_cast<std::uint64_t>(status.st_size),
            .modified = nanoseconds(status.st_mtim),
            .changed = nanoseconds(status.st_ctim)};
}

bool FileStamp::is_settled(Time now) const
{
    constexpr std::int64_t kTick = 1'000'000'000;
    return changed + kTick <= std::chrono::nanoseconds{now.time_since_epoch()}.count();
}

std::string sha256_of(const UniqueFd& file, const ReadPace& pace)
{
    Sha256 sum;
    std::vector<char> buffer(std::size_t{256} * 1024);
    off_t offset = 0;
    while (true) {
        const ssize_t count = ::pread(file.get(), buffer.data(), buffer.size(), offset);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) throw system_error("read a stored file", errno, ErrorCode::corrupt);
        if (count == 0) return sum.hex_digest();
        sum.update({buffer.data(), static_cast<std::size_t>(count)});
        offset += count;
        if (pace) pace(static_cast<std::uint64_t>(count));
    }
}

std::string sha256_of(const std::filesystem::path& path, const ReadPace& pace)
{
    const UniqueFd file{::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC)};
    if (!file.valid()) throw system_error("open " + path.string(), errno, ErrorCode::corrupt);
    return sha256_of(file, pace);
}

}  // namespace warmd
