// warm-memory: memory of known size and content, for measuring restores, and the copies that they are compared with.
//
//   warm-memory fill KIND MEGABYTES [FILE]  fills as much, creates FILE (/run/warm/initialised) and waits for ever.
//                                           KIND random: no two pages are alike; zero-rich: three quarters of each
//                                           megabyte are zero, but written
//   warm-memory check [FILE]                has the process that made FILE compare its memory with what it wrote
//   warm-memory copy MEGABYTES              prints the milliseconds that copying as much into fresh memory takes
//   warm-memory read FILE                   prints the milliseconds that reading FILE into fresh memory takes
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { kPage = 4096, kMegabyte = 1 << 20, kPagesOfMegabyte = kMegabyte / kPage };

static void die(const char* what)
{
    fprintf(stderr, "warm-memory: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int usage(void)
{
    fputs("usage: warm-memory fill random|zero-rich MEGABYTES [FILE] | check [FILE] | copy MEGABYTES | read FILE\n",
          stderr);
    return 2;
}

static size_t bytes_of(const char* megabytes)
{
    char* end;
    errno = 0;
    const unsigned long count = strtoul(megabytes, &end, 10);
    if (errno || *end || count < 1 || count > 1 << 20) exit(usage());
    return count * kMegabyte;
}

static unsigned char* fresh_memory(size_t bytes)
{
    unsigned char* memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) die("mmap");
    return memory;
}

// A page depends on its number alone, so that it can be told later whether it is still the same.
static void make_page(unsigned char* page, size_t number, int zero_rich)
{
    if (zero_rich && number % kPagesOfMegabyte >= kPagesOfMegabyte / 4) {
        memset(page, 0, kPage);
        return;
    }
    uint64_t state = (number + 1) * 0x9e3779b97f4a7c15u;
    for (size_t at = 0; at < kPage; at += sizeof state) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        memcpy(page + at, &state, sizeof state);
    }
}

static int is_same(const unsigned char* memory, size_t bytes, int zero_rich)
{
    unsigned char page[kPage];
    for (size_t number = 0; number < bytes / kPage; number++) {
        make_page(page, number, zero_rich);
        if (memcmp(memory + number * kPage, page, kPage) != 0) return 0;
    }
    return 1;
}

static char* answer_of(const char* file)
{
    char* name;
    if (asprintf(&name, "%s.checked", file) < 0) die("asprintf");
    return name;
}

// Complete as soon as it is there.
static void write_file(const char* name, const char* format, int value)
{
    char* partial;
    if (asprintf(&partial, "%s.partial", name) < 0) die("asprintf");
    FILE* file = fopen(partial, "w");
    if (!file || fprintf(file, format, value) < 0 || fclose(file) != 0 || rename(partial, name) != 0) die(name);
    free(partial);
}

static int read_file(const char* name, int* value)
{
    FILE* file = fopen(name, "r");
    if (!file) return 0;
    const int found = fscanf(file, "%d", value);
    fclose(file);
    return found == 1;
}

static int fill(const char* kind, const char* megabytes, const char* file)
{
    const int zero_rich = strcmp(kind, "zero-rich") == 0;
    if (!zero_rich && strcmp(kind, "random") != 0) return usage();
    sigset_t asked;
    sigemptyset(&asked);
    sigaddset(&asked, SIGUSR1);
    sigprocmask(SIG_BLOCK, &asked, NULL);
    const size_t bytes = bytes_of(megabytes);
    unsigned char* memory = fresh_memory(bytes);
    for (size_t number = 0; number < bytes / kPage; number++) make_page(memory + number * kPage, number, zero_rich);
    char* answer = answer_of(file);
    write_file(file, "%d\n", getpid());
    for (;;) {  // a restore interrupts the call
        if (sigwaitinfo(&asked, NULL) == SIGUSR1) write_file(answer, "%d\n", is_same(memory, bytes, zero_rich));
    }
}

static int check(const char* file)
{
    int pid;
    if (!read_file(file, &pid)) die(file);
    char* answer = answer_of(file);
    unlink(answer);
    if (kill(pid, SIGUSR1) != 0) die("kill");
    int same;
    while (!read_file(answer, &same)) {
        if (kill(pid, 0) != 0) die("the process that made the memory");
        const struct timespec moment = {.tv_nsec = 10 * 1000 * 1000};
        nanosleep(&moment, NULL);
    }
    puts(same ? "same" : "different");
    return same ? 0 : 1;
}

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int copy(const char* megabytes)
{
    const size_t bytes = bytes_of(megabytes);
    unsigned char* source = fresh_memory(bytes);
    memset(source, 1, bytes);
    const double before = now_ms();
    unsigned char* target = fresh_memory(bytes);
    memcpy(target, source, bytes);
    const double after = now_ms();
    if (target[bytes - 1] != 1) die("copy");  // somebody has to look at it, or the copy may be left out
    printf("%.3f\n", after - before);
    return 0;
}

static int read_into_memory(const char* name)
{
    const int fd = open(name, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) die(name);
    const size_t bytes = (size_t)status.st_size;
    const double before = now_ms();
    unsigned char* target = fresh_memory(bytes);
    for (size_t done = 0; done < bytes;) {
        const ssize_t count = read(fd, target + done, bytes - done);
        if (count <= 0) die(name);
        done += (size_t)count;
    }
    printf("%.3f\n", now_ms() - before);
    return 0;
}

int main(int count, char** words)
{
    const char* command = count > 1 ? words[1] : "";
    const char* file = "/run/warm/initialised";
    if (strcmp(command, "fill") == 0 && count == 4) return fill(words[2], words[3], file);
    if (strcmp(command, "fill") == 0 && count == 5) return fill(words[2], words[3], words[4]);
    if (strcmp(command, "check") == 0 && count <= 3) return check(count == 3 ? words[2] : file);
    if (strcmp(command, "copy") == 0 && count == 3) return copy(words[2]);
    if (strcmp(command, "read") == 0 && count == 3) return read_into_memory(words[2]);
    return usage();
}
