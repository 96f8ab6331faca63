#include "daemon/podman/tar_splice.h"

#include <array>
#include <charconv>
#include <cstring>
#include <ctime>
#include <utility>

#include "daemon/base/error.h"
#include "daemon/base/tar_header.h"

namespace warmd::podman {

namespace {

constexpr std::uint64_t kMaxBuffered = 4U << 20U;

[[noreturn]] void corrupt(const std::string& problem)
{
    throw Error{ErrorCode::corrupt, "the checkpoint tarball is damaged: " + problem};
}

void put_octal(std::string& block, tar::Field at, std::uint64_t number)
{
    for (std::size_t i = at.length - 1; i-- > 0;) {
        block[at.offset + i] = static_cast<char>('0' + (number & 7U));
        number >>= 3U;
    }
    block[at.offset + at.length - 1] = '\0';
}

void put_size(std::string& block, std::uint64_t size)
{
    if (size <= tar::kMaxOctal) {
        put_octal(block, tar::kSize, size);
        return;
    }
    for (std::size_t i = tar::kSize.length; i-- > 0;) {
        block[tar::kSize.offset + i] = static_cast<char>(size & 255U);
        size >>= 8U;
    }
    block[tar::kSize.offset] = static_cast<char>(0x80);
}

void put_checksum(std::string& block)
{
    // Six digits, NUL, space: the one field with its own layout.
    put_octal(block, {tar::kChecksum.offset, 7}, tar::checksum(block));
    block[tar::kChecksum.offset + 7] = ' ';
}

/// The value of `key` in a pax extension; of several the last.
std::string_view pax_value(std::string_view records, std::string_view key)
{
    std::string_view found;
    for (const tar::PaxRecord& record : tar::pax_records(records)) {
        if (record.key == key) found = record.value;
    }
    return found;
}

}  // namespace

TarSplice::TarSplice(ByteSink out) : out_{std::move(out)} {}

void TarSplice::rewrite(std::string member, Rewrite rewrite)
{
    rewrites_.insert_or_assign(std::move(member), std::move(rewrite));
}

const TarSplice::Rewrite* TarSplice::find_rewrite(const std::string& name) const
{
    for (const auto& [member, rewrite] : rewrites_) {
        const std::string_view wanted{member};
        const bool found = wanted.ends_with('*') ? name.starts_with(wanted.substr(0, wanted.size() - 1))
                                                 : name == wanted;
        if (found) return &rewrite;
    }
    return nullptr;
}

void TarSplice::prepend(std::string member, SizedSource prefix)
{
    prefixes_.insert_or_assign(std::move(member), std::move(prefix));
}

void TarSplice::write(std::string_view bytes)
{
    while (!bytes.empty()) {
        std::string_view part;
        switch (state_) {
        case State::header:
            part = bytes.substr(0, tar::kBlock - block_.size());
            block_ += part;
            if (block_.size() == tar::kBlock) take_header();
            break;
        case State::content:
            part = bytes.substr(0, remaining_);
            out_(part);
            remaining_ -= part.size();
            if (remaining_ == 0) {
                if (!pass_padding_) emit_padding(size_out_);
                remaining_ = padding_in_;
                state_ = State::padding;
            }
            break;
        case State::buffered:
            part = bytes.substr(0, remaining_);
            buffer_ += part;
            remaining_ -= part.size();
            if (remaining_ == 0) end_buffered();
            break;
        case State::padding:
            part = bytes.substr(0, remaining_);
            if (pass_padding_) out_(part);
            remaining_ -= part.size();
            break;
        case State::trailer:
            part = bytes;
            if (!tar::is_zero(part)) corrupt("something follows its end");
            trailer_ += part.size();
            out_(part);
            break;
        }
        bytes.remove_prefix(part.size());
        if (state_ == State::padding && remaining_ == 0) {
            state_ = State::header;
            block_.clear();
        }
    }
}

void TarSplice::take_header()
{
    if (tar::is_zero(block_)) {
        add_missing_members();
        out_(std::string(tar::kBlock, '\0'));
        state_ = State::trailer;
        return;
    }
    if (tar::number(block_, tar::kChecksum) != tar::checksum(block_)) corrupt("a header's checksum is wrong");
    const char type = block_[tar::kType];
    std::uint64_t size = tar::number(block_, tar::kSize);
    if (type == 'x' || type == 'g' || type == 'L' || type == 'K') {
        if (size > kMaxBuffered) corrupt("an extended header is too large");
        extension_ = type;
        begin_member({}, size);
        return;
    }
    std::string name{tar::text(block_, tar::kName)};
    if (const auto prefix = tar::text(block_, tar::kPrefix);
        !prefix.empty() && tar::text(block_, tar::kMagic) == "ustar") {
        name = std::string{prefix} + "/" + name;
    }
    if (!next_name_.empty()) name = std::exchange(next_name_, {});
    if (std::exchange(has_next_size_, false)) {
        if (find_rewrite(name) != nullptr || prefixes_.contains(name)) corrupt(name + " is too large to be changed");
        size = next_size_;
    }
    if (name.starts_with("./")) name.erase(0, 2);
    extension_ = '\0';
    // Links and the like carry no content, whatever their header says.
    if (type >= '1' && type <= '6') size = 0;
    members_[name] = size;
    begin_member(name, size);
}

void TarSplice::begin_member(const std::string& name, std::uint64_t size)
{
    name_ = name;
    remaining_ = size;
    padding_in_ = tar::padding(size);
    pass_padding_ = true;
    if (extension_ != '\0' || find_rewrite(name) != nullptr) {
        if (size > kMaxBuffered) corrupt(name + " is too large");
        state_ = State::buffered;
        buffer_.clear();
        if (size == 0) end_buffered();
        return;
    }
    size_out_ = size;
    if (const auto prefix = prefixes_.find(name); prefix != prefixes_.end()) {
        size_out_ += prefix->second.size;
        pass_padding_ = false;
        emit_header(size_out_);
        emit_source(prefix->second);
    } else {
        out_(block_);
    }
    state_ = State::content;
    if (size == 0) {
        if (!pass_padding_) emit_padding(size_out_);
        state_ = State::padding;
    }
}

void TarSplice::end_buffered()
{
    if (extension_ == 'x') {
        next_name_ = pax_value(buffer_, "path");
        const std::string_view size = pax_value(buffer_, "size");
        has_next_size_ = !size.empty();
        if (std::from_chars(size.data(), size.data() + size.size(), next_size_).ec != std::errc{} && has_next_size_) {
            corrupt("a pax header");
        }
    } else if (extension_ == 'L') {
        next_name_ = buffer_.substr(0, buffer_.find('\0'));
    }
    if (const Rewrite* const rewrite = find_rewrite(name_); extension_ == '\0' && rewrite != nullptr) {
        buffer_ = (*rewrite)(buffer_);
    }
    emit_header(buffer_.size());
    out_(buffer_);
    emit_padding(buffer_.size());
    pass_padding_ = false;
    remaining_ = padding_in_;
    state_ = State::padding;
}

void TarSplice::emit_header(std::uint64_t size)
{
    put_size(block_, size);
    put_checksum(block_);
    out_(block_);
}

void TarSplice::emit_source(const SizedSource& source)
{
    std::array<char, 64 * 1024> buffer{};
    std::uint64_t total = 0;
    while (const std::size_t count = source.read(buffer)) {
        out_({buffer.data(), count});
        total += count;
    }
    if (total != source.size) throw Error{ErrorCode::internal, "a tarball's added part changed its size"};
}

void TarSplice::emit_padding(std::uint64_t size)
{
    if (tar::padding(size) != 0) out_(std::string(tar::padding(size), '\0'));
}

void TarSplice::add_missing_members()
{
    for (const auto& [name, prefix] : prefixes_) {
        if (members_.contains(name)) continue;
        block_.assign(tar::kBlock, '\0');
        block_.replace(tar::kName.offset, name.size(), name);
        put_octal(block_, tar::kMode, 0600);
        put_octal(block_, tar::kUid, 0);
        put_octal(block_, tar::kGid, 0);
        put_octal(block_, tar::kMtime, static_cast<std::uint64_t>(std::time(nullptr)));
        block_[tar::kType] = '0';
        block_.replace(tar::kMagic.offset, tar::kMagic.length,
                       std::string_view{"ustar\0"
                                        "00",
                                        8});
        const std::uint64_t size = prefix.size + 2 * tar::kBlock;
        emit_header(size);
        emit_source(prefix);
        out_(std::string(2 * tar::kBlock, '\0'));
        emit_padding(size);
    }
}

void TarSplice::finish()
{
    // Two blocks of zeros end an archive; the first one brought us into this state.
    if (state_ != State::trailer || trailer_ < tar::kBlock) corrupt("it ends too early");
}

}  // namespace warmd::podman
