// Preloaded into CRIU inside the test host: shows it only the cgroup v2 line of /proc/PID/cgroup.
//
// A container or CI machine may mount cgroup v1 hierarchies beside v2. CRIU walks every hierarchy a process is
// in, dumps its whole tree and creates it again at each restore; the groups this leaves behind in v1 make the
// next dump slower, up to minutes and gigabytes of log. On a pure v2 host there is only the one line anyway.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int is_cgroup(const char *path)
{
    const char *slash = strrchr(path, '/');
    return strcmp(slash ? slash + 1 : path, "cgroup") == 0;
}

// Takes `fd` over; returns a file in memory that holds the line wanted, or -1.
static int filtered(int fd)
{
    char text[65536];
    size_t length = 0;
    ssize_t n;
    while ((n = read(fd, text + length, sizeof text - 1 - length)) > 0)
        length += (size_t)n;
    close(fd);
    text[length] = 0;

    int memory = memfd_create("cgroup", MFD_CLOEXEC);
    for (char *line = text, *next; memory >= 0 && *line; line = next) {
        next = strchr(line, '\n');
        next = next ? next + 1 : line + strlen(line);
        if (strncmp(line, "0::", 3) == 0 && write(memory, line, (size_t)(next - line)) != next - line)
            return -1;
    }
    lseek(memory, 0, SEEK_SET);
    return memory;
}

#define WRAP(name)                                                                       \
    int name(int directory, const char *path, int flags, ...)                            \
    {                                                                                    \
        va_list arguments;                                                               \
        va_start(arguments, flags);                                                      \
        int mode = va_arg(arguments, int);                                               \
        va_end(arguments);                                                               \
        int (*real)(int, const char *, int, ...) = dlsym(RTLD_NEXT, #name);              \
        int fd = real(directory, path, flags, mode);                                     \
        return fd >= 0 && !(flags & O_DIRECTORY) && is_cgroup(path) ? filtered(fd) : fd; \
    }
WRAP(openat)
WRAP(openat64)
