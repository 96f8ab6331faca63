#include "daemon/base/clock.h"

#include <array>
#include <cctype>
#include <charconv>
#include <condition_variable>
#include <cstdio>
#include <ctime>
#include <mutex>
#include <utility>

#include "daemon/base/error.h"

namespace warmd {

namespace {
constexpr std::string_view kDays = "d";  // understood, not written
constexpr std::array<std::pair<std::string_view, long>, 5> kUnits{
    {{"ms", 1'000L}, {"s", 1'000'000L}, {"m", 60'000'000L}, {"h", 3'600'000'000L}, {kDays, 86'400'000'000L}}};
}  // namespace

Time SystemClock::now() const { return std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now()); }

SteadyTime SystemClock::steady_now() const { return std::chrono::steady_clock::now(); }

bool SystemClock::sleep_for(Duration duration, std::stop_token stop)
{
    std::mutex mutex;
    std::condition_variable_any condition;
    std::unique_lock lock{mutex};
    condition.wait_for(lock, stop, duration, [] { return false; });
    return !stop.stop_requested();
}

std::string format_time(Time time)
{
    using namespace std::chrono;
    const auto milliseconds = floor<std::chrono::milliseconds>(time);
    // Not to_time_t: it goes by way of nanoseconds, which end in the year 2262.
    const std::time_t seconds = floor<std::chrono::seconds>(milliseconds).time_since_epoch().count();
    std::tm utc{};
    gmtime_r(&seconds, &utc);
    std::array<char, 40> text{};
    const std::size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &utc);
    std::array<char, 8> fraction{};
    const int rest = static_cast<int>((milliseconds - floor<std::chrono::seconds>(milliseconds)).count());
    std::snprintf(fraction.data(), fraction.size(), ".%03dZ", rest);
    return std::string{text.data(), length} + fraction.data();
}

Time parse_time(std::string_view text)
{
    const std::string copy{text};
    std::tm utc{};
    const char* rest = strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%S", &utc);
    unsigned milliseconds = 0;
    if (rest != nullptr && *rest == '.') {
        const auto [end, error] = std::from_chars(rest + 1, copy.c_str() + copy.size(), milliseconds);
        if (error != std::errc{} || end - rest != 4) rest = nullptr;
        else rest = end;
    }
    if (rest == nullptr || std::string_view{rest, copy.c_str() + copy.size()} != "Z") {
        throw Error{ErrorCode::invalid_argument, "not an RFC 3339 time in UTC: \"" + copy + "\""};
    }
    return Time{std::chrono::seconds{timegm(&utc)} + std::chrono::milliseconds{milliseconds}};
}

Duration parse_duration(std::string_view text)
{
    long count = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    const std::string_view unit{end, static_cast<std::size_t>(text.data() + text.size() - end)};
    constexpr long kYear = 366L * 24 * 3'600'000'000L;
    for (const auto& [name, microseconds] : kUnits) {
        if (error == std::errc{} && unit == name && count >= 0 && count <= kYear / microseconds) {
            return Duration{count * microseconds};
        }
    }
    throw Error{ErrorCode::invalid_argument, "not a duration: \"" + std::string{text} + "\""}.with_hint(
        "write a whole number and a unit: 250ms, 30s, 5m, 2h, 7d (at most a year)");
}

std::string format_duration(Duration duration)
{
    auto unit = kUnits.front();
    for (const auto& candidate : kUnits) {
        if (duration.count() != 0 && duration.count() % candidate.second == 0 && candidate.first != kDays) {
            unit = candidate;
        }
    }
    return std::to_string(duration.count() / unit.second) + std::string{unit.first};
}

}  // namespace warmd
