#pragma once

#include <map>
#include <string>
#include <string_view>

// The lines that a session loop reads and the marker that it writes (docs/agent-protocol.md, "A session").

namespace warmd::agent {

/// 32 hexadecimal digits from the kernel: another one in every copy of a restored container.
std::string new_nonce();

std::string encode_exec_line(const std::string& nonce, const std::string& workdir, const std::string& code,
                             const std::map<std::string, std::string>& env);
std::string encode_resume_line(const std::string& nonce, unsigned seed, const std::string& tmpdir,
                               const std::map<std::string, std::string>& env);

/// Finds the end marker of one request in a stream that arrives in pieces.
class MarkerScanner {
public:
    MarkerScanner() = default;  // lets everything through
    explicit MarkerScanner(const std::string& nonce);

    /// Takes the next bytes and returns those that are certainly output. Holds back what may be the beginning
    /// of the marker. After the marker everything is `rest()`.
    std::string feed(std::string_view bytes);

    [[nodiscard]] bool found() const { return found_; }
    [[nodiscard]] int status() const { return status_; }
    /// What was held back and will not be part of a marker any more, or came after it. Empties it.
    std::string take_rest();

private:
    std::string marker_;
    std::string held_;
    bool found_ = false;
    int status_ = 0;
};

}  // namespace warmd::agent
