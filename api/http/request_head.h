#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/base/error.h"

namespace warmd::http {

// What a request may be at most. Larger ones are refused before they are read.
inline constexpr std::size_t kMaxHead = 16U * 1024U;    // request line and headers, bytes
inline constexpr std::size_t kMaxTarget = 8U * 1024U;   // path and query, bytes
inline constexpr std::size_t kMaxFields = 64;           // headers
inline constexpr std::size_t kMaxBody = 1024U * 1024U;  // bytes

/// Why a request is refused without being looked at further: the connection is closed after the answer,
/// because where its next request would begin is not certain.
class Refusal : public Error {
public:
    Refusal(int status, Error error) : Error{std::move(error)}, status_{status} {}
    [[nodiscard]] int status() const noexcept { return status_; }

private:
    int status_;
};

/// The first lines of a request that nobody can read in two ways.
struct RequestHead {
    std::size_t size = 0;  // bytes that it takes of the buffer, the empty line included
    std::size_t body = 0;  // bytes that follow it
    std::string method;
    std::string target;
    std::string range;             // the header Range, for those routes that serve parts
    std::string if_range;          // likewise
    bool awaits_continue = false;  // the client holds the body back until it is asked for (RFC 9110, 10.1.1)
    /// The same request line and headers, without those that concern the transfer alone (Content-Length,
    /// Expect, Range): for the parser behind.
    std::string normalised;
};

/// Reads the head at the beginning of `buffer`; nothing while it is not complete. Throws Refusal for
/// everything that RFC 9112 forbids or that two parsers could take for different things: bare line ends,
/// folded lines, Transfer-Encoding and Content-Encoding, a second Content-Length or Host, a body of GET.
std::optional<RequestHead> read_head(std::string_view buffer);

}  // namespace warmd::http
