#include "daemon/store/image_unpacker.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <exception>
#include <memory>
#include <string_view>
#include <vector>

#include "daemon/base/error.h"
#include "daemon/base/unique_fd.h"

namespace warmd {

namespace {

namespace fs = std::filesystem;

using Archive = std::unique_ptr<archive, int (*)(archive*)>;
using Entry = std::unique_ptr<archive_entry, void (*)(archive_entry*)>;

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

class Unpacker {
public:
    Unpacker(const TarballBytes& read, const fs::path& into, std::string link_target)
        : input_{read}, images_{into / kImagesDirectory}, link_target_{std::move(link_target)}
    {
        if (::mkdir(images_.c_str(), 0700) != 0) throw system_error("create " + images_.string(), errno);
        linked_file_ = UniqueFd{::open((into / kLinkedTarball).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
        if (!linked_file_.valid()) throw system_error("create " + (into / kLinkedTarball).string(), errno);
        archive_read_support_format_tar(in_.get());
        archive_write_set_format_pax_restricted(out_.get());
        // File names are bytes: without this libarchive converts them by the locale, and a daemon's is "C".
        archive_write_set_format_option(out_.get(), "pax", "hdrcharset", "BINARY");
        archive_write_open_fd(out_.get(), linked_file_.get());
    }

    void run()
    {
        if (archive_read_open(in_.get(), &input_, nullptr, &Input::take, nullptr) != ARCHIVE_OK) fail_reading();
        archive_entry* entry = nullptr;
        while (true) {
            const int result = archive_read_next_header(in_.get(), &entry);
            if (result == ARCHIVE_EOF) break;
            if (result < ARCHIVE_WARN) fail_reading();
            take(entry);
        }
        if (!linked_) unsupported("there are none");
        if (archive_write_close(out_.get()) < ARCHIVE_WARN) refuse(out_.get(), "writing the linked tarball");
        drain();
    }

private:
    void take(archive_entry* entry)
    {
        std::string_view name{archive_entry_pathname(entry)};
        if (name.starts_with("./")) name.remove_prefix(2);
        const std::string_view directory{kImagesDirectory};
        if (name == directory || name.starts_with(std::string{directory} + "/")) {
            if (!linked_) put_directory(entry);
            name.remove_prefix(std::min(name.size(), directory.size() + 1));
            if (name.empty() && archive_entry_filetype(entry) == AE_IFDIR) return;
            if (name.empty() || name == "." || name == ".." || name.find('/') != std::string_view::npos ||
                archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) != nullptr) {
                unsupported(std::string{name});
            }
            if (!name.starts_with("utsns-")) {
                put_link(std::string{name}, archive_entry_mtime(entry));
                unpack(std::string{name});
                return;
            }
        }
        if (archive_write_header(out_.get(), entry) < ARCHIVE_WARN) refuse(out_.get(), "writing the linked tarball");
        each_block([this](const void* bytes, std::size_t size, la_int64_t) {
            if (archive_write_data(out_.get(), bytes, size) < 0) refuse(out_.get(), "writing the linked tarball");
        });
    }

    void put_directory(archive_entry* like)
    {
        linked_ = true;
        const Entry directory = make_entry(kImagesDirectory, archive_entry_mtime(like));
        archive_entry_set_filetype(directory.get(), AE_IFDIR);
        archive_entry_set_perm(directory.get(), 0700);
        put(directory);
    }

    void put_link(const std::string& name, std::time_t time)
    {
        const Entry link = make_entry(std::string{kImagesDirectory} + "/" + name, time);
        archive_entry_set_filetype(link.get(), AE_IFLNK);
        archive_entry_set_perm(link.get(), 0777);
        archive_entry_set_symlink(link.get(), (link_target_ + "/" + name).c_str());
        put(link);
    }

    static Entry make_entry(const std::string& name, std::time_t time)
    {
        Entry entry{archive_entry_new(), &archive_entry_free};
        archive_entry_set_pathname(entry.get(), name.c_str());
        archive_entry_set_mtime(entry.get(), time, 0);
        return entry;
    }

    void put(const Entry& entry)
    {
        if (archive_write_header(out_.get(), entry.get()) < ARCHIVE_WARN) {
            refuse(out_.get(), "writing the linked tarball");
        }
    }

    void unpack(const std::string& name)
    {
        const fs::path path = images_ / name;
        const UniqueFd file{::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400)};
        if (!file.valid()) throw system_error("create " + path.string(), errno);
        each_block([this, &file, &path](const void* bytes, std::size_t size, la_int64_t offset) {
            const char* from = static_cast<const char*>(bytes);
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
    }

    void leave_space(std::uint64_t written)
    {
        constexpr std::uint64_t kLookEvery = std::uint64_t{64} << 20U;
        unlooked_ += written;
        if (unlooked_ < kLookEvery) return;
        unlooked_ = 0;
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

    [[noreturn]] void fail_reading()
    {
        if (input_.failure) std::rethrow_exception(input_.failure);
        refuse(in_.get(), "reading the tarball");
    }

    Input input_;
    fs::path images_;
    std::string link_target_;
    UniqueFd linked_file_;
    Archive in_{archive_read_new(), &archive_read_free};
    Archive out_{archive_write_new(), &archive_write_free};
    bool linked_ = false;
    std::uint64_t unlooked_ = 0;
};

}  // namespace

void unpack_images(const TarballBytes& read, const fs::path& into, const std::string& link_target)
{
    Unpacker{read, into, link_target}.run();
}

}  // namespace warmd
