#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/ports/container_engine.h"

namespace warmd::podman {

/// Bytes of known size that are produced when they are needed.
struct SizedSource {
    std::uint64_t size = 0;
    ByteSource read;
};

/// Passes a checkpoint tarball through, changing a few of its top-level members on the way, without ever
/// holding more of it than the largest member to be rewritten. The content of all others stays as it is.
///
/// Why not libarchive: it pulls its input and re-encodes every header, whereas this sits in the middle of
/// two pushing streams and has to leave gigabytes of memory pages untouched.
class TarSplice {
public:
    using Rewrite = std::function<std::string(const std::string& content)>;

    explicit TarSplice(ByteSink out);

    /// Replaces the content of `member` (4 MiB at most), or, where that ends with "*", of all that begin so. Set before
    /// the first `write`.
    void rewrite(std::string member, Rewrite rewrite);
    /// Puts `prefix` before the content of `member`. Where the tarball has no such member, one is added at
    /// its end with `prefix` and 1024 zero bytes: a tar archive in a tarball. Set before the first `write`.
    void prepend(std::string member, SizedSource prefix);

    /// Takes the next piece, cut anywhere. Throws Error{corrupt} for what is not a tar archive.
    void write(std::string_view bytes);
    /// Call at the end. Throws Error{corrupt} when the archive is not complete.
    void finish();

    /// The members that have come by, with the sizes they came with.
    [[nodiscard]] const std::map<std::string, std::uint64_t>& members() const { return members_; }

private:
    enum class State { header, content, buffered, padding, trailer };

    void take_header();
    [[nodiscard]] const Rewrite* find_rewrite(const std::string& name) const;
    void begin_member(const std::string& name, std::uint64_t size);
    void end_buffered();
    void emit_header(std::uint64_t size);
    void emit_source(const SizedSource& source);
    void emit_padding(std::uint64_t size);
    void add_missing_members();

    ByteSink out_;
    std::map<std::string, Rewrite> rewrites_;
    std::map<std::string, SizedSource> prefixes_;
    std::map<std::string, std::uint64_t> members_;

    State state_ = State::header;
    std::string block_;            // the header being collected
    std::string buffer_;           // the content being collected
    std::string name_;             // of the current member
    std::uint64_t remaining_ = 0;  // of the current content or padding
    std::uint64_t padding_in_ = 0;
    std::uint64_t trailer_ = 0;   // zeros after the first block of the end mark
    std::uint64_t size_out_ = 0;  // of the current member's content as it leaves; for its padding
    bool pass_padding_ = true;
    char extension_ = '\0';  // the current member is a pax or GNU extension that describes the next one
    std::string next_name_;  // from such an extension
    std::uint64_t next_size_ = 0;
    bool has_next_size_ = false;
};

}  // namespace warmd::podman
