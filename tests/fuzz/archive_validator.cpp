// Checkpoint tarballs. What is accepted must look the same to the other readers: libarchive, and TarSplice.
#include "daemon/store/archive_validator.h"

#include <archive.h>
#include <archive_entry.h>

#include <map>
#include <memory>
#include <string>

#include "daemon/podman/tar_splice.h"
#include "daemon/store/tar_scanner.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/tarball.h"

using namespace warmd;

namespace {

using Members = std::map<std::string, std::uint64_t>;

std::string plain(std::string name)
{
    while (name.ends_with('/')) name.pop_back();
    return name.starts_with("./") ? name.substr(2) : name;
}

Members as_scanned(std::string_view bytes)
{
    Members members;
    TarScanner scanner{"it", {.begin = [&members](const TarEntry& entry) { members[plain(entry.name)] = entry.size; }}};
    scanner.write(bytes);
    scanner.finish();
    return members;
}

Members as_libarchive(std::string_view bytes)
{
    const std::unique_ptr<archive, decltype(&archive_read_free)> in{archive_read_new(), &archive_read_free};
    archive_read_support_format_tar(in.get());
    archive_read_set_options(in.get(), "hdrcharset=BINARY");
    fuzz::require(archive_read_open_memory(in.get(), bytes.data(), bytes.size()) == ARCHIVE_OK, "libarchive opens it");
    Members members;
    archive_entry* entry = nullptr;
    int result = ARCHIVE_OK;
    while ((result = archive_read_next_header(in.get(), &entry)) != ARCHIVE_EOF) {
        fuzz::require(result >= ARCHIVE_WARN, "libarchive reads it");
        const char* const name = archive_entry_pathname(entry);
        fuzz::require(name != nullptr, "libarchive has a name for each member");
        const bool file = archive_entry_filetype(entry) == AE_IFREG && archive_entry_hardlink(entry) == nullptr;
        members[plain(name)] = file ? static_cast<std::uint64_t>(archive_entry_size(entry)) : 0;
    }
    return members;
}

Members as_spliced(std::string_view bytes)
{
    podman::TarSplice splice{[](std::string_view) {}};
    splice.write(bytes);
    splice.finish();
    Members members;
    for (const auto& [name, size] : splice.members()) members[plain(name)] = size;
    return members;
}

bool look_at(std::string_view bytes, std::size_t piece, ArchiveOrigin origin)
{
    ArchiveValidator validator{origin, {.members = 1000, .nested_members = 1000, .name_bytes = 1U << 20U}};
    return fuzz::accepts([&] {
        fuzz::in_pieces(bytes, piece, [&](std::string_view part) { validator.write(part); });
        validator.finish();
    });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string mended = fuzz::mend_checksums(fuzz::input(data, size));
    std::string_view bytes = mended;
    const std::size_t piece = fuzz::take_piece(bytes);
    const bool own = look_at(bytes, piece, ArchiveOrigin::own);
    const bool foreign = look_at(bytes, bytes.size() + 1, ArchiveOrigin::foreign);
    fuzz::require(own || !foreign, "one's own may do what a foreign one may");
    if (own) {
        const Members members = as_scanned(bytes);
        fuzz::require(members == as_spliced(bytes), "TarSplice sees the same members");
        fuzz::require(members == as_libarchive(bytes), "libarchive sees the same members");
    }
    return 0;
}
