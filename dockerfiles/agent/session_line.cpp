#include "dockerfiles/agent/session_line.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <utility>

#include "daemon/base/error.h"
#include "daemon/base/text.h"

namespace warmd::agent {

namespace {

void add_env(std::string& line, const std::map<std::string, std::string>& env)
{
    for (const auto& [name, value] : env) line += ' ' + percent_encode(name + '=' + value);
    line += "\n\n";  // the empty line is for readers that look one byte ahead before they give a line back
}

}  // namespace

std::string new_nonce()
{
    std::array<unsigned char, 16> bytes{};
    if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
        throw system_error("draw random bytes", errno);
    }
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string nonce;
    for (const unsigned char byte : bytes) {
        nonce += kDigits[byte >> 4U];
        nonce += kDigits[byte & 15U];
    }
    return nonce;
}

std::string encode_exec_line(const std::string& nonce, const std::string& workdir, const std::string& code,
                             const std::map<std::string, std::string>& env)
{
    // No field may be empty, and a space evaluates to as much as nothing does.
    std::string line = nonce + " exec " + percent_encode(workdir) + ' ' + percent_encode(code.empty() ? " " : code);
    add_env(line, env);
    return line;
}

std::string encode_resume_line(const std::string& nonce, unsigned seed, const std::string& tmpdir,
                               const std::map<std::string, std::string>& env)
{
    std::string line = nonce + " resume " + std::to_string(seed) + ' ' + percent_encode(tmpdir);
    add_env(line, env);
    return line;
}

MarkerScanner::MarkerScanner(const std::string& nonce) : marker_{"\x1ewarm " + nonce + ' '} {}

std::string MarkerScanner::feed(std::string_view bytes)
{
    held_.append(bytes);
    if (found_) return {};
    if (marker_.empty()) return std::exchange(held_, {});
    std::size_t keep_from = held_.find(marker_);
    if (keep_from != std::string::npos) {
        const std::size_t status = keep_from + marker_.size();
        const std::size_t end = held_.find('\n', status);
        if (end != std::string::npos) {
            found_ = true;
            std::from_chars(held_.data() + status, held_.data() + end, status_);
            std::string output = held_.substr(0, keep_from);
            held_.erase(0, end + 1);
            return output;
        }
    } else {
        // The longest end of what is held that is a beginning of the marker.
        std::size_t tail = std::min(held_.size(), marker_.size() - 1);
        while (tail > 0 && held_.compare(held_.size() - tail, tail, marker_, 0, tail) != 0) --tail;
        keep_from = held_.size() - tail;
    }
    std::string output = held_.substr(0, keep_from);
    held_.erase(0, keep_from);
    return output;
}

std::string MarkerScanner::take_rest() { return std::exchange(held_, {}); }

}  // namespace warmd::agent
