// Preloaded into everything of a Debian 12 test host: a limit on locked memory that may not be raised is no error.
//
// Its crun, 1.8, lifts that limit before it loads the program that guards a container's devices, and gives up where it
// may not: root of a container or CI machine may lack CAP_SYS_RESOURCE. No kernel since 5.11 counts such programs
// against the limit, and later versions of crun go on.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/resource.h>

#define WRAP(name, limits)                                                                 \
    int name(__rlimit_resource_t resource, const struct limits *limit)                     \
    {                                                                                      \
        int (*real)(__rlimit_resource_t, const struct limits *) = dlsym(RTLD_NEXT, #name); \
        int result = real(resource, limit);                                                \
        return resource == RLIMIT_MEMLOCK && result < 0 && errno == EPERM ? 0 : result;    \
    }
WRAP(setrlimit, rlimit)
WRAP(setrlimit64, rlimit64)
