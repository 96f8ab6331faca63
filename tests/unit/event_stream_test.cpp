#include "client/event_stream.h"

#include <gtest/gtest.h>

#include <vector>

namespace warmd::client {
namespace {

using std::chrono_literals::operator""ms;

/// Everything that `text` says, fed in pieces of `size` bytes.
std::vector<StreamEvent> feed(EventStreamParser& parser, std::string_view text, std::size_t size = 1000)
{
    std::vector<StreamEvent> events;
    for (; !text.empty(); text.remove_prefix(std::min(size, text.size()))) {
        parser.feed(text.substr(0, size), [&events](const StreamEvent& event) { events.push_back(event); });
    }
    return events;
}

TEST(EventStream, IsTheSameInPiecesOfAnySize)
{
    for (std::size_t size = 1; size < 40; ++size) {
        EventStreamParser parser;
        const auto events = feed(parser, "retry: 70\nid: 7\nevent: change\ndata: {\"a\":1}\ndata: b\n\ndata:c\n\n",
                                 size);
        ASSERT_EQ(events.size(), 2U) << size;
        EXPECT_EQ(events[0].type, "change");
        EXPECT_EQ(events[0].data, "{\"a\":1}\nb");
        EXPECT_EQ(events[0].last_id, "7");
        EXPECT_EQ(events[1].type, "message");
        EXPECT_EQ(events[1].data, "c");
        EXPECT_EQ(events[1].last_id, "7");
        EXPECT_EQ(parser.retry(), 70ms);
    }
}

TEST(EventStream, LinesEndWithAnyOfThree)
{
    for (const char* const text : {"id: 1\r\ndata: x\r\n\r\n", "id: 1\rdata: x\r\r", "id: 1\ndata: x\n\n"}) {
        for (std::size_t size = 1; size < 4; ++size) {
            EventStreamParser parser;
            const auto events = feed(parser, text, size);
            ASSERT_EQ(events.size(), 1U) << text;
            EXPECT_EQ(events[0].data, "x");
            EXPECT_EQ(events[0].last_id, "1");
        }
    }
}

TEST(EventStream, CommentsAndUnknownFieldsAreNoEvents)
{
    EventStreamParser parser;
    EXPECT_TRUE(feed(parser, ": keepalive\n\nwhat: ever\n\nevent: change\n\n").empty());
    EXPECT_EQ(feed(parser, "data\n\n").at(0).type, "message") << "a type is of its own event only";
}

TEST(EventStream, AnIdCountsOnceItsEventIsComplete)
{
    EventStreamParser parser;
    (void)feed(parser, "id: 1\ndata: a\n\nid: 2\ndata: b\n");
    EXPECT_EQ(parser.last_id(), "1");
    (void)feed(parser, "\n");
    EXPECT_EQ(parser.last_id(), "2");
    (void)feed(parser, "id\n\n");
    EXPECT_EQ(parser.last_id(), "");
}

TEST(EventStream, ABadRetryIsNotTaken)
{
    EventStreamParser parser;
    (void)feed(parser, "retry: 5s\nretry:\nretry: -1\n\n");
    EXPECT_FALSE(parser.retry());
}

TEST(EventStream, AByteOrderMarkIsSkipped)
{
    EventStreamParser parser;
    EXPECT_EQ(feed(parser, "\xEF\xBB\xBF"
                           "data: a\n\n")
                  .at(0)
                  .data,
              "a");
}

}  // namespace
}  // namespace warmd::client
