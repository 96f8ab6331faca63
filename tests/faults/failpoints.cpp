// Preloaded into warmd by tests/faults: stands before the calls by which a program changes files and talks to others,
// counts them over all threads, and at the one that it is told to, kills the process or lets the call fail. What it is
// told lies in a file that both map (WARMD_FAILPOINTS), so that a test arms it in the middle of the daemon's life.
//
// With WARMD_DURABLE naming a directory it keeps there what a power cut would leave of the files under the prefix: of
// each file its content, of each directory its entries, as they were when they were last synced. harness.py makes a
// state directory of that.
//
// strace can do the same from outside, but counts for each thread by itself; tests/faults/strace.py compares the
// counts.
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace {

// The order is that of KINDS in harness.py.
enum Kind : std::uint8_t {
    kWrite,
    kPwrite,
    kWritev,
    kFsync,
    kFdatasync,
    kRename,
    kUnlink,
    kCreate,  // open with O_CREAT
    kMkdir,
    kRmdir,
    kLink,
    kSymlink,
    kFtruncate,
    kFallocate,
    kSend,
    kOpen,  // open without O_CREAT
    kRead,
    kPread,
    kAccept,
    kSocket,
    kConnect,
};

enum Mode : std::uint32_t { kOff = 0, kCount = 1, kKill = 2, kFail = 3 };

constexpr std::uint32_t kMostKinds = 65536;

// The layout is that of Failpoints in harness.py.
struct Control {
    std::atomic<std::uint32_t> mode;
    std::atomic<std::uint32_t> mask;   // of kinds
    std::atomic<std::uint32_t> first;  // the first call that is struck, from 1
    std::atomic<std::uint32_t> last;   // the last one
    std::atomic<std::uint32_t> error;  // errno of those that fail
    std::atomic<std::uint32_t> count;  // calls of such a kind since it was armed
    std::atomic<std::uint32_t> struck;
    std::atomic<std::int32_t> clock;  // seconds by which the wall clock is wrong
    char prefix[256];                 // only calls on files below; empty: all
    char where[512];                  // what was struck first
    std::uint8_t kinds[kMostKinds];
};

Control* control = nullptr;
const char* durable = nullptr;

__attribute__((constructor)) void map_control()
{
    const char* const path = std::getenv("WARMD_FAILPOINTS");
    durable = std::getenv("WARMD_DURABLE");
    // What this program starts is none of ours.
    ::unsetenv("LD_PRELOAD");
    ::unsetenv("WARMD_FAILPOINTS");
    if (path == nullptr) return;
    const auto file = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0));
    if (file < 0) return;
    void* const mapped = ::mmap(nullptr, sizeof(Control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    ::syscall(SYS_close, file);
    if (mapped != MAP_FAILED) control = static_cast<Control*>(mapped);
}

const char* path_of(int fd, char (&buffer)[512])
{
    char link[64];
    std::snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t length = ::syscall(SYS_readlink, link, buffer, sizeof buffer - 1);
    buffer[length < 0 ? 0 : length] = '\0';
    return buffer;
}

std::uint64_t name_of(int fd)
{
    // With the time of its birth, because a number is given out again.
    struct statx status {};
    if (::syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &status) != 0) return 0;
    return status.stx_ino * 1000003U + static_cast<std::uint64_t>(status.stx_btime.tv_sec) * 1000000000U +
           status.stx_btime.tv_nsec;
}

void write_all(int to, const char* bytes, std::size_t size)
{
    while (size > 0) {
        const ssize_t count = ::syscall(SYS_write, to, bytes, size);
        if (count <= 0) return;
        bytes += count;
        size -= static_cast<std::size_t>(count);
    }
}

void keep_directory(int fd, int to)
{
    char path[64];
    std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    DIR* const directory = ::opendir(path);
    if (directory == nullptr) return;
    while (const dirent* const entry = ::readdir(directory)) {
        if (entry->d_name[0] == '.') continue;
        const auto file = static_cast<int>(
            ::syscall(SYS_openat, fd, entry->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0));
        if (file < 0) continue;
        char line[512];
        const int length = std::snprintf(line, sizeof line, "%s %llu %s\n",
                                         entry->d_type == DT_DIR ? "directory" : "file",
                                         static_cast<unsigned long long>(name_of(file)), entry->d_name);
        write_all(to, line, static_cast<std::size_t>(length));
        ::syscall(SYS_close, file);
    }
    ::closedir(directory);
}

void keep_file(int fd, int to)
{
    char path[64];
    std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    // Of its own: this one may not be readable, and has a position.
    const auto from = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0));
    static thread_local char block[65536];
    while (true) {
        const ssize_t count = ::syscall(SYS_read, from, block, sizeof block);
        if (count <= 0) break;
        write_all(to, block, static_cast<std::size_t>(count));
    }
    ::syscall(SYS_close, from);
}

/// After a sync that succeeded.
void keep(int fd)
{
    if (durable == nullptr) return;
    struct stat status {};
    if (::fstat(fd, &status) != 0) return;
    char name[512];
    std::snprintf(name, sizeof name, "%s/%llu", durable, static_cast<unsigned long long>(name_of(fd)));
    char unfinished[544];
    std::snprintf(unfinished, sizeof unfinished, "%s.%ld", name, ::syscall(SYS_gettid));
    const auto to = static_cast<int>(
        ::syscall(SYS_openat, AT_FDCWD, unfinished, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (to < 0) return;
    if (S_ISDIR(status.st_mode)) keep_directory(fd, to);
    else keep_file(fd, to);
    ::syscall(SYS_close, to);
    ::syscall(SYS_rename, unfinished, name);
}

/// Whether this call is to fail, with errno set. Does not return when it is the one to be killed at.
bool strikes(Kind kind, int fd, const char* path)
{
    if (control == nullptr) return false;
    const std::uint32_t mode = control->mode.load(std::memory_order_acquire);
    if (mode == kOff || (control->mask.load() >> kind & 1U) == 0) return false;
    const int saved = errno;
    char buffer[512];
    if (path == nullptr) path = path_of(fd, buffer);
    errno = saved;
    if (const std::size_t length = ::strnlen(control->prefix, sizeof control->prefix);
        length > 0 && std::strncmp(path, control->prefix, length) != 0) {
        return false;
    }
    const std::uint32_t number = control->count.fetch_add(1) + 1;
    if (number <= kMostKinds) control->kinds[number - 1] = kind;
    if (mode == kCount || number < control->first.load() || number > control->last.load()) return false;
    if (control->struck.fetch_add(1) == 0) {
        std::strncpy(control->where, path, sizeof control->where - 1);
    }
    if (mode == kKill) {
        ::syscall(SYS_kill, ::syscall(SYS_getpid), SIGKILL);
        for (;;) ::syscall(SYS_pause);
    }
    errno = static_cast<int>(control->error.load());
    return true;
}

template <typename Fn>
Fn next(Fn, const char* name)
{
    void* const found = ::dlsym(RTLD_NEXT, name);
    Fn fn = nullptr;
    static_assert(sizeof fn == sizeof found);
    std::memcpy(&fn, &found, sizeof fn);
    return fn;
}

}  // namespace

// NAME as the C library has it, after asking.
#define PASS(result, name, declared, given, kind, fd, path, ...) \
    extern "C" result name declared __VA_ARGS__                  \
    {                                                            \
        static const auto real = next(&name, #name);             \
        if (strikes(kind, fd, path)) return -1;                  \
        return real given;                                       \
    }

PASS(ssize_t, write, (int fd, const void* data, size_t size), (fd, data, size), kWrite, fd, nullptr)
PASS(ssize_t, pwrite, (int fd, const void* data, size_t size, off_t at), (fd, data, size, at), kPwrite, fd, nullptr)
PASS(ssize_t, pwrite64, (int fd, const void* data, size_t size, off64_t at), (fd, data, size, at), kPwrite, fd, nullptr)
PASS(ssize_t, writev, (int fd, const iovec* parts, int count), (fd, parts, count), kWritev, fd, nullptr)
#define PASS_SYNC(name, kind)                        \
    extern "C" int name(int fd)                      \
    {                                                \
        static const auto real = next(&name, #name); \
        if (strikes(kind, fd, nullptr)) return -1;   \
        const int result = real(fd);                 \
        if (result == 0) keep(fd);                   \
        return result;                               \
    }
PASS_SYNC(fsync, kFsync)
PASS_SYNC(fdatasync, kFdatasync)
PASS(int, ftruncate, (int fd, off_t size), (fd, size), kFtruncate, fd, nullptr, noexcept)
PASS(int, ftruncate64, (int fd, off64_t size), (fd, size), kFtruncate, fd, nullptr, noexcept)
PASS(int, rename, (const char* from, const char* to), (from, to), kRename, -1, from, noexcept)
PASS(int, unlink, (const char* path), (path), kUnlink, -1, path, noexcept)
PASS(int, unlinkat, (int fd, const char* path, int flags), (fd, path, flags), kUnlink, fd, nullptr, noexcept)
PASS(int, mkdir, (const char* path, mode_t mode), (path, mode), kMkdir, -1, path, noexcept)
PASS(int, rmdir, (const char* path), (path), kRmdir, -1, path, noexcept)

/// As the C library's, whose own calls do not come by here.
extern "C" int remove(const char* path) noexcept
{
    const int result = unlink(path);
    return result != 0 && errno == EISDIR ? rmdir(path) : result;
}
PASS(int, link, (const char* from, const char* to), (from, to), kLink, -1, to, noexcept)
PASS(int, symlink, (const char* from, const char* to), (from, to), kSymlink, -1, to, noexcept)
PASS(ssize_t, send, (int fd, const void* data, size_t size, int flags), (fd, data, size, flags), kSend, fd, nullptr)
PASS(ssize_t, sendto, (int fd, const void* data, size_t size, int flags, const sockaddr* to, socklen_t length),
     (fd, data, size, flags, to, length), kSend, fd, nullptr)
PASS(ssize_t, sendmsg, (int fd, const msghdr* message, int flags), (fd, message, flags), kSend, fd, nullptr)
PASS(ssize_t, read, (int fd, void* data, size_t size), (fd, data, size), kRead, fd, nullptr)
PASS(ssize_t, pread, (int fd, void* data, size_t size, off_t at), (fd, data, size, at), kPread, fd, nullptr)
PASS(ssize_t, pread64, (int fd, void* data, size_t size, off64_t at), (fd, data, size, at), kPread, fd, nullptr)
PASS(int, accept4, (int fd, sockaddr* from, socklen_t* length, int flags), (fd, from, length, flags), kAccept, fd,
     nullptr)
PASS(int, socket, (int family, int type, int protocol), (family, type, protocol), kSocket, -1, "socket", noexcept)
PASS(int, connect, (int fd, const sockaddr* to, socklen_t length), (fd, to, length), kConnect, fd, nullptr)

// They return the error.
#define PASS_FALLOCATE(name, offset)                        \
    extern "C" int name(int fd, offset from, offset size)   \
    {                                                       \
        static const auto real = next(&name, #name);        \
        if (strikes(kFallocate, fd, nullptr)) return errno; \
        return real(fd, from, size);                        \
    }
PASS_FALLOCATE(posix_fallocate, off_t)
PASS_FALLOCATE(posix_fallocate64, off64_t)

#define MODE_OF(flags, last)                                \
    mode_t mode = 0;                                        \
    if (((flags)&O_CREAT) != 0) {                           \
        va_list rest;                                       \
        va_start(rest, last);                               \
        mode = static_cast<mode_t>(va_arg(rest, unsigned)); \
        va_end(rest);                                       \
    }

#define PASS_OPEN(name)                                                             \
    extern "C" int name(const char* path, int flags, ...)                           \
    {                                                                               \
        static const auto real = next(&name, #name);                                \
        MODE_OF(flags, flags)                                                       \
        if (strikes((flags & O_CREAT) != 0 ? kCreate : kOpen, -1, path)) return -1; \
        return real(path, flags, mode);                                             \
    }
PASS_OPEN(open)
PASS_OPEN(open64)

#define PASS_OPENAT(name)                                                           \
    extern "C" int name(int directory, const char* path, int flags, ...)            \
    {                                                                               \
        static const auto real = next(&name, #name);                                \
        MODE_OF(flags, flags)                                                       \
        if (strikes((flags & O_CREAT) != 0 ? kCreate : kOpen, -1, path)) return -1; \
        return real(directory, path, flags, mode);                                  \
    }
PASS_OPENAT(openat)
PASS_OPENAT(openat64)

// As file streams open: their own open() is inside of the C library.
#define PASS_FOPEN(name)                                                         \
    extern "C" FILE* name(const char* path, const char* mode)                    \
    {                                                                            \
        static const auto real = next(&name, #name);                             \
        if (strikes(mode[0] == 'r' ? kOpen : kCreate, -1, path)) return nullptr; \
        return real(path, mode);                                                 \
    }
PASS_FOPEN(fopen)
PASS_FOPEN(fopen64)

// The wall clock alone: nothing sets the monotonic one.
extern "C" int clock_gettime(clockid_t clock, timespec* now) noexcept
{
    static const auto real = next(&clock_gettime, "clock_gettime");
    const int result = real(clock, now);
    if (clock == CLOCK_REALTIME && control != nullptr) now->tv_sec += control->clock.load();
    return result;
}
