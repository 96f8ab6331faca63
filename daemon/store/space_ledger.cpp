#include "daemon/store/space_ledger.h"

#include <algorithm>
#include <string>

namespace warmd {

namespace {

/// Not for each block is the file system asked.
constexpr std::uint64_t kStep = std::uint64_t{16} << 20U;

}  // namespace

std::uint64_t SpaceLedger::Reservation::raise(std::uint64_t bytes)
{
    if (bytes <= size_) return 0;
    const std::uint64_t missing = ledger_.add(bytes - size_);
    if (missing == 0) size_ = bytes;
    return missing;
}

std::uint64_t SpaceLedger::Reservation::take(std::uint64_t bytes)
{
    const std::uint64_t wanted = written_ + bytes;
    // Where there is no whole step left, there may be what is needed.
    if (wanted > size_ && raise(std::max(wanted, size_ + kStep)) != 0) {
        if (const std::uint64_t missing = raise(wanted); missing != 0) return missing;
    }
    written_ = wanted;
    ledger_.give_back(bytes);  // the file system has them from here on
    return 0;
}

std::uint64_t SpaceLedger::missing(std::uint64_t free, std::uint64_t bytes) const
{
    const std::uint64_t wanted = floor_ + reserved_ + bytes;
    return wanted > free ? wanted - free : 0;
}

std::uint64_t SpaceLedger::missing_for(std::uint64_t bytes) const
{
    const std::scoped_lock lock{mutex_};
    return missing(free_(), bytes);
}

std::uint64_t SpaceLedger::add(std::uint64_t bytes)
{
    // Asked with the mutex held: two must not be given the same space.
    const std::scoped_lock lock{mutex_};
    const std::uint64_t lacking = missing(free_(), bytes);
    if (lacking == 0) reserved_ += bytes;
    return lacking;
}

void SpaceLedger::give_back(std::uint64_t bytes)
{
    const std::scoped_lock lock{mutex_};
    reserved_ -= bytes;
}

std::uint64_t SpaceLedger::reserved() const
{
    const std::scoped_lock lock{mutex_};
    return reserved_;
}

Error SpaceLedger::refusal(std::uint64_t missing) const
{
    return Error{ErrorCode::no_space, "there is no room for the checkpoint: " + std::to_string(missing) +
                                          " bytes are missing, with the " + std::to_string(floor_) + " that stay free"}
        .with_hint("warmctl prune deletes checkpoints that nobody will miss, warmctl df shows what takes the space; "
                   "retention.min_free_bytes in warmd.toml is what stays free");
}

}  // namespace warmd
