#include "daemon/podman/rootfs_repair.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <memory>
#include <string_view>
#include <utility>

#include "daemon/base/error.h"
#include "daemon/base/unique_fd.h"

namespace warmd::podman {

namespace {

// The end-of-archive mark that libarchive writes on closing: two blocks of zeros.
constexpr std::uint64_t kEndMark = 1024;

/// Opens below `root` without following any link: the layer's content is the container's to choose.
int open_beneath(int root, const std::string& relative, int flags)
{
    open_how how{};
    how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
    return static_cast<int>(::syscall(SYS_openat2, root, relative.c_str(), &how, sizeof how));
}

std::string read_attribute(int fd, const char* name)
{
    const ssize_t size = ::fgetxattr(fd, name, nullptr, 0);
    std::string value(size > 0 ? static_cast<std::size_t>(size) : 0, '\0');
    if (size > 0 && ::fgetxattr(fd, name, value.data(), value.size()) != size) return {};
    return value;
}

void copy_attributes(int fd, const std::string& path, archive_entry* entry)
{
    std::string names(64 * 1024, '\0');
    const ssize_t size = ::flistxattr(fd, names.data(), names.size());
    if (size < 0 && errno != ENOTSUP) throw system_error("list the extended attributes of " + path, errno);
    names.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    for (std::size_t at = 0; at < names.size();) {
        const char* const name = names.data() + at;
        const std::string_view view{name};
        at += view.size() + 1;
        if (view == "trusted.overlay.metacopy" || view == "trusted.overlay.redirect") {
            throw Error{ErrorCode::engine_failed,
                        "the change of " + path + " cannot be kept: its content is not in the container's layer"}
                .with_hint("remove metacopy=on and redirect_dir=on from mountopt in /etc/containers/storage.conf")
                .with_cause("extended attribute " + std::string{view});
        }
        if (view.starts_with("trusted.overlay.")) continue;
        const std::string value = read_attribute(fd, name);
        archive_entry_xattr_add_entry(entry, name, value.data(), value.size());
    }
}

class EntryWriter {
public:
    explicit EntryWriter(const std::string& spool_directory)
        : spool_{::open(spool_directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)}
    {
        if (!spool_.valid()) throw system_error("make a spool file in " + spool_directory, errno);
        // Go's tar reader understands pax, and its unpacker applies SCHILY.xattr records.
        check(archive_write_set_format_pax_restricted(archive_.get()));
        // File names are bytes: without this libarchive converts them by the locale, and a daemon's is "C".
        check(archive_write_set_format_option(archive_.get(), "pax", "hdrcharset", "BINARY"));
        check(archive_write_set_bytes_per_block(archive_.get(), 0));
        check(archive_write_open_fd(archive_.get(), spool_.get()));
    }

    void add(int root, const std::string& path)
    {
        const std::string relative = path.substr(1);
        const UniqueFd handle{open_beneath(root, relative, O_PATH | O_NOFOLLOW)};
        if (!handle.valid() && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) return;
        struct stat status {};
        if (!handle.valid() || ::fstat(handle.get(), &status) != 0) throw system_error("read " + path, errno);
        if (S_ISSOCK(status.st_mode)) return;  // tar has none, and nobody listens on it after a restore

        const std::unique_ptr<archive_entry, decltype(&archive_entry_free)> entry{archive_entry_new(),
                                                                                  &archive_entry_free};
        archive_entry_copy_stat(entry.get(), &status);
        archive_entry_set_pathname(entry.get(), relative.c_str());
        UniqueFd content;
        if (S_ISLNK(status.st_mode)) {
            std::array<char, 4097> target{};
            if (::readlinkat(handle.get(), "", target.data(), target.size() - 1) < 0) {
                throw system_error("read the link " + path, errno);
            }
            archive_entry_set_symlink(entry.get(), target.data());
        } else if (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode)) {
            content = UniqueFd{open_beneath(root, relative, O_RDONLY | O_NOFOLLOW)};
            if (!content.valid()) throw system_error("open " + path, errno);
            copy_attributes(content.get(), path, entry.get());
        } else if (S_ISCHR(status.st_mode) && status.st_rdev == 0) {
            return;  // an overlay whiteout: Podman records deletions itself
        }
        check(archive_write_header(archive_.get(), entry.get()));
        if (S_ISREG(status.st_mode)) copy_content(content.get(), path, status.st_size);
        check(archive_write_finish_entry(archive_.get()));
        ++count_;
    }

    /// A directory in the place of something else; nothing when there is none.
    void replace(int root, const std::string& path)
    {
        const UniqueFd handle{open_beneath(root, path.substr(1), O_PATH | O_NOFOLLOW)};
        struct stat status {};
        if (!handle.valid() || ::fstat(handle.get(), &status) != 0 || !S_ISDIR(status.st_mode)) return;
        const std::unique_ptr<archive_entry, decltype(&archive_entry_free)> file{archive_entry_new(),
                                                                                 &archive_entry_free};
        archive_entry_set_pathname(file.get(), path.substr(1).c_str());
        archive_entry_set_filetype(file.get(), AE_IFREG);
        archive_entry_set_perm(file.get(), 0600);
        archive_entry_set_size(file.get(), 0);
        archive_entry_set_mtime(file.get(), status.st_mtim.tv_sec, 0);
        check(archive_write_header(archive_.get(), file.get()));
        check(archive_write_finish_entry(archive_.get()));
        ++count_;
        add(root, path);
        replaced_.push_back(path);
    }

    RootfsRepair finish()
    {
        check(archive_write_close(archive_.get()));
        const off_t end = ::lseek(spool_.get(), 0, SEEK_END);
        if (end < static_cast<off_t>(kEndMark)) throw system_error("spool modified files", errno);
        const std::uint64_t size = static_cast<std::uint64_t>(end) - kEndMark;
        const auto spool = std::make_shared<UniqueFd>(std::move(spool_));
        return {.entries = {.size = size,
                            .read =
                                [spool, at = std::uint64_t{0}, size](std::span<char> buffer) mutable {
                                    const std::size_t want = std::min<std::uint64_t>(buffer.size(), size - at);
                                    const ssize_t got = ::pread(spool->get(), buffer.data(), want,
                                                                static_cast<off_t>(at));
                                    if (got < 0) throw system_error("read the spool of modified files", errno);
                                    at += static_cast<std::uint64_t>(got);
                                    return static_cast<std::size_t>(got);
                                }},
                .count = count_,
                .replaced = std::move(replaced_)};
    }

private:
    void copy_content(int fd, const std::string& path, off_t size)
    {
        std::array<char, 64 * 1024> buffer{};
        off_t total = 0;
        while (const ssize_t count = ::read(fd, buffer.data(), buffer.size())) {
            if (count < 0) throw system_error("read " + path, errno);
            if (archive_write_data(archive_.get(), buffer.data(), static_cast<std::size_t>(count)) < 0) check(-1);
            total += count;
        }
        if (total != size) throw Error{ErrorCode::engine_failed, path + " changed while it was read"};
    }

    void check(int result)
    {
        if (result >= ARCHIVE_WARN) return;
        const char* const words = archive_error_string(archive_.get());
        throw system_error("spool modified files", archive_errno(archive_.get()))
            .with_cause(words != nullptr ? words : "");
    }

    UniqueFd spool_;
    std::unique_ptr<archive, decltype(&archive_write_free)> archive_{archive_write_new(), &archive_write_free};
    std::int64_t count_ = 0;
    std::vector<std::string> replaced_;
};

}  // namespace

bool keeps_changes_elsewhere(std::string_view mount_options, bool metacopy_default, bool redirect_default)
{
    bool metacopy = metacopy_default;
    bool redirect = redirect_default;
    while (!mount_options.empty()) {
        const std::string_view option = mount_options.substr(0, mount_options.find(','));
        mount_options.remove_prefix(std::min(mount_options.size(), option.size() + 1));
        if (option.starts_with("metacopy=")) metacopy = option == "metacopy=on";
        if (option.starts_with("redirect_dir=")) redirect = option == "redirect_dir=on";
    }
    return metacopy || redirect;
}

bool keeps_changes_elsewhere(std::string_view mount_options)
{
    const auto is_on = [](const char* parameter) {
        std::ifstream file{std::string{"/sys/module/overlay/parameters/"} + parameter};
        return file.get() == 'Y';
    };
    return keeps_changes_elsewhere(mount_options, is_on("metacopy"), is_on("redirect_dir"));
}

RootfsRepair collect_modified(const std::vector<std::string>& modified, std::vector<std::string> deleted,
                              const std::string& upper_directory, const std::string& spool_directory)
{
    if (modified.empty() && deleted.empty()) return {};
    const UniqueFd root{::open(upper_directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
    if (!root.valid()) throw system_error("open the container's layer " + upper_directory, errno);
    EntryWriter writer{spool_directory};
    const auto is_path = [](const std::string& path) { return path.size() > 1 && path.front() == '/'; };
    // Before all that is in them, those above before those below.
    std::sort(deleted.begin(), deleted.end());
    for (const std::string& path : deleted) {
        if (is_path(path)) writer.replace(root.get(), path);
    }
    for (const std::string& path : modified) {
        if (is_path(path)) writer.add(root.get(), path);
    }
    return writer.finish();
}

}  // namespace warmd::podman
