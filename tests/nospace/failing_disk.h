#pragma once

#include <filesystem>

namespace warmd::test {

/// A disk that refuses to change: this program's own calls of write, pwrite, writev, fsync, fdatasync, ftruncate,
/// fallocate, open with O_CREAT, mkdir, link and rename fail for files below one directory, those of libraries included
/// (all but what the C library does within itself: fopen). One at a time.
class FailingDisk {
public:
    enum class Until { once, mended };

    /// Lets the `nth` call from now on (1 is the next) fail with `error_number`, and with `mended` all that follow.
    FailingDisk(const std::filesystem::path& root, int nth, Until until, int error_number);
    /// Mends it.
    ~FailingDisk();
    FailingDisk(const FailingDisk&) = delete;
    FailingDisk& operator=(const FailingDisk&) = delete;

    /// Mends it. False when fewer than `nth` calls came: everything has been tried.
    bool mend();
};

}  // namespace warmd::test
