#pragma once

#include <string>
#include <string_view>

namespace warmd::client {

/// Where a daemon listens: on a socket, or on a host and port.
struct Endpoint {
    std::string socket;  // empty: TCP
    std::string host;    // without the brackets of an IPv6 address
    int port = 0;

    [[nodiscard]] bool tcp() const noexcept { return socket.empty(); }
    /// "host:port" as in URLs and in the header Host.
    [[nodiscard]] std::string authority() const;
    /// For people: the socket's path, or http://host:port.
    [[nodiscard]] std::string text() const;
};

/// "unix:///run/warmd/warmd.sock" or a bare path; "tcp://127.0.0.1:8642" (this port unless given) or "http://host".
/// Throws Error{invalid_argument} for another.
Endpoint parse_endpoint(std::string_view address);

/// The token in WARMD_TOKEN, or in the file that WARMD_TOKEN_FILE names; empty when neither is set. Never from the
/// command line, which everybody on the machine can read. Throws Error{invalid_argument} for what cannot be one.
std::string token_from_environment();

}  // namespace warmd::client
