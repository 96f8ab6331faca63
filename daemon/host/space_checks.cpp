#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <sstream>
#include <vector>

#include "daemon/base/error.h"
#include "daemon/base/unique_fd.h"
#include "daemon/host/checks.h"

// Disk and memory.

namespace warmd::checks {

namespace {

constexpr std::uint64_t kMega = 1'000'000;
constexpr std::uint64_t kGiga = 1000 * kMega;

struct Space {
    std::uint64_t free = 0;
    std::uint64_t total = 1;

    [[nodiscard]] std::uint64_t percent() const { return free * 100 / total; }
    [[nodiscard]] std::string text() const
    {
        return std::to_string(free / kMega) + " MB free of " + std::to_string(total / kMega) + " (" +
               std::to_string(percent()) + " %)";
    }
};

Space space_of(const std::filesystem::path& path)
{
    struct statvfs status {};
    if (::statvfs(path.c_str(), &status) != 0) throw system_error("look at " + path.string(), errno);
    return {.free = status.f_bavail * status.f_frsize,
            .total = std::max<std::uint64_t>(1, status.f_blocks * status.f_frsize)};
}

/// Bytes per second of `work` on `bytes`.
template <typename Work>
std::uint64_t rate(std::uint64_t bytes, Work&& work)
{
    const auto begin = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
    return static_cast<std::uint64_t>(static_cast<double>(bytes) / std::max(elapsed.count(), 1e-6));
}

/// TMPDIR of Podman's service, as the drop-ins of its unit set it: it spools each export there.
std::string podman_temporary(const HostFiles& files)
{
    std::string found = "/var/tmp";
    for (const char* const folder : {"/etc/systemd/system/podman.service.d", "/run/systemd/system/podman.service.d"}) {
        for (const std::string& file : files.files(folder, ".conf")) {
            const std::string text = files.text(file).value_or("");
            const std::size_t at = text.rfind("TMPDIR=");
            if (at == std::string::npos) continue;
            found = text.substr(at + 7, text.find_first_of(" \"'\n", at + 7) - at - 7);
        }
    }
    return found;
}

}  // namespace

Finding store_space(const Examined& host)
{
    const Space space = space_of(host.options.store);
    Finding finding{
        .found = host.options.store.string() + ": " + space.text(),
        .why = "a checkpoint takes the memory of its application twice, once as a tarball and once unpacked; "
               "below 5 % free, warmd keeps no unpacked copies and restores are slower"};
    if (space.percent() >= 10 && space.free >= kGiga) return finding;
    finding.status = space.percent() < 5 || space.free < kGiga / 10 ? FindingStatus::problem : FindingStatus::advice;
    finding.fix = "`warmctl df` shows what checkpoints take and `warmctl prune` deletes those that nothing needs; what "
                  "else fills the disk: du -xh --max-depth=2 " +
                  host.options.store.parent_path().string();
    return finding;
}

Finding store_speed(const Examined& host)
{
    constexpr std::uint64_t kBytes = std::uint64_t{64} << 20U;
    constexpr std::uint64_t kSlow = 100 * kMega;
    Finding finding{.why = "a checkpoint is written to this disk once, and read from it by the first restore"};
    if (space_of(host.options.store).free < 10 * kBytes) {
        finding.status = FindingStatus::skipped;
        finding.found = "too little space is free to try it";
        return finding;
    }
    const UniqueFd file{::open(host.options.store.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)};
    if (!file.valid()) throw system_error("write in " + host.options.store.string(), errno);
    std::vector<std::uint64_t> block(std::size_t{1} << 17U);  // 1 MiB, of numbers that no file system can compress
    std::uint64_t number = 88172645463325252U;                // xorshift64
    for (std::uint64_t& word : block) {
        number ^= number << 13U;
        number ^= number >> 7U;
        number ^= number << 17U;
        word = number;
    }
    const std::size_t size = block.size() * sizeof(block.front());
    const std::uint64_t written = rate(kBytes, [&] {
        for (std::uint64_t at = 0; at < kBytes; at += size) {
            if (::pwrite(file.get(), block.data(), size, static_cast<off_t>(at)) != static_cast<ssize_t>(size))
                throw system_error("write in " + host.options.store.string(), errno);
        }
        if (::fsync(file.get()) != 0) throw system_error("sync in " + host.options.store.string(), errno);
    });
    ::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED);
    const std::uint64_t read = rate(kBytes, [&] {
        for (std::uint64_t at = 0; at < kBytes; at += size) {
            if (::pread(file.get(), block.data(), size, static_cast<off_t>(at)) != static_cast<ssize_t>(size))
                throw system_error("read in " + host.options.store.string(), errno);
        }
    });
    finding.found = "writes " + std::to_string(written / kMega) + " MB/s, reads " + std::to_string(read / kMega) +
                    " MB/s";
    if (std::min(written, read) >= kSlow) return finding;
    finding.status = FindingStatus::advice;
    finding.fix = "put store.directory in /etc/warmd/warmd.toml on a faster disk";
    return finding;
}

Finding catalog(const Examined& host)
{
    Finding finding{.found = "nothing is wrong with it",
                    .why = "a damaged catalog is moved aside, and made again from what lies beside the tarballs"};
    const std::filesystem::path& store = host.options.store;
    std::error_code unreadable;
    for (const auto& entry : std::filesystem::directory_iterator{store, unreadable}) {
        const std::string name = entry.path().filename().string();
        if (!name.starts_with("catalog.sqlite.damaged-") || name.ends_with("-wal") || name.ends_with("-shm")) continue;
        finding.status = FindingStatus::advice;
        finding.found = "it was damaged: " + entry.path().string();
        finding.fix = "look at the disk (journalctl -k, smartctl), then delete " + entry.path().string() + "*";
    }
    return finding;
}

Finding export_space(const Examined& host)
{
    const std::string folder = podman_temporary(host.files());
    const Space space = space_of(folder);
    Finding finding{.found = folder + ": " + space.text(),
                    .why = "Podman writes each checkpoint there as a whole before warmd gets its first byte"};
    if (space.free >= kGiga) return finding;
    finding.status = space.free < kGiga / 10 ? FindingStatus::problem : FindingStatus::advice;
    finding.fix = "free space there, or set Environment=TMPDIR=... with `systemctl edit podman.service`";
    return finding;
}

Finding memory(const Examined& host)
{
    Finding finding{.why = "each instance that stands ready holds memory of its own"};
    const auto available = host.files().number("/proc/meminfo", "MemAvailable");
    const auto total = host.files().number("/proc/meminfo", "MemTotal");
    if (!available || !total) {
        finding.status = FindingStatus::skipped;
        finding.found = "the kernel does not tell";
        return finding;
    }
    constexpr long long kFew = 1'000'000;  // kB
    finding.found = std::to_string(*available / 1000) + " MB available of " + std::to_string(*total / 1000);
    if (*available >= kFew) return finding;
    finding.status = FindingStatus::advice;
    finding.fix = "smaller pools (min_idle in the templates), or more memory";
    return finding;
}

}  // namespace warmd::checks
