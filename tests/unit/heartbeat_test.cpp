#include "daemon/base/heartbeat.h"

#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <functional>
#include <stdexcept>
#include <thread>

#include "tests/support/manual_clock.h"

namespace warmd {
namespace {

using namespace std::chrono_literals;

/// Uses the log before there are threads: its library makes itself at its first use, which ThreadSanitizer cannot see.
class HeartbeatTest : public testing::Test {
protected:
    HeartbeatTest() { spdlog::set_level(spdlog::level::off); }
    ~HeartbeatTest() override { spdlog::set_level(spdlog::level::info); }

    test::ManualClock clock;
};

/// Until it is true; the test's own time limit ends a wait in vain.
void wait_for(const std::function<bool()>& condition)
{
    while (!condition()) std::this_thread::yield();
}

TEST_F(HeartbeatTest, BeatsWhileAllPartsAnswerThoughWithErrors)
{
    std::atomic<int> beats = 0;
    const Heartbeat heart{
        {{"good", [] {}}, {"failing", [] { throw std::runtime_error{"no"}; }}}, 1s, 10s, clock, [&beats] { ++beats; }};
    wait_for([&beats] { return beats > 3; });
}

TEST_F(HeartbeatTest, StopsWhileAPartHangsAndGoesOnWithIt)
{
    std::atomic<int> beats = 0;
    std::atomic<bool> hangs = false;
    {
        const Heartbeat heart{{{"stuck",
                                [&hangs] {
                                    while (hangs) std::this_thread::yield();
                                }}},
                              1s,
                              10s,
                              clock,
                              [&beats] { ++beats; }};
        wait_for([&beats] { return beats > 0; });
        hangs = true;
        // It has stopped when time goes on without a beat.
        int before = -1;
        while (before != beats) {
            before = beats;
            wait_for([this, later = clock.steady_now() + 1000s] { return clock.steady_now() > later; });
        }
        hangs = false;
        wait_for([&] { return beats > before; });
    }
}

}  // namespace
}  // namespace warmd
