#pragma once

#include <string>
#include <string_view>

#include "daemon/model/exec.h"

namespace warmd::podman {

/// Takes apart the multiplexed stream of an exec session without a terminal: frames of one byte for the
/// stream (1 stdout, 2 stderr), three zero bytes, a big-endian 32-bit length, and that many bytes.
class ExecDemux {
public:
    explicit ExecDemux(ExecOutput output);

    /// Takes the next piece of the stream, cut anywhere. Throws Error{engine_failed} when it is not in this
    /// format, and what the output throws.
    void write(std::string_view bytes);

private:
    ExecOutput output_;
    std::string header_;
    std::size_t remaining_ = 0;
    ExecStream stream_ = ExecStream::out;
};

}  // namespace warmd::podman
