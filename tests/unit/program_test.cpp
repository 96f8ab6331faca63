#include "daemon/base/program.h"

#include <gtest/gtest.h>

#include <chrono>
#include <stop_token>
#include <thread>

#include "tests/support/temp_dir.h"
#include "tests/unit/expect_error.h"

namespace warmd {
namespace {

using test::contains;
using test::expect_error;

ProgramResult shell(const std::string& script, const std::stop_token& stop = {})
{
    return run_program({"sh", "-c", script}, 1000, stop);
}

TEST(RunProgram, TellsWhatItSaidAndHowItEnded)
{
    const ProgramResult result = shell("echo out; echo wrong >&2; exit 7");
    EXPECT_EQ(result.out, "out\n");
    EXPECT_EQ(result.errors, "wrong\n");
    EXPECT_EQ(result.exit_status, 7);
    EXPECT_EQ(shell("kill -9 $$").exit_status, 137);
    EXPECT_EQ(shell("cat").out, "") << "there is nothing to read";
}

TEST(RunProgram, KeepsTheEndOfWhatIsWrong)
{
    const ProgramResult result = shell("head -c 100000 /dev/zero >&2; echo last >&2");
    EXPECT_LT(result.errors.size(), 20'000U);
    EXPECT_TRUE(result.errors.ends_with("last\n"));
}

TEST(RunProgram, ToldMoreThanTheLimitItKillsIt)
{
    const auto began = std::chrono::steady_clock::now();
    expect_error(ErrorCode::too_large, [] { shell("yes; sleep 600"); });
    EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds{30});
}

TEST(RunProgram, AProgramThatIsNotThereIsNotFound)
{
    expect_error(ErrorCode::not_found, [] { run_program({"no-such-program"}, 10); });
}

TEST(RunProgram, StoppedItEndsWithAllThatItHasStarted)
{
    const test::TempDir directory;
    const std::string mark = (directory / "pid").string();
    std::stop_source stop;
    const std::jthread stopper{[&stop, &mark] {
        while (test::read_file(mark).empty()) std::this_thread::yield();
        stop.request_stop();
    }};
    test::write_file(mark, "");
    expect_error(ErrorCode::cancelled, [&] { shell("sleep 600 & echo $! > " + mark + "; wait", stop.get_token()); });
    const std::string state = shell("grep -s ^State: /proc/$(cat " + mark + ")/status || true").out;
    EXPECT_TRUE(state.empty() || contains(state, "Z")) << state;
}

TEST(RunProgram, WhatIgnoresBeingToldIsKilled)
{
    std::stop_source stop;
    stop.request_stop();
    const auto began = std::chrono::steady_clock::now();
    expect_error(ErrorCode::cancelled, [&] { shell("trap '' TERM; while :; do sleep 1; done", stop.get_token()); });
    EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds{30});
}

}  // namespace
}  // namespace warmd
