#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "api/contract/documents.h"

namespace warmd::client {

/// The connection broke, or the answer ended early: whether the daemon did what it was asked is not known.
class ConnectionLost : public Error {
public:
    explicit ConnectionLost(Error error) : Error{std::move(error)} {}
};

/// The API of one daemon. Calls block and throw Error: what the daemon's problem document says, `unavailable` when
/// nobody answers, or ConnectionLost.
class ApiClient {
public:
    /// `host`: "unix:///run/warmd/warmd.sock" or a bare path. Throws Error{invalid_argument} for another.
    explicit ApiClient(const std::string& host);

    [[nodiscard]] Json get(const std::string& path) const;
    [[nodiscard]] Json post(const std::string& path) const;
    [[nodiscard]] Json post(const std::string& path, const Json& body) const;
    [[nodiscard]] Json del(const std::string& path) const;
    [[nodiscard]] std::string get_text(const std::string& path) const;
    /// Every page of a list.
    [[nodiscard]] std::vector<Json> get_all(const std::string& path) const;

    /// Sends a signal by its name ("INT") to a running command.
    void signal(const InstanceId& id, const ExecId& exec, const std::string& name) const;

    /// Posts what runs a command and hands on each frame as it arrives, except keepalives. Returns after the last.
    void stream(const std::string& path, const Json& body,
                const std::function<void(const std::string& line, const contract::ExecFrame& frame)>& handler) const;

private:
    std::string call(const std::string& method, const std::string& path, const std::string& body,
                     const std::function<void(const std::string& line)>& on_line) const;

    std::string socket_path_;
};

}  // namespace warmd::client
