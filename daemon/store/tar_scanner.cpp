#include "daemon/store/tar_scanner.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <set>
#include <system_error>
#include <utility>

#include "daemon/base/error.h"
#include "daemon/base/tar_header.h"
#include "daemon/base/text.h"

namespace warmd {

namespace {

constexpr std::uint64_t kMaxExtension = 1U << 20U;  // Linux allows 64 KiB in one extended attribute
constexpr std::size_t kMaxName = 4096;
constexpr std::size_t kShownName = 200;

struct Compression {
    std::string_view magic;
    const char* name;
};
constexpr std::array<Compression, 4> kCompressions{{{"\x1f\x8b", "gzip"},
                                                    {"\x28\xb5\x2f\xfd", "zstd"},
                                                    {"\xfd"
                                                     "7zXZ",
                                                     "xz"},
                                                    {"BZh", "bzip2"}}};

constexpr std::array<std::string_view, 10> kRecords{"path",  "linkpath", "size",  "uid",   "gid",
                                                    "uname", "gname",    "mtime", "atime", "ctime"};
constexpr std::array<std::string_view, 4> kRecordFamilies{"SCHILY.xattr.", "LIBARCHIVE.xattr.", "SCHILY.fflags",
                                                          "LIBARCHIVE.creationtime"};

bool is_known(const tar::PaxRecord& record)
{
    if (record.key == "hdrcharset") return record.value == "BINARY" || record.value == "ISO-IR 10646 2000 UTF-8";
    return std::find(kRecords.begin(), kRecords.end(), record.key) != kRecords.end() ||
           std::any_of(kRecordFamilies.begin(), kRecordFamilies.end(),
                       [&record](std::string_view family) { return record.key.starts_with(family); });
}

/// Digits, and a NUL or a space after them.
bool is_octal(std::string_view field)
{
    const std::size_t digits = field.find_first_not_of("01234567");
    if (digits == 0 || digits == std::string_view::npos) return false;
    return std::all_of(field.begin() + static_cast<std::ptrdiff_t>(digits), field.end(),
                       [](char c) { return c == '\0' || c == ' '; });
}

/// A number that we do not need: octal, binary, or none. With anything else libarchive takes no header for one.
bool is_number(const std::string& block, tar::Field at)
{
    const std::string_view field = std::string_view{block}.substr(at.offset, at.length);
    const char first = field.front();
    return first == '\0' || first == '\x80' || first == '\xff' || is_octal(field);
}

}  // namespace

TarScanner::TarScanner(std::string what, Handler handler) : what_{std::move(what)}, handler_{std::move(handler)} {}

void TarScanner::refuse(const std::string& problem) const
{
    throw Error{ErrorCode::invalid_archive, what_ + ": " + problem};
}

void TarScanner::write(std::string_view bytes)
{
    while (!bytes.empty()) {
        std::string_view part;
        switch (state_) {
        case State::header:
            part = bytes.substr(0, tar::kBlock - block_.size());
            block_ += part;
            if (block_.size() == tar::kBlock) take_header();
            break;
        case State::extension:
        case State::content:
            part = bytes.substr(0, remaining_);
            if (state_ == State::extension) records_ += part;
            else if (handler_.content) handler_.content(part);
            remaining_ -= part.size();
            if (remaining_ == 0) end_content();
            break;
        case State::padding:
            part = bytes.substr(0, remaining_);
            remaining_ -= part.size();
            if (remaining_ == 0) state_ = State::header;
            break;
        case State::trailer:
            part = bytes;
            if (!tar::is_zero(part)) refuse("something follows the end of the archive");
            trailer_ += part.size();
            break;
        }
        bytes.remove_prefix(part.size());
    }
}

void TarScanner::finish() const
{
    // Two blocks of zeros are an end.
    if (state_ != State::trailer || trailer_ < 2 * tar::kBlock) refuse("it ends too early");
}

void TarScanner::take_header()
{
    if (tar::is_zero(block_)) {
        if (extended_) refuse("a pax header describes nothing");
        state_ = State::trailer;
        trailer_ = tar::kBlock;
        return;
    }
    if (!std::exchange(any_, true)) {
        for (const Compression& one : kCompressions) {
            if (block_.starts_with(one.magic)) {
                refuse(std::string{"it is compressed with "} + one.name + ", and must not be compressed at all");
            }
        }
    }
    const std::string_view magic = std::string_view{block_}.substr(tar::kMagic.offset, tar::kMagic.length);
    if (magic != std::string_view{"ustar\0"
                                  "00",
                                  8})
        refuse("it is no POSIX tar archive");
    const std::string_view sum = std::string_view{block_}.substr(tar::kChecksum.offset, tar::kChecksum.length);
    if (!is_octal(sum) || tar::number(block_, tar::kChecksum) != tar::checksum(block_)) {
        refuse("a header's checksum is wrong");
    }
    for (const tar::Field at : {tar::kMode, tar::kUid, tar::kGid, tar::kMtime, tar::kDeviceMajor, tar::kDeviceMinor}) {
        if (!is_number(block_, at)) refuse("a header has something else where a number should be");
    }
    if (block_[tar::kType] == 'x') take_extension();
    else take_member();
}

void TarScanner::take_extension()
{
    if (std::exchange(extended_, true)) refuse("one pax header follows another");
    const std::string_view size = std::string_view{block_}.substr(tar::kSize.offset, tar::kSize.length);
    const std::uint64_t count = is_octal(size) ? tar::number(block_, tar::kSize) : 0;
    if (count == 0 || count > kMaxExtension) refuse("a pax header is empty or too large");
    records_.clear();
    begin_content(count, State::extension);
}

void TarScanner::begin_content(std::uint64_t size, State state)
{
    block_.clear();
    remaining_ = size;
    padding_ = tar::padding(size);
    state_ = state;
    if (size == 0) end_content();
}

void TarScanner::end_content()
{
    if (state_ == State::content) {
        if (handler_.end) handler_.end();
    } else {
        std::vector<tar::PaxRecord> records;
        try {
            records = tar::pax_records(records_);
        } catch (const Error&) {
            refuse("a pax header is damaged");
        }
        std::set<std::string_view> seen;
        for (const tar::PaxRecord& record : records) {
            if (!seen.insert(record.key).second) refuse("the pax record " + printable(record.key) + " comes twice");
            if (!is_known(record)) refuse("the pax record " + printable(record.key) + " is none of those allowed");
            if (record.key == "path") path_ = text(record.value, "path");
            if (record.key == "linkpath") link_ = text(record.value, "linkpath");
            if (record.key == "size") {
                const auto [end, error] = std::from_chars(record.value.data(),
                                                          record.value.data() + record.value.size(), size_);
                if (error != std::errc{} || end != record.value.data() + record.value.size()) {
                    refuse("a pax record's size is no number");
                }
                has_size_ = true;
            }
        }
    }
    remaining_ = padding_;
    state_ = padding_ == 0 ? State::header : State::padding;
}

/// Of a pax record that is a name.
std::string TarScanner::text(std::string_view value, const std::string& key) const
{
    if (value.empty() || value.size() > kMaxName || value.find('\0') != std::string_view::npos) {
        refuse("the pax record " + key + " is empty or too long, or has a NUL in it");
    }
    return std::string{value};
}

std::uint64_t TarScanner::member_size(bool is_file)
{
    const std::string_view field = std::string_view{block_}.substr(tar::kSize.offset, tar::kSize.length);
    const bool binary = field.front() == '\x80';
    if (!binary && !is_octal(field)) refuse("a size is no number");
    std::uint64_t size = 0;
    try {
        size = tar::number(block_, tar::kSize);
    } catch (const Error&) {
        refuse("a size is out of range");
    }
    if (binary && size <= tar::kMaxOctal) refuse("a size has another form than it needs");
    // The field cannot say more than 8 GiB. Where it does not need help, both must say the same.
    if (std::exchange(has_size_, false) && size != size_) {
        if (size_ <= tar::kMaxOctal || binary) refuse("two sizes of one member differ");
        size = size_;
    }
    if (size > INT64_MAX - tar::kBlock) refuse("a size is out of range");
    if (!is_file && size != 0) refuse("a member that is not a file has a size");
    return size;
}

void TarScanner::take_member()
{
    TarEntry entry;
    switch (block_[tar::kType]) {
    case '0': entry.type = TarType::file; break;
    case '1': entry.type = TarType::hard_link; break;
    case '2': entry.type = TarType::symbolic_link; break;
    case '3':
    case '4': entry.type = TarType::device; break;
    case '5': entry.type = TarType::directory; break;
    case '6': entry.type = TarType::fifo; break;
    default: refuse("a member is of the type '" + printable({&block_[tar::kType], 1}) + "', which is not allowed");
    }
    extended_ = false;
    entry.name = std::exchange(path_, {});
    if (entry.name.empty()) {
        entry.name = tar::text(block_, tar::kName);
        if (const std::string_view prefix = tar::text(block_, tar::kPrefix); !prefix.empty()) {
            entry.name = std::string{prefix} + "/" + entry.name;
        }
    }
    entry.link = std::exchange(link_, {});
    const bool is_link = entry.type == TarType::hard_link || entry.type == TarType::symbolic_link;
    if (entry.link.empty()) entry.link = tar::text(block_, tar::kLink);
    const std::string shown = printable(entry.name, kShownName);
    if (entry.name.empty()) refuse("a member has no name");
    if (is_link != !entry.link.empty()) refuse(shown + " is a link to nothing, or no link and has a target");
    if (entry.type != TarType::directory && entry.name.ends_with('/')) refuse(shown + " is no directory");
    entry.size = member_size(entry.type == TarType::file);
    handler_.begin(entry);
    begin_content(entry.size, State::content);
}

}  // namespace warmd
