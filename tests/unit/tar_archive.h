#pragma once

#include <archive.h>
#include <archive_entry.h>

#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warmd::test {

/// One member of a tar archive.
struct TarMember {
    std::string name;
    std::string content{};
    unsigned type = AE_IFREG;
    std::string link{};  // of a symbolic link
    unsigned mode = 0644;
    std::map<std::string, std::string> attributes{};
    bool operator==(const TarMember&) const = default;
};

/// An archive of `members`, in the order given, as libarchive writes `format` ("ustar", "pax", "gnutar").
inline std::string make_tar(const std::vector<TarMember>& members, const char* format = "ustar")
{
    std::string result;
    const std::unique_ptr<archive, decltype(&archive_write_free)> out{archive_write_new(), &archive_write_free};
    const auto check = [&out](la_ssize_t code) {
        if (code >= ARCHIVE_WARN) return;
        const char* const words = archive_error_string(out.get());
        throw std::runtime_error{words != nullptr ? words : "libarchive failed"};
    };
    check(archive_write_set_format_by_name(out.get(), format));
    check(archive_write_set_bytes_per_block(out.get(), 0));
    check(archive_write_open2(
        out.get(), &result, nullptr,
        [](archive*, void* target, const void* bytes, std::size_t size) -> la_ssize_t {
            static_cast<std::string*>(target)->append(static_cast<const char*>(bytes), size);
            return static_cast<la_ssize_t>(size);
        },
        nullptr, nullptr));
    for (const TarMember& member : members) {
        const std::unique_ptr<archive_entry, decltype(&archive_entry_free)> entry{archive_entry_new(),
                                                                                  &archive_entry_free};
        archive_entry_set_pathname(entry.get(), member.name.c_str());
        archive_entry_set_filetype(entry.get(), member.type);
        archive_entry_set_perm(entry.get(), member.mode);
        archive_entry_set_mtime(entry.get(), 1'700'000'000, 0);
        archive_entry_set_size(entry.get(), static_cast<la_int64_t>(member.content.size()));
        if (!member.link.empty()) archive_entry_set_symlink(entry.get(), member.link.c_str());
        for (const auto& [name, value] : member.attributes) {
            archive_entry_xattr_add_entry(entry.get(), name.c_str(), value.data(), value.size());
        }
        check(archive_write_header(out.get(), entry.get()));
        if (!member.content.empty()) check(archive_write_data(out.get(), member.content.data(), member.content.size()));
    }
    check(archive_write_close(out.get()));
    return result;
}

/// The members of an archive. Throws for what libarchive cannot read to its end.
inline std::vector<TarMember> read_tar(std::string_view bytes)
{
    std::vector<TarMember> members;
    const std::unique_ptr<archive, decltype(&archive_read_free)> in{archive_read_new(), &archive_read_free};
    const auto check = [&in](la_ssize_t code) {
        if (code >= ARCHIVE_OK) return;
        const char* const words = archive_error_string(in.get());
        throw std::runtime_error{words != nullptr ? words : "libarchive failed"};
    };
    check(archive_read_support_format_tar(in.get()));
    check(archive_read_support_format_empty(in.get()));
    check(archive_read_open_memory(in.get(), bytes.data(), bytes.size()));
    archive_entry* entry = nullptr;
    for (;;) {
        const int code = archive_read_next_header(in.get(), &entry);
        if (code == ARCHIVE_EOF) return members;
        check(code);
        TarMember member{.name = archive_entry_pathname(entry),
                         .type = archive_entry_filetype(entry),
                         .mode = archive_entry_perm(entry)};
        if (const char* const link = archive_entry_symlink(entry)) member.link = link;
        const char* name = nullptr;
        const void* value = nullptr;
        std::size_t size = 0;
        archive_entry_xattr_reset(entry);
        while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
            member.attributes[name] = std::string{static_cast<const char*>(value), size};
        }
        member.content.resize(static_cast<std::size_t>(archive_entry_size(entry)));
        if (!member.content.empty()) check(archive_read_data(in.get(), member.content.data(), member.content.size()));
        members.push_back(std::move(member));
    }
}

}  // namespace warmd::test
