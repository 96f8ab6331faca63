#include "daemon/podman/exec_demux.h"

#include <algorithm>
#include <utility>

#include "daemon/base/error.h"

namespace warmd::podman {

namespace {
constexpr std::size_t kHeader = 8;
}

ExecDemux::ExecDemux(ExecOutput output) : output_{std::move(output)} {}

void ExecDemux::write(std::string_view bytes)
{
    while (!bytes.empty()) {
        if (remaining_ == 0) {
            const std::size_t count = std::min(kHeader - header_.size(), bytes.size());
            header_ += bytes.substr(0, count);
            bytes.remove_prefix(count);
            if (header_.size() < kHeader) return;
            const auto byte = [this](std::size_t i) { return static_cast<unsigned char>(header_[i]); };
            if (byte(0) > 2 || byte(1) != 0 || byte(2) != 0 || byte(3) != 0) {
                throw Error{ErrorCode::engine_failed, "Podman's exec stream is not multiplexed"};
            }
            stream_ = byte(0) == 2 ? ExecStream::err : ExecStream::out;
            for (std::size_t i = 4; i < kHeader; ++i) remaining_ = remaining_ << 8U | byte(i);
            header_.clear();
            continue;
        }
        const std::string_view part = bytes.substr(0, remaining_);
        output_(stream_, part);
        remaining_ -= part.size();
        bytes.remove_prefix(part.size());
    }
}

}  // namespace warmd::podman
