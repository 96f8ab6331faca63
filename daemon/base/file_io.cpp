#include "daemon/base/file_io.h"

#include <unistd.h>

#include <cerrno>

namespace warmd {

std::size_t read_some(const UniqueFd& file, std::span<char> buffer, std::string_view attempted, ErrorCode fallback)
{
    while (true) {
        const ssize_t count = ::read(file.get(), buffer.data(), buffer.size());
        if (count >= 0) return static_cast<std::size_t>(count);
        if (errno != EINTR) throw system_error(attempted, errno, fallback);
    }
}

void write_all(const UniqueFd& file, std::string_view bytes, std::string_view attempted)
{
    while (!bytes.empty()) {
        const ssize_t count = ::write(file.get(), bytes.data(), bytes.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) throw system_error(attempted, errno);
        bytes.remove_prefix(static_cast<std::size_t>(count));
    }
}

}  // namespace warmd
