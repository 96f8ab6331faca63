#pragma once

#include "daemon/base/clock.h"
#include "daemon/base/guarded.h"

namespace warmd::test {

/// Time that passes only when somebody sleeps: sleeping returns at once and moves the clock.
class ManualClock final : public Clock {
public:
    [[nodiscard]] Time now() const override { return Time{std::chrono::hours{24 * 365 * 56}} + elapsed(); }
    [[nodiscard]] SteadyTime steady_now() const override { return SteadyTime{} + elapsed(); }
    bool sleep_for(Duration duration, std::stop_token stop) override
    {
        elapsed_.with([duration](Duration& elapsed) { elapsed += duration; });
        return !stop.stop_requested();
    }

private:
    [[nodiscard]] Duration elapsed() const
    {
        return elapsed_.with([](const Duration& elapsed) { return elapsed; });
    }

    Guarded<Duration> elapsed_;
};

}  // namespace warmd::test
