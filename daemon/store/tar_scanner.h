#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace warmd {

enum class TarType { file, directory, symbolic_link, hard_link, device, fifo };

/// A member of a tar archive, as its headers say.
struct TarEntry {
    std::string name;  // not empty; as it stands there, directories with or without a slash at the end
    TarType type = TarType::file;
    std::string link;        // the target of a symbolic or hard link
    std::uint64_t size = 0;  // of a file's content; 0 for everything else
};

/// Reads a tar archive that passes by, cut anywhere, and tells what is in it. Holds no more of it than one header.
///
/// Why not libarchive: Podman reads a tarball with Go's archive/tar, `unpack_images` with libarchive, and `TarSplice`
/// with its own eyes. A header that each of them takes for something else (pax records that come twice, a size in two
/// forms, a file whose name ends in a slash, GNU's long names and holes) would show each another archive, and what was
/// found harmless would not be what is unpacked. This one lets through only what all of them read alike: plain ustar
/// with the pax records that Go and libarchive write, uncompressed. tests/fuzz holds it against libarchive.
class TarScanner {
public:
    struct Handler {
        std::function<void(const TarEntry&)> begin;       // of every member
        std::function<void(std::string_view)> content{};  // of files, in pieces
        std::function<void()> end{};                      // of every member
    };

    /// `what` names the archive in errors.
    TarScanner(std::string what, Handler handler);

    /// Throws Error{invalid_archive}, and what the handler throws.
    void write(std::string_view bytes);
    /// Call after the last byte. Throws Error{invalid_archive} when the archive has no proper end.
    void finish() const;

private:
    enum class State { header, extension, content, padding, trailer };

    [[noreturn]] void refuse(const std::string& problem) const;
    void take_header();
    void take_extension();
    void take_member();
    void begin_content(std::uint64_t size, State state);
    void end_content();
    [[nodiscard]] std::string text(std::string_view field, const std::string& extended) const;
    [[nodiscard]] std::uint64_t member_size(bool is_file);

    std::string what_;
    Handler handler_;
    State state_ = State::header;
    std::string block_;            // the header that is being collected
    std::string records_;          // the pax records that are being collected
    std::uint64_t remaining_ = 0;  // of the content or the padding
    std::uint64_t padding_ = 0;    // after the content
    std::uint64_t trailer_ = 0;    // zeros at the end
    bool any_ = false;             // a header was there

    bool extended_ = false;  // the next header is described by pax records, these:
    std::string path_;
    std::string link_;
    bool has_size_ = false;
    std::uint64_t size_ = 0;
};

}  // namespace warmd
