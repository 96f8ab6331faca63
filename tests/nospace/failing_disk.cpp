#include "tests/nospace/failing_disk.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <string>
#include <string_view>

// Functions of the program itself come before those of the C library, for the libraries as well. They make the system
// calls themselves: to look up the C library's would call some of them.

namespace {

std::array<char, 4096> root{};
std::atomic<bool> armed = false;
std::atomic<bool> until_mended = false;
std::atomic<int> left = 0;  // calls until the first that fails
std::atomic<int> number = 0;

bool below_root(std::string_view path) { return path.starts_with(root.data()); }

bool fails()
{
    const int now = --left;
    if (now > 0 || (now < 0 && !until_mended)) return false;
    errno = number;
    return true;
}

bool fails(const char* path) { return armed && below_root(path) && fails(); }

bool fails(int fd)
{
    if (!armed) return false;
    const std::string link = "/proc/self/fd/" + std::to_string(fd);
    std::array<char, 4096> target{};
    const long count = ::syscall(SYS_readlinkat, AT_FDCWD, link.c_str(), target.data(), target.size() - 1);
    return count > 0 && below_root({target.data(), static_cast<std::size_t>(count)}) && fails();
}

}  // namespace

extern "C" {

ssize_t write(int fd, const void* bytes, size_t count)
{
    return fails(fd) ? -1 : ::syscall(SYS_write, fd, bytes, count);
}

ssize_t writev(int fd, const iovec* parts, int count)
{
    return fails(fd) ? -1 : ::syscall(SYS_writev, fd, parts, count);
}

ssize_t pwrite64(int fd, const void* bytes, size_t count, off64_t offset)
{
    return fails(fd) ? -1 : ::syscall(SYS_pwrite64, fd, bytes, count, offset);
}

ssize_t pwrite(int fd, const void* bytes, size_t count, off_t offset) { return pwrite64(fd, bytes, count, offset); }

int fsync(int fd) { return fails(fd) ? -1 : static_cast<int>(::syscall(SYS_fsync, fd)); }

int fdatasync(int fd) { return fails(fd) ? -1 : static_cast<int>(::syscall(SYS_fdatasync, fd)); }

int ftruncate64(int fd, off64_t length) noexcept
{
    return fails(fd) ? -1 : static_cast<int>(::syscall(SYS_ftruncate, fd, length));
}

int ftruncate(int fd, off_t length) noexcept { return ftruncate64(fd, length); }

int posix_fallocate64(int fd, off64_t offset, off64_t length)
{
    if (fails(fd)) return errno;
    return ::syscall(SYS_fallocate, fd, 0, offset, length) == 0 ? 0 : errno;
}

int posix_fallocate(int fd, off_t offset, off_t length) { return posix_fallocate64(fd, offset, length); }

int mkdir(const char* path, mode_t mode) noexcept
{
    return fails(path) ? -1 : static_cast<int>(::syscall(SYS_mkdirat, AT_FDCWD, path, mode));
}

int link(const char* from, const char* to) noexcept
{
    return fails(to) ? -1 : static_cast<int>(::syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0));
}

int rename(const char* from, const char* to) noexcept
{
    return fails(to) ? -1 : static_cast<int>(::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

int open64(const char* path, int flags, ...)
{
    mode_t mode = 0;
    if ((flags & (O_CREAT | __O_TMPFILE)) != 0) {
        std::va_list arguments;
        va_start(arguments, flags);
        mode = va_arg(arguments, mode_t);
        va_end(arguments);
        if (fails(path)) return -1;
    }
    return static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}

int open(const char* path, int flags, ...)
{
    mode_t mode = 0;
    if ((flags & (O_CREAT | __O_TMPFILE)) != 0) {
        std::va_list arguments;
        va_start(arguments, flags);
        mode = va_arg(arguments, mode_t);
        va_end(arguments);
    }
    return open64(path, flags, mode);
}

}  // extern "C"

namespace warmd::test {

FailingDisk::FailingDisk(const std::filesystem::path& at, int nth, Until until, int error_number)
{
    const std::string path = at.string() + "/";
    path.copy(root.data(), root.size() - 1);
    left = nth;
    until_mended = until == Until::mended;
    number = error_number;
    armed = true;
}

FailingDisk::~FailingDisk() { mend(); }

bool FailingDisk::mend()
{
    armed = false;
    return left <= 0;
}

}  // namespace warmd::test
