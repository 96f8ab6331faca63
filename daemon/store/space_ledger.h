#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>

#include "daemon/base/error.h"

namespace warmd {

/// Shares the free space of a file system out among the files that are being written to it, so that all of them
/// together leave `floor` bytes free. What others write counts when it is there: it is not known before. Thread-safe.
class SpaceLedger {
public:
    /// How many bytes are free now. May throw Error.
    using FreeBytes = std::function<std::uint64_t()>;

    SpaceLedger(FreeBytes free, std::uint64_t floor) : free_{std::move(free)}, floor_{floor} {}
    SpaceLedger(const SpaceLedger&) = delete;
    SpaceLedger& operator=(const SpaceLedger&) = delete;

    /// What one file may take. Given back at its end: by then the file holds its bytes itself, or is gone. Not
    /// thread-safe in itself; must not outlive the ledger.
    class Reservation {
    public:
        explicit Reservation(SpaceLedger& ledger) : ledger_{ledger} {}
        ~Reservation() { ledger_.give_back(size_ - written_); }
        Reservation(const Reservation&) = delete;
        Reservation& operator=(const Reservation&) = delete;

        /// Sees to it that `bytes` are reserved in all. Returns how many are missing for that; nothing has changed
        /// then.
        [[nodiscard]] std::uint64_t raise(std::uint64_t bytes);

        /// `bytes` are about to be written. What goes beyond the reservation is added to it. Returns as `raise`.
        [[nodiscard]] std::uint64_t take(std::uint64_t bytes);

        /// What to throw when so many are missing.
        [[nodiscard]] Error refusal(std::uint64_t missing) const { return ledger_.refusal(missing); }

    private:
        SpaceLedger& ledger_;
        std::uint64_t size_ = 0;
        std::uint64_t written_ = 0;  // never more than size_
    };

    /// How many bytes are missing for another `bytes`; 0 when they could be had.
    [[nodiscard]] std::uint64_t missing_for(std::uint64_t bytes) const;

    [[nodiscard]] std::uint64_t free() const { return free_(); }
    [[nodiscard]] std::uint64_t floor() const { return floor_; }
    /// Promised, and not written yet.
    [[nodiscard]] std::uint64_t reserved() const;

    /// Error{no_space} with what is missing and what to do.
    [[nodiscard]] Error refusal(std::uint64_t missing) const;

private:
    [[nodiscard]] std::uint64_t add(std::uint64_t bytes);
    void give_back(std::uint64_t bytes);
    [[nodiscard]] std::uint64_t missing(std::uint64_t free, std::uint64_t bytes) const;  // with the mutex held

    const FreeBytes free_;
    const std::uint64_t floor_;
    mutable std::mutex mutex_;
    std::uint64_t reserved_ = 0;  // protected by mutex_
};

}  // namespace warmd
