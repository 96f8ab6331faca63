#include "client/run_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "daemon/base/error.h"
#include "daemon/base/json.h"
#include "daemon/base/text.h"
#include "daemon/base/unique_fd.h"

namespace warmd::client {

namespace {

std::string encode(const RunRecord& record)
{
    constexpr double kMicrosecondsInAMillisecond = 1000.0;
    Json document{{"template", record.template_name},
                  {"path", nullptr},
                  {"wait_ms", nullptr},
                  {"status", nullptr},
                  {"at", format_time(SystemClock{}.now())}};
    if (!record.path.empty()) document["path"] = record.path;
    if (record.wait) {
        document["wait_ms"] = static_cast<double>(record.wait->count()) / kMicrosecondsInAMillisecond;
    }
    if (record.exit_status) document["status"] = *record.exit_status;
    // The name is whatever the command line had, and need not be UTF-8.
    return document.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

void append(const char* file, const std::string& line)
{
    constexpr mode_t kMode = 0666;  // less the umask
    const UniqueFd fd{::open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, kMode)};
    if (!fd.valid()) throw system_error(std::string{"cannot open "} + file, errno);
    // In one call, so that it stays one line where several append.
    const ssize_t count = ::write(fd.get(), line.data(), line.size());
    if (count != static_cast<ssize_t>(line.size())) {
        throw system_error(std::string{"cannot write to "} + file, count < 0 ? errno : ENOSPC);
    }
}

}  // namespace

void log_run(const RunRecord& record) noexcept
{
    const char* const file = std::getenv("WARMD_RUN_LOG");
    if (file == nullptr || *file == '\0') return;
    try {
        append(file, encode(record));
    } catch (const std::exception& error) {
        std::fprintf(stderr, "warmctl: WARMD_RUN_LOG: %s\n", printable(error.what()).c_str());
    }
}

}  // namespace warmd::client
