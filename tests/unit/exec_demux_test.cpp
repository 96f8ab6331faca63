#include "daemon/podman/exec_demux.h"

#include <gtest/gtest.h>

#include <random>
#include <stdexcept>
#include <string>

#include "tests/unit/expect_error.h"

namespace warmd::podman {
namespace {

using warmd::test::expect_error;

std::string frame(char stream, std::string_view data)
{
    std::string header{stream, '\0', '\0', '\0'};
    for (const unsigned shift : {24U, 16U, 8U, 0U}) header += static_cast<char>(data.size() >> shift & 255U);
    return header + std::string{data};
}

struct Collected {
    std::string out;
    std::string err;
    ExecDemux demux{
        [this](ExecStream stream, std::string_view bytes) { (stream == ExecStream::out ? out : err) += bytes; }};
};

TEST(ExecDemux, TellsTheStreamsApart)
{
    Collected got;
    got.demux.write(frame(1, "to out") + frame(2, "to err") + frame(1, ", more"));
    EXPECT_EQ(got.out, "to out, more");
    EXPECT_EQ(got.err, "to err");
}

TEST(ExecDemux, TakesTheStreamCutAtEveryByte)
{
    const std::string stream = frame(1, "hello") + frame(2, std::string("\0\1\2", 3)) + frame(1, "") + frame(1, "bye");
    for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
        Collected got;
        got.demux.write(std::string_view{stream}.substr(0, cut));
        got.demux.write(std::string_view{stream}.substr(cut));
        ASSERT_EQ(got.out, "hellobye") << cut;
        ASSERT_EQ(got.err, std::string("\0\1\2", 3)) << cut;
    }
}

TEST(ExecDemux, TakesTheStreamOneByteAtATime)
{
    const std::string stream = frame(1, "hello") + frame(2, "oops");
    Collected got;
    for (const char& byte : stream) got.demux.write({&byte, 1});
    EXPECT_EQ(got.out, "hello");
    EXPECT_EQ(got.err, "oops");
}

TEST(ExecDemux, PassesOnAllOfALargeFrameCutAnywhere)
{
    std::mt19937 random{1};
    std::string data;
    for (int i = 0; i < 300'000; ++i) data += static_cast<char>(random());
    const std::string stream = frame(2, data) + frame(1, "end");
    Collected got;
    std::uniform_int_distribution<std::size_t> length{1, 70'000};
    for (std::size_t at = 0; at < stream.size();) {
        const std::size_t count = length(random);
        got.demux.write(std::string_view{stream}.substr(at, count));
        at += count;
    }
    EXPECT_EQ(got.err, data);
    EXPECT_EQ(got.out, "end");
}

TEST(ExecDemux, PassesOnAFramesBytesBeforeTheFrameIsComplete)
{
    Collected got;
    got.demux.write(frame(1, "0123456789").substr(0, 12));
    EXPECT_EQ(got.out, "0123");
}

TEST(ExecDemux, CallsNobodyForAnEmptyFrame)
{
    int calls = 0;
    ExecDemux demux{[&calls](ExecStream, std::string_view) { ++calls; }};
    demux.write(frame(1, "") + frame(2, ""));
    EXPECT_EQ(calls, 0);
}

TEST(ExecDemux, ReadsTheLengthAsUnsignedAndBigEndian)
{
    std::string header{'\1', '\0', '\0', '\0', '\xFF', '\0', '\0', '\2'};
    Collected got;
    got.demux.write(header + std::string(1000, 'x') + frame(2, "still content"));
    EXPECT_EQ(got.out.size(), 1000U + 8 + 13);
    EXPECT_TRUE(got.err.empty());
}

TEST(ExecDemux, RefusesAStreamThatIsNotMultiplexed)
{
    for (const std::string& stream :
         {std::string{"plain text, as a terminal would get"}, std::string(1, '\3') + std::string(7, '\0'),
          std::string("\1\1\0\0\0\0\0\0", 8), std::string("\1\0\0\1\0\0\0\0", 8)}) {
        Collected got;
        expect_error(ErrorCode::engine_failed, [&] { got.demux.write(stream); });
        EXPECT_TRUE(got.out.empty());
    }
}

TEST(ExecDemux, LetsTheOutputsExceptionThrough)
{
    ExecDemux demux{[](ExecStream, std::string_view) { throw std::runtime_error{"the client is gone"}; }};
    EXPECT_THROW(demux.write(frame(1, "x")), std::runtime_error);
}

}  // namespace
}  // namespace warmd::podman
