// Podman's multiplexed stream of a command's output.
#include "daemon/podman/exec_demux.h"

#include <string>

#include "tests/fuzz/fuzz.h"

using namespace warmd;

namespace {

struct Read {
    std::string out;
    std::string err;
    bool good = false;
};

Read read(std::string_view bytes, std::size_t piece)
{
    Read result;
    podman::ExecDemux demux{[&result](ExecStream stream, std::string_view part) {
        (stream == ExecStream::out ? result.out : result.err) += part;
    }};
    result.good = fuzz::accepts(
        [&] { fuzz::in_pieces(bytes, piece, [&demux](std::string_view part) { demux.write(part); }); });
    return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    std::string_view bytes = fuzz::input(data, size);
    const std::size_t piece = fuzz::take_piece(bytes);
    const Read cut = read(bytes, piece);
    const Read whole = read(bytes, bytes.size() + 1);
    fuzz::require(cut.good == whole.good && cut.out == whole.out && cut.err == whole.err, "cutting changes nothing");
    fuzz::require(cut.out.size() + cut.err.size() <= bytes.size(), "nothing is made up");
    return 0;
}
