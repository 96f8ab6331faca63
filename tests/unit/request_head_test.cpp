#include "api/http/request_head.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace warmd::http {
namespace {

/// 0 for an accepted head, -1 for an incomplete one, otherwise the status of the refusal.
int status_of(const std::string& text)
{
    try {
        return read_head(text) ? 0 : -1;
    } catch (const Refusal& refusal) {
        EXPECT_FALSE(std::string{refusal.what()}.empty());
        return refusal.status();
    }
}

std::string get(const std::string& fields, const std::string& target = "/v1/status")
{
    return "GET " + target + " HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n";
}

std::string post(const std::string& fields, const std::string& body = {})
{
    return "POST /v1/x HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n" + body;
}

TEST(RequestHead, ReadsWhatAClientSends)
{
    const auto head = read_head("POST /v1/x?y=1 HTTP/1.1\r\nHost:a\r\nX-Odd:  two words\t\r\nContent-Length: "
                                "3\r\nExpect: 100-Continue\r\n\r\nabcGET");
    ASSERT_TRUE(head);
    EXPECT_EQ(head->method, "POST");
    EXPECT_EQ(head->target, "/v1/x?y=1");
    EXPECT_EQ(head->body, 3U);
    EXPECT_TRUE(head->awaits_continue);
    EXPECT_EQ(head->size, 96U);
    EXPECT_EQ(head->normalised, "POST /v1/x?y=1 HTTP/1.1\r\nhost: a\r\nx-odd: two words\r\n\r\n");
}

TEST(RequestHead, WaitsForTheRestOfEveryPrefix)
{
    const std::string whole = get("Accept: */*\r\n");
    for (std::size_t size = 0; size < whole.size(); ++size) EXPECT_EQ(status_of(whole.substr(0, size)), -1) << size;
    EXPECT_EQ(status_of(whole), 0);
}

TEST(RequestHead, TakesWhatIsAllowed)
{
    for (const std::string& text : std::vector<std::string>{
             "GET / HTTP/1.0\r\n\r\n",
             "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
             get("Content-Length: 0\r\n"),
             get("Content-Encoding: identity\r\n"),
             get("X: \xc3\xa4\r\n"),
             get("", "/" + std::string(kMaxTarget - 1, 'a')),
             post("Content-Length: 1048576\r\n"),
             "DELETE /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
         }) {
        EXPECT_EQ(status_of(text), 0) << text.substr(0, 100);
    }
}

TEST(RequestHead, RefusesWhatTwoParsersCouldReadInTwoWays)
{
    const std::vector<std::pair<std::string, int>> requests{
        // Where the body ends: CL.TE, TE.CL, TE.TE, two lengths, lengths that are not numbers.
        {post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nG"), 411},
        {post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "5c\r\nG"), 411},
        {post("Transfer-Encoding: xchunked\r\n"), 411},
        {post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"), 400},
        {post("Content-Length: 3\r\nContent-Length: 30\r\n", "abc"), 400},
        {post("Content-Length: 3, 3\r\n", "abc"), 400},
        {post("Content-Length: +3\r\n", "abc"), 400},
        {post("Content-Length: 0x3\r\n", "abc"), 400},
        {post("Content-Length: -1\r\n"), 400},
        {post("Content-Length:\r\n"), 400},
        {post("Content-Length: 99999999999999999999999\r\n"), 413},
        {post("Content-Length: 1048577\r\n"), 413},
        {get("Content-Length: 5\r\n") + "GET /", 400},
        {"HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", 400},
        // Where a line ends, and what a header is.
        {"GET / HTTP/1.1\nHost: a\n\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", 400},
        {get("X: a\r\n b\r\n"), 400},
        {get(" X: a\r\n"), 400},
        {get("X : a\r\n"), 400},
        {get("Content-Length\t: 3\r\n"), 400},
        {get("no colon\r\n"), 400},
        {get(": nameless\r\n"), 400},
        {get("X\xc3\xa4: a\r\n"), 400},
        {get("X: a\x01\r\n"), 400},
        {get(std::string{"X: a\0b\r\n", 8}), 400},
        {"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        // Whom it is for.
        {get("Host: b\r\n"), 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {get("", "http://elsewhere/"), 400},
        {get("", "//a b"), 400},
        {get("", "/a#b"), 400},
        {get("", "*"), 400},
        {"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /\tx HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
        {"GET /\r\nHost: a\r\n\r\n", 400},
        {"G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        // What it is.
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
        {"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505},
        {"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 501},
        {"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 501},
        {post("Content-Encoding: gzip\r\nContent-Length: 2\r\n", "\x1f\x8b"), 415},
        {post("Expect: 200-ok\r\n"), 417},
    };
    for (const auto& [text, status] : requests) EXPECT_EQ(status_of(text), status) << text.substr(0, 200);
}

TEST(RequestHead, RefusesFloodsBeforeTheirEnd)
{
    EXPECT_EQ(status_of("GET /" + std::string(kMaxHead, 'a')), 414);
    EXPECT_EQ(status_of(get("", "/" + std::string(kMaxTarget, 'a'))), 414);
    EXPECT_EQ(status_of("GET / HTTP/1.1\r\nX: " + std::string(kMaxHead, 'a')), 431);
    std::string many;
    for (std::size_t i = 0; i < kMaxFields; ++i) many += "X: a\r\n";
    EXPECT_EQ(status_of(get(many)), 431);  // with Host one too many
    EXPECT_EQ(status_of(get(many.substr(6))), 0);
}

TEST(RequestHead, HidesFromTheParserBehindWhatIsNotItsBusiness)
{
    const auto head = read_head(
        get("Range: bytes=0-1\r\nIf-Range: x\r\nREMOTE_ADDR: 1.2.3.4\r\nContent-Length: 0\r\n"));
    ASSERT_TRUE(head);
    EXPECT_EQ(head->normalised, "GET /v1/status HTTP/1.1\r\nhost: a\r\nremote_addr: 1.2.3.4\r\n\r\n");
}

}  // namespace
}  // namespace warmd::http
