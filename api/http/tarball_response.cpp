#include "api/http/tarball_response.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "api/http/error_response.h"
#include "daemon/base/error.h"

namespace warmd::http {

namespace {

constexpr std::size_t kPiece = std::size_t{256} * 1024;

struct Part {
    std::uint64_t first = 0;
    std::uint64_t size = 0;
};

std::optional<std::uint64_t> number_from(std::string_view text)
{
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return number;
}

enum class Wanted { all, part, nothing };

/// "bytes=0-99", "bytes=100-", "bytes=-100". `nothing`: a part that is not there.
Wanted read_range(std::string_view text, std::uint64_t size, Part& part)
{
    constexpr std::string_view kUnit = "bytes=";
    const std::size_t dash = text.find('-');
    if (!text.starts_with(kUnit) || dash == std::string_view::npos) return Wanted::all;
    const std::string_view from = text.substr(kUnit.size(), dash - kUnit.size());
    const std::string_view to = text.substr(dash + 1);
    const auto first = number_from(from);
    const auto last = number_from(to);
    if ((!from.empty() && !first) || (!to.empty() && !last) || (!first && !last)) return Wanted::all;
    if (!first) {
        part.size = std::min(*last, size);
        part.first = size - part.size;
        return part.size == 0 ? Wanted::nothing : Wanted::part;
    }
    if (last && *last < *first) return Wanted::all;
    if (*first >= size) return Wanted::nothing;
    part = {.first = *first, .size = (last ? std::min(*last, size - 1) : size - 1) - *first + 1};
    return Wanted::part;
}

/// Writes the part. Ends early when the client is gone, the server stops, or the file ends.
void write_part(const UniqueFd& file, Part part, const std::stop_token& stop, const StreamWriter& write)
{
    std::vector<char> buffer(kPiece);
    while (part.size > 0 && !stop.stop_requested()) {
        const std::size_t want = std::min<std::uint64_t>(buffer.size(), part.size);
        const ssize_t count = ::pread(file.get(), buffer.data(), want, static_cast<off_t>(part.first));
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) {
            spdlog::error("a tarball cannot be read any further: {}",
                          count < 0 ? std::generic_category().message(errno) : "it has become shorter");
            return;
        }
        if (!write({buffer.data(), static_cast<std::size_t>(count)})) return;
        part.first += static_cast<std::uint64_t>(count);
        part.size -= static_cast<std::uint64_t>(count);
    }
}

}  // namespace

Response respond_tarball(Outgoing outgoing, const Request& request)
{
    const std::uint64_t size = outgoing.checkpoint.size_bytes;
    const std::string etag = "\"" + outgoing.checkpoint.sha256 + "\"";
    const std::string condition = request.header("if-range");
    Part part{.size = size};
    Wanted wanted = Wanted::all;
    if (condition.empty() || condition == etag) wanted = read_range(request.header("range"), size, part);
    if (wanted == Wanted::nothing) {
        Response refused = error_response(
            Error{ErrorCode::invalid_argument, "the tarball has " + std::to_string(size) + " bytes"}.with_field(
                "Range"),
            request.request_id, 416);
        refused.headers["Content-Range"] = "bytes */" + std::to_string(size);
        return refused;
    }
    Response response;
    response.content_type = "application/x-tar";
    response.headers = {{"Accept-Ranges", "bytes"},
                        {"ETag", etag},
                        {"Content-Disposition", "attachment; filename=\"" + outgoing.checkpoint.id.value() + ".tar\""}};
    if (wanted == Wanted::part) {
        response.status = 206;
        response.headers["Content-Range"] = "bytes " + std::to_string(part.first) + "-" +
                                            std::to_string(part.first + part.size - 1) + "/" + std::to_string(size);
    }
    response.length = part.size;
    response.stream = [file = std::make_shared<UniqueFd>(std::move(outgoing.tarball)), part,
                       stop = request.stop](const StreamWriter& write) { write_part(*file, part, stop, write); };
    return response;
}

}  // namespace warmd::http
