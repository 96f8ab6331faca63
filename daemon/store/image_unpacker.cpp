#include "daemon/store/image_unpacker.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <exception>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/base/error.h"
#include "daemon/base/sha256.h"
#include "daemon/base/unique_fd.h"

namespace warmd {

namespace {

namespace fs = std::filesystem;

using Archive = std::unique_ptr<archive, int (*)(archive*)>;

/// A cache leaves this part of the file system to those who need it more.
constexpr std::uint64_t kLeaveFree = 20;  // one part in twenty

[[noreturn]] void refuse(archive* from, const char* attempted)
{
    const char* const words = archive_error_string(from);
    const int error = archive_errno(from);
    if (error == ENOSPC || error == EDQUOT) throw system_error(attempted, error);
    throw Error{ErrorCode::corrupt, std::string{attempted} + " failed"}.with_cause(words != nullptr ? words : "");
}

[[noreturn]] void unsupported(const std::string& name)
{
    throw Error{ErrorCode::unsupported_media, "the tarball's images are not plain files in one directory: " + name};
}

/// Hands the bytes to libarchive, and keeps what `read` throws from passing through C.
struct Input {
    const TarballBytes& read;
    std::vector<char> buffer = std::vector<char>(std::size_t{256} * 1024);
    std::exception_ptr failure;

    static la_ssize_t take(archive* from, void* self, const void** bytes)
    {
        auto& input = *static_cast<Input*>(self);
        try {
            *bytes = input.buffer.data();
            return static_cast<la_ssize_t>(input.read(input.buffer));
        } catch (...) {
            input.failure = std::current_exception();
            archive_set_error(from, EIO, "the tarball cannot be read");
            return -1;
        }
    }
};

void set_format(archive* out)
{
    archive_write_set_format_pax_restricted(out);
    // File names are bytes: without this libarchive converts them by the locale, and a daemon's is "C".
    archive_write_set_format_option(out, "pax", "hdrcharset", "BINARY");
}

class Unpacker {
public:
    Unpacker(const TarballBytes& read, const fs::path& into, const std::function<bool()>& may_grow)
        : input_{read}, may_grow_{may_grow}, images_{into / kImagesDirectory}
    {
        if (::mkdir(images_.c_str(), 0700) != 0) throw system_error("create " + images_.string(), errno);
        rest_file_ = UniqueFd{::open((into / kRestTarball).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
        if (!rest_file_.valid()) throw system_error("create " + (into / kRestTarball).string(), errno);
        archive_read_support_format_tar(in_.get());
        set_format(out_.get());
        archive_write_set_bytes_in_last_block(out_.get(), 1);
        archive_write_open(out_.get(), this, nullptr, &Unpacker::put_rest, nullptr);
    }

    UnpackedSums run()
    {
        if (archive_read_open(in_.get(), &input_, nullptr, &Input::take, nullptr) != ARCHIVE_OK) fail_reading();
        archive_entry* entry = nullptr;
        while (true) {
            const int result = archive_read_next_header(in_.get(), &entry);
            if (result == ARCHIVE_EOF) break;
            // Nor what libarchive would skip: then there is an entry that has no name.
            if (result == ARCHIVE_RETRY || result < ARCHIVE_WARN) fail_reading();
            take(entry);
        }
        if (!found_) unsupported("there are none");
        if (archive_write_close(out_.get()) < ARCHIVE_WARN) fail_writing();
        drain();
        sums_.rest = rest_sum_.hex_digest();
        return std::move(sums_);
    }

private:
    static la_ssize_t put_rest(archive* out, void* self, const void* bytes, std::size_t size)
    {
        auto& unpacker = *static_cast<Unpacker*>(self);
        const ssize_t count = ::write(unpacker.rest_file_.get(), bytes, size);
        if (count < 0) {
            unpacker.write_error_ = errno;
            archive_set_error(out, errno, "write error");
            return -1;
        }
        try {
            unpacker.rest_sum_.update({static_cast<const char*>(bytes), static_cast<std::size_t>(count)});
        } catch (const Error& error) {  // which must not pass through C
            archive_set_error(out, EIO, "%s", error.what());
            return -1;
        }
        return count;
    }

    void take(archive_entry* entry)
    {
        const char* const path = archive_entry_pathname(entry);
        if (path == nullptr) unsupported("a member has no name");
        std::string_view name{path};
        if (name.starts_with("./")) name.remove_prefix(2);
        const std::string_view directory{kImagesDirectory};
        if (name == directory || name.starts_with(std::string{directory} + "/")) {
            found_ = true;
            name.remove_prefix(std::min(name.size(), directory.size() + 1));
            if (name.empty() && archive_entry_filetype(entry) == AE_IFDIR) return;
            if (name.empty() || name == "." || name == ".." || name.find('/') != std::string_view::npos ||
                archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) != nullptr) {
                unsupported(std::string{name});
            }
            unpack(std::string{name});
            return;
        }
        if (archive_write_header(out_.get(), entry) < ARCHIVE_WARN) fail_writing();
        each_block([this](const void* bytes, std::size_t size, la_int64_t) {
            if (archive_write_data(out_.get(), bytes, size) < 0) fail_writing();
        });
    }

    void unpack(const std::string& name)
    {
        const fs::path path = images_ / name;
        const UniqueFd file{::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400)};
        if (!file.valid()) throw system_error("create " + path.string(), errno);
        Sha256 sum;
        la_int64_t end = 0;
        each_block([this, &file, &path, &sum, &end](const void* bytes, std::size_t size, la_int64_t offset) {
            const char* from = static_cast<const char*>(bytes);
            static constexpr std::array<char, 4096> kZeros{};
            while (end < offset) {  // a hole reads as zeros
                const auto part = std::min<la_int64_t>(offset - end, kZeros.size());
                sum.update({kZeros.data(), static_cast<std::size_t>(part)});
                end += part;
            }
            sum.update({from, size});
            end = offset + static_cast<la_int64_t>(size);
            while (size > 0) {
                const ssize_t count = ::pwrite(file.get(), from, size, offset);
                if (count < 0 && errno == EINTR) continue;
                if (count < 0) throw system_error("write " + path.string(), errno);
                from += count;
                offset += count;
                size -= static_cast<std::size_t>(count);
                leave_space(static_cast<std::uint64_t>(count));
            }
        });
        sums_.images[name] = sum.hex_digest();
    }

    void leave_space(std::uint64_t written)
    {
        constexpr std::uint64_t kLookEvery = std::uint64_t{64} << 20U;
        unlooked_ += written;
        if (unlooked_ < kLookEvery) return;
        unlooked_ = 0;
        if (may_grow_ && !may_grow_()) throw Error{ErrorCode::no_space, "what is free is for checkpoints"};
        struct statvfs space {};
        if (::statvfs(images_.c_str(), &space) != 0 || space.f_bavail >= space.f_blocks / kLeaveFree) return;
        throw Error{ErrorCode::no_space, "less than a twentieth of the store's file system is free"};
    }

    template <typename Fn>
    void each_block(Fn&& fn)
    {
        const void* bytes = nullptr;
        std::size_t size = 0;
        la_int64_t offset = 0;
        while (true) {
            const int result = archive_read_data_block(in_.get(), &bytes, &size, &offset);
            if (result == ARCHIVE_EOF) return;
            if (result < ARCHIVE_WARN) fail_reading();
            fn(bytes, size, offset);
        }
    }

    /// libarchive stops at the end mark; whoever reads along wants all.
    void drain()
    {
        while (input_.read(input_.buffer) > 0) {
        }
    }

    /// What the disk does not take says nothing about the tarball; what libarchive cannot write does.
    [[noreturn]] void fail_writing()
    {
        constexpr const char* kAttempted = "write the rest of the tarball";
        if (write_error_ != 0) throw system_error(kAttempted, write_error_);
        refuse(out_.get(), kAttempted);
    }

    [[noreturn]] void fail_reading()
    {
        if (input_.failure) std::rethrow_exception(input_.failure);
        refuse(in_.get(), "reading the tarball");
    }

    Input input_;
    const std::function<bool()>& may_grow_;
    fs::path images_;
    UniqueFd rest_file_;
    Sha256 rest_sum_;  // both outlive `out_`, which writes when it is given up
    Archive in_{archive_read_new(), &archive_read_free};
    Archive out_{archive_write_new(), &archive_write_free};
    UnpackedSums sums_;
    bool found_ = false;
    int write_error_ = 0;  // errno of the first
    std::uint64_t unlooked_ = 0;
};

}  // namespace

UnpackedSums unpack_images(const TarballBytes& read, const fs::path& into, const std::function<bool()>& may_grow)
{
    return Unpacker{read, into, may_grow}.run();
}

UniqueFd link_images(const fs::path& rest, const fs::path& images, const fs::path& scratch)
{
    UniqueFd file{::open(scratch.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)};
    if (!file.valid()) throw system_error("make a file in " + scratch.string(), errno);
    const Archive out{archive_write_new(), &archive_write_free};
    set_format(out.get());
    archive_write_set_bytes_per_block(out.get(), 0);
    archive_write_open_fd(out.get(), file.get());
    const std::unique_ptr<archive_entry, decltype(&archive_entry_free)> link{archive_entry_new(), &archive_entry_free};
    archive_entry_set_pathname(link.get(), kImagesDirectory);
    archive_entry_set_filetype(link.get(), AE_IFLNK);
    archive_entry_set_perm(link.get(), 0777);
    archive_entry_set_mtime(link.get(), std::time(nullptr), 0);
    archive_entry_set_symlink(link.get(), images.c_str());
    if (archive_write_header(out.get(), link.get()) < ARCHIVE_WARN || archive_write_close(out.get()) < ARCHIVE_WARN) {
        refuse(out.get(), "linking images");
    }
    // Over libarchive's end mark: the rest has its own.
    constexpr off_t kEndMark = 1024;
    if (::lseek(file.get(), -kEndMark, SEEK_END) < 0) throw system_error("link images", errno);
    const UniqueFd from{::open(rest.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC)};
    if (!from.valid()) throw system_error("open " + rest.string(), errno);
    std::vector<char> buffer(std::size_t{64} * 1024);
    while (const ssize_t count = ::read(from.get(), buffer.data(), buffer.size())) {
        if (count < 0) throw system_error("read " + rest.string(), errno);
        if (::write(file.get(), buffer.data(), static_cast<std::size_t>(count)) != count) {
            throw system_error("link images", errno);
        }
    }
    if (::lseek(file.get(), 0, SEEK_SET) < 0) throw system_error("link images", errno);
    return file;
}

}  // namespace warmd
