#include "api/http/request_key.h"

#include <algorithm>
#include <utility>

#include "daemon/base/error.h"
#include "daemon/base/sha256.h"

namespace warmd::http {

namespace {

constexpr std::size_t kLongestKey = 255;

Error wrong(const std::string& problem)
{
    return Error{ErrorCode::invalid_argument, problem}
        .with_field("Idempotency-Key")
        .with_hint("1 to 255 printable ASCII characters, such as a UUID, bare or in double quotes");
}

/// The contents of a string of RFC 8941, 3.3.3.
std::string unquote(std::string_view text)
{
    std::string value;
    for (std::size_t i = 1; i < text.size(); ++i) {
        char c = text[i];
        if (c == '"') {
            if (i + 1 == text.size()) return value;
            break;
        }
        if (c == '\\') {
            if (++i == text.size() || (text[i] != '"' && text[i] != '\\')) break;
            c = text[i];
        }
        value += c;
    }
    throw wrong("Idempotency-Key begins with a quote and is not one quoted string");
}

/// Of everything that makes the request what it is. Parts have their lengths before them, so that none can pass for
/// another.
std::string fingerprint(const Request& request, const std::string& caller)
{
    Sha256 sum;
    const auto add = [&sum](const std::string& part) {
        sum.update(std::to_string(part.size()) + ":");
        sum.update(part);
    };
    add(request.method);
    add(request.path);
    for (const auto& [name, value] : request.query) {
        add(name);
        add(value);
    }
    add(request.body);
    add(caller);
    return sum.hex_digest();
}

}  // namespace

std::string caller_name(const Request& request) { return request.caller.name; }

std::optional<RequestKey> read_key(const Request& request, bool accepted)
{
    const auto header = request.headers.find("idempotency-key");
    if (header == request.headers.end() || request.method == "GET" || request.method == "HEAD") return std::nullopt;
    if (!accepted) {
        throw Error{ErrorCode::invalid_argument, "this request does not take an Idempotency-Key"}
            .with_field("Idempotency-Key")
            .with_hint("leave it out; only requests that start an operation or acquire a lease are remembered");
    }
    const std::string& text = header->second;
    const bool quoted = text.starts_with('"');
    std::string key = quoted ? unquote(text) : text;
    const char least = quoted ? ' ' : '!';
    if (key.empty() || key.size() > kLongestKey ||
        !std::all_of(key.begin(), key.end(), [least](char c) { return c >= least && c <= '~'; })) {
        throw wrong("Idempotency-Key is not a key");
    }
    std::string caller = caller_name(request);
    std::string sum = fingerprint(request, caller);
    return RequestKey{.caller = std::move(caller), .key = std::move(key), .fingerprint = std::move(sum)};
}

}  // namespace warmd::http
