// Any tar archive, as those within a tarball: what is read must look the same to libarchive, types and links too.
#include "daemon/store/tar_scanner.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/tarball.h"

using namespace warmd;

namespace {

/// Name, type, target and size of a member, as one line.
std::string line(std::string name, char type, const std::string& link, std::uint64_t size)
{
    while (name.size() > 1 && name.ends_with('/')) name.pop_back();
    return name + '\0' + type + link + '\0' + std::to_string(size);
}

char type_of(TarType type)
{
    switch (type) {
    case TarType::file: return 'f';
    case TarType::directory: return 'd';
    case TarType::symbolic_link: return 's';
    case TarType::hard_link: return 'h';
    case TarType::device: return 'v';
    case TarType::fifo: return 'p';
    }
    return '?';
}

char type_of(archive_entry* entry)
{
    if (archive_entry_hardlink(entry) != nullptr) return 'h';
    switch (archive_entry_filetype(entry)) {
    case AE_IFREG: return 'f';
    case AE_IFDIR: return 'd';
    case AE_IFLNK: return 's';
    case AE_IFCHR:
    case AE_IFBLK: return 'v';
    case AE_IFIFO: return 'p';
    default: return '?';
    }
}

std::string link_of(archive_entry* entry)
{
    const char* link = archive_entry_hardlink(entry);
    if (link == nullptr) link = archive_entry_symlink(entry);
    return link == nullptr ? "" : link;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string mended = fuzz::mend_checksums(fuzz::input(data, size));
    std::string_view bytes = mended;
    const std::size_t piece = fuzz::take_piece(bytes);
    std::vector<std::string> scanned;
    std::uint64_t promised = 0;
    std::uint64_t content = 0;
    std::size_t ends = 0;
    TarScanner scanner{"it",
                       {.begin =
                            [&](const TarEntry& entry) {
                                scanned.push_back(line(entry.name, type_of(entry.type), entry.link, entry.size));
                                promised += entry.size;
                            },
                        .content = [&](std::string_view part) { content += part.size(); },
                        .end = [&] { ++ends; }}};
    const bool good = fuzz::accepts([&] {
        fuzz::in_pieces(bytes, piece, [&](std::string_view part) { scanner.write(part); });
        scanner.finish();
    });
    if (!good) return 0;
    // libarchive converts names that are not ASCII by the locale.
    for (const std::string& one : scanned) {
        if (std::any_of(one.begin(), one.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; })) return 0;
    }
    fuzz::require(ends == scanned.size() && content == promised, "all that begins ends");
    const std::unique_ptr<archive, decltype(&archive_read_free)> in{archive_read_new(), &archive_read_free};
    archive_read_support_format_tar(in.get());
    archive_read_set_options(in.get(), "hdrcharset=BINARY");
    fuzz::require(archive_read_open_memory(in.get(), bytes.data(), bytes.size()) == ARCHIVE_OK, "libarchive opens it");
    archive_entry* entry = nullptr;
    int result = ARCHIVE_OK;
    std::size_t at = 0;
    while ((result = archive_read_next_header(in.get(), &entry)) != ARCHIVE_EOF) {
        fuzz::require(result >= ARCHIVE_WARN, "libarchive reads it");
        fuzz::require(at < scanned.size(), "libarchive sees no more members");
        const char type = type_of(entry);
        const std::uint64_t length = type == 'f' ? static_cast<std::uint64_t>(archive_entry_size(entry)) : 0;
        const char* const name = archive_entry_pathname(entry);
        const std::string seen = line(name == nullptr ? "" : name, type, link_of(entry), length);
        if (seen != scanned[at]) std::fprintf(stderr, "%s, not %s\n", seen.c_str(), scanned[at].c_str());
        fuzz::require(seen == scanned[at], "libarchive sees the same member");
        ++at;
    }
    fuzz::require(at == scanned.size(), "libarchive sees all members");
    return 0;
}
