#pragma once

#include <chrono>
#include <stop_token>
#include <string>
#include <string_view>

namespace warmd {

using Time = std::chrono::time_point<std::chrono::system_clock, std::chrono::microseconds>;
using Duration = std::chrono::microseconds;
using SteadyTime = std::chrono::steady_clock::time_point;

/// The passing of time, so that tests need not wait for it.
class Clock {
public:
    virtual ~Clock() = default;

    /// The wall clock: for records, never for deadlines (it jumps).
    [[nodiscard]] virtual Time now() const = 0;
    /// Never goes back: for deadlines and measurements.
    [[nodiscard]] virtual SteadyTime steady_now() const = 0;
    /// Blocks for `duration`; returns false at once when `stop` is requested.
    virtual bool sleep_for(Duration duration, std::stop_token stop) = 0;
};

class SystemClock final : public Clock {
public:
    [[nodiscard]] Time now() const override;
    [[nodiscard]] SteadyTime steady_now() const override;
    bool sleep_for(Duration duration, std::stop_token stop) override;
};

/// "2026-01-31T12:00:00.123Z": RFC 3339 in UTC with milliseconds.
std::string format_time(Time time);
/// The reverse. Throws Error{invalid_argument}.
Time parse_time(std::string_view text);

/// "250ms", "30s", "5m", "2h", "7d". Throws Error{invalid_argument} for anything else and for more than a year.
Duration parse_duration(std::string_view text);
/// The reverse, in the largest unit up to hours that says it exactly. Fractions of a millisecond are dropped.
std::string format_duration(Duration duration);

}  // namespace warmd
