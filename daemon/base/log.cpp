#include "daemon/base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/systemd_sink.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "daemon/base/error.h"

namespace warmd {

void set_up_logging(std::string_view level)
{
    const auto parsed = spdlog::level::from_str(std::string{level});
    if (parsed == spdlog::level::off) {
        throw Error{ErrorCode::invalid_argument, "no log level \"" + std::string{level} + "\""}
            .with_field("log.level")
            .with_hint("use trace, debug, info, warning or error");
    }
    std::shared_ptr<spdlog::logger> logger;
    if (std::getenv("JOURNAL_STREAM") != nullptr) {
        logger = std::make_shared<spdlog::logger>("warmd", std::make_shared<spdlog::sinks::systemd_sink_mt>("warmd"));
    } else {
        logger = std::make_shared<spdlog::logger>("warmd", std::make_shared<spdlog::sinks::stderr_sink_mt>());
        logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
    }
    logger->set_level(parsed);
    logger->flush_on(spdlog::level::trace);
    spdlog::set_default_logger(std::move(logger));
}

}  // namespace warmd
