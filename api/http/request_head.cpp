#include "api/http/request_head.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "daemon/base/text.h"

namespace warmd::http {

namespace {

constexpr std::string_view kLineEnd = "\r\n";

[[noreturn]] void refuse(int status, ErrorCode code, const std::string& message, const std::string& hint = {})
{
    Error error{code, message};
    throw Refusal{status, hint.empty() ? std::move(error) : std::move(error).with_hint(hint)};
}

[[noreturn]] void malformed(const std::string& what)
{
    refuse(400, ErrorCode::invalid_argument, "the request is malformed: " + what, "RFC 9112 has the syntax");
}

bool is_token(std::string_view text)
{
    constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
    return !text.empty() && std::all_of(text.begin(), text.end(), [kMarks](char c) {
        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
               kMarks.find(c) != std::string_view::npos;
    });
}

bool is_field_value(std::string_view text)
{
    return std::all_of(text.begin(), text.end(), [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return c == '\t' || (byte >= 0x20 && byte != 0x7f);
    });
}

std::string_view trim(std::string_view text)
{
    constexpr std::string_view kBlanks = " \t";
    const std::size_t begin = std::min(text.find_first_not_of(kBlanks), text.size());
    text.remove_prefix(begin);
    return text.substr(0, text.find_last_not_of(kBlanks) + 1);
}

std::string_view take_line(std::string_view& rest)
{
    const std::size_t end = rest.find(kLineEnd);
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end + kLineEnd.size());
    return line;
}

void check_line_ends(std::string_view text)
{
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\n' && (i == 0 || text[i - 1] != '\r')) malformed("a line feed without a carriage return");
        if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] != '\n') malformed("a carriage return alone");
        if (text[i] == '\0') malformed("a NUL");
    }
}

void read_request_line(std::string_view line, RequestHead& head)
{
    constexpr std::array<std::string_view, 7> kMethods{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    const std::size_t first = line.find(' ');
    const std::size_t last = line.rfind(' ');
    if (first == std::string_view::npos || first == last) malformed("its first line is not METHOD TARGET VERSION");
    const std::string_view method = line.substr(0, first);
    const std::string_view target = line.substr(first + 1, last - first - 1);
    const std::string_view version = line.substr(last + 1);
    if (!is_token(method)) malformed("its method is not a token");
    if (!version.starts_with("HTTP/")) malformed("its version is not HTTP");
    if (version != "HTTP/1.1" && version != "HTTP/1.0") {
        refuse(505, ErrorCode::invalid_argument, "only HTTP/1.1 is spoken here", "use HTTP/1.1");
    }
    if (std::find(kMethods.begin(), kMethods.end(), method) == kMethods.end()) {
        refuse(501, ErrorCode::method_not_allowed, "no resource does " + printable(method, 20),
               "docs/api.md lists the resources with their methods");
    }
    if (target.size() > kMaxTarget) {
        refuse(414, ErrorCode::too_large, "the path with its query is longer than 8 KiB", "shorten the query");
    }
    const bool visible = std::all_of(target.begin(), target.end(), [](char c) { return c > 0x20 && c < 0x7f; });
    const bool origin_form = target.starts_with('/') && target.find('#') == std::string_view::npos;
    if (!visible || (!origin_form && !(target == "*" && method == "OPTIONS"))) {
        malformed("its target is not an absolute path");
    }
    head.method = method;
    head.target = target;
    head.normalised = std::string{line} + std::string{kLineEnd};
}

void read_length(std::string_view value, RequestHead& head)
{
    const bool digits = !value.empty() &&
                        std::all_of(value.begin(), value.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (!digits) malformed("Content-Length is not a number");
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), head.body);
    if (error != std::errc{} || head.body > kMaxBody) {
        refuse(413, ErrorCode::too_large, "the body is larger than 1 MiB", "put large data in a file of the instance");
    }
}

/// What this server needs to know of a field, and whether the parser behind is to see it.
bool read_field(const std::string& name, std::string_view value, RequestHead& head)
{
    if (name == "transfer-encoding") {
        refuse(411, ErrorCode::invalid_argument, "Transfer-Encoding is not supported", "send Content-Length");
    }
    if (name == "content-encoding" && lower_case(value) != "identity") {
        refuse(415, ErrorCode::unsupported_media, "Content-Encoding is not supported", "send the body as it is");
    }
    if (name == "expect") {
        if (lower_case(value) != "100-continue") {
            refuse(417, ErrorCode::invalid_argument, "only 100-continue can be expected", "leave Expect out");
        }
        head.awaits_continue = true;
        return false;
    }
    if (name == "content-length") {
        read_length(value, head);
        return false;
    }
    // The library behind would serve parts of everything by itself.
    if (name == "range") head.range = value;
    if (name == "if-range") head.if_range = value;
    return name != "range" && name != "if-range";
}

}  // namespace

std::optional<RequestHead> read_head(std::string_view buffer)
{
    constexpr std::string_view kHeadEnd = "\r\n\r\n";
    const std::size_t end = buffer.substr(0, kMaxHead + kHeadEnd.size()).find(kHeadEnd);
    check_line_ends(buffer.substr(0, std::min(end, kMaxHead)));
    if (end == std::string_view::npos || end + kHeadEnd.size() > kMaxHead) {
        if (buffer.size() < kMaxHead) return std::nullopt;
        const bool long_target = buffer.find(kLineEnd) > kMaxTarget + 32;  // a method and a version more
        refuse(long_target ? 414 : 431, ErrorCode::too_large, "the request's head is larger than 16 KiB",
               "send fewer or shorter headers");
    }

    RequestHead head;
    head.size = end + kHeadEnd.size();
    std::string_view rest = buffer.substr(0, end + kLineEnd.size());
    const std::string_view request_line = take_line(rest);
    read_request_line(request_line, head);
    std::size_t fields = 0;
    bool has_length = false;
    bool has_host = false;
    while (!rest.empty()) {
        const std::string_view line = take_line(rest);
        const std::size_t colon = line.find(':');
        if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) malformed("a header without a name");
        const std::string name = lower_case(line.substr(0, colon));
        const std::string_view value = trim(line.substr(colon + 1));
        if (!is_field_value(value)) malformed("the header " + name + " has control characters");
        if (++fields > kMaxFields) {
            refuse(431, ErrorCode::too_large, "the request has more than 64 headers", "send fewer headers");
        }
        if (name == "content-length" && std::exchange(has_length, true)) malformed("Content-Length stands twice");
        if (name == "host" && std::exchange(has_host, true)) malformed("Host stands twice");
        if (read_field(name, value, head)) {
            head.normalised.append(name).append(": ").append(value).append(kLineEnd);
        }
    }
    head.normalised += kLineEnd;
    if (!has_host && request_line.ends_with("1.1")) malformed("HTTP/1.1 needs the header Host");
    const bool bodiless = head.method == "GET" || head.method == "HEAD" || head.method == "OPTIONS";
    if (bodiless && head.body > 0) malformed(head.method + " has no body");
    return head;
}

}  // namespace warmd::http
