#include "daemon/podman/program_tar.h"

#include <archive.h>
#include <archive_entry.h>

#include <fstream>
#include <iterator>
#include <memory>

#include "daemon/base/error.h"

namespace warmd::podman {

std::string tar_of_program(const std::filesystem::path& program, const std::string& name)
{
    std::ifstream file{program, std::ios::binary};
    const std::string content{std::istreambuf_iterator<char>{file}, {}};
    if (content.empty()) throw Error{ErrorCode::not_found, program.string() + " cannot be read"};

    constexpr std::size_t kFraming = 64 * 1024;  // one header, padding and the end mark, with much to spare
    std::string tar(content.size() + kFraming, '\0');
    std::size_t used = 0;
    const std::unique_ptr<archive, decltype(&archive_write_free)> writer{archive_write_new(), &archive_write_free};
    const std::unique_ptr<archive_entry, decltype(&archive_entry_free)> entry{archive_entry_new(), &archive_entry_free};
    archive_entry_set_pathname(entry.get(), name.c_str());
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    archive_entry_set_perm(entry.get(), 0755);
    archive_entry_set_size(entry.get(), static_cast<la_int64_t>(content.size()));
    const bool good = archive_write_set_format_ustar(writer.get()) == ARCHIVE_OK &&
                      archive_write_open_memory(writer.get(), tar.data(), tar.size(), &used) == ARCHIVE_OK &&
                      archive_write_header(writer.get(), entry.get()) == ARCHIVE_OK &&
                      archive_write_data(writer.get(), content.data(), content.size()) ==
                          static_cast<la_ssize_t>(content.size()) &&
                      archive_write_close(writer.get()) == ARCHIVE_OK;
    if (!good) {
        const char* const words = archive_error_string(writer.get());
        throw Error{ErrorCode::internal, "cannot pack " + program.string()}.with_cause(words == nullptr ? "" : words);
    }
    tar.resize(used);
    return tar;
}

}  // namespace warmd::podman
