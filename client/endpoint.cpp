#include "client/endpoint.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "daemon/base/error.h"

namespace warmd::client {

namespace {

constexpr std::string_view kUnix = "unix://";
constexpr std::string_view kTcp = "tcp://";
constexpr std::string_view kHttp = "http://";
constexpr std::string_view kHttps = "https://";
constexpr int kUsualPort = 8642;
constexpr int kHttpPort = 80;

[[noreturn]] void refuse(std::string_view address, const std::string& hint)
{
    throw Error{ErrorCode::invalid_argument, "not an address of a daemon: \"" + std::string{address} + "\""}
        .with_field("WARMD_HOST")
        .with_hint(hint);
}

constexpr const char* kForms = "use unix:///run/warmd/warmd.sock or tcp://127.0.0.1:8642";

Endpoint parse_tcp(std::string_view address, std::string_view rest, int port)
{
    while (rest.ends_with('/')) rest.remove_suffix(1);
    std::string_view digits;
    Endpoint endpoint{.socket = {}, .host = {}, .port = port};
    if (rest.starts_with('[')) {
        const std::size_t end = rest.find(']');
        if (end == std::string_view::npos) refuse(address, kForms);
        endpoint.host = rest.substr(1, end - 1);
        digits = rest.substr(end + 1);
    } else {
        const std::size_t colon = std::min(rest.find(':'), rest.size());
        endpoint.host = rest.substr(0, colon);
        digits = rest.substr(colon);
    }
    if (endpoint.host.empty() || endpoint.host.find_first_of("/@?# ") != std::string::npos) refuse(address, kForms);
    if (digits.empty()) return endpoint;
    digits.remove_prefix(1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), endpoint.port);
    constexpr int kLargestPort = 65535;
    if (error != std::errc{} || end != digits.data() + digits.size() || endpoint.port < 1 ||
        endpoint.port > kLargestPort) {
        refuse(address, kForms);
    }
    return endpoint;
}

std::string checked(std::string token, const char* variable)
{
    const bool plain = std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < '\x7f'; });
    if (token.empty() || !plain) {
        throw Error{ErrorCode::invalid_argument, std::string{variable} + " has no token that can be sent"}.with_hint(
            "a token is one word of visible ASCII characters");
    }
    return token;
}

}  // namespace

std::string Endpoint::authority() const
{
    const bool bare_ipv6 = host.find(':') != std::string::npos;
    return (bare_ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::string Endpoint::text() const { return tcp() ? std::string{kHttp} + authority() : socket; }

Endpoint parse_endpoint(std::string_view address)
{
    if (address.starts_with(kTcp)) return parse_tcp(address, address.substr(kTcp.size()), kUsualPort);
    if (address.starts_with(kHttp)) return parse_tcp(address, address.substr(kHttp.size()), kHttpPort);
    if (address.starts_with(kHttps)) {
        refuse(address, "warmctl speaks no TLS: ssh -L 8642:127.0.0.1:8642 HOST, and tcp://127.0.0.1:8642");
    }
    const std::string_view path = address.starts_with(kUnix) ? address.substr(kUnix.size()) : address;
    if (!path.starts_with('/')) refuse(address, kForms);
    return Endpoint{.socket = std::string{path}, .host = {}, .port = 0};
}

std::string token_from_environment()
{
    const auto value = [](const char* name) -> std::string {
        const char* const text = std::getenv(name);
        return text == nullptr ? "" : text;
    };
    if (const std::string token = value("WARMD_TOKEN"); !token.empty()) return checked(token, "WARMD_TOKEN");
    const std::string path = value("WARMD_TOKEN_FILE");
    if (path.empty()) return {};
    std::ifstream file{path, std::ios::binary};
    std::string token;
    if (!std::getline(file, token) && token.empty()) {
        throw Error{ErrorCode::invalid_argument, "cannot read a token from " + path}
            .with_cause(file.is_open() ? "it is empty" : std::strerror(errno))
            .with_hint("WARMD_TOKEN_FILE names a file that has the token in its first line");
    }
    while (!token.empty() && (token.back() == '\r' || token.back() == ' ')) token.pop_back();
    return checked(token, "WARMD_TOKEN_FILE");
}

}  // namespace warmd::client
