// Podman's export on its way into the store, and a tarball on its way to Podman.
#include "daemon/podman/tar_splice.h"

#include <string>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/tarball.h"

using namespace warmd;

namespace {

podman::SizedSource four_blocks()
{
    return {.size = 2048, .read = [left = std::size_t{2048}](std::span<char> buffer) mutable {
                const std::size_t count = std::min(left, buffer.size());
                std::fill_n(buffer.begin(), count, 'p');
                left -= count;
                return count;
            }};
}

bool splice(std::string_view bytes, std::size_t piece, bool change, std::string& out)
{
    podman::TarSplice splice{[&out](std::string_view part) { out += part; }};
    if (change) {
        splice.rewrite("config.dump", [](const std::string& content) { return content + content; });
        splice.rewrite("checkpoint/utsns-*", [](const std::string&) { return std::string{"x"}; });
        splice.prepend("rootfs-diff.tar", four_blocks());
    }
    return fuzz::accepts([&] {
        fuzz::in_pieces(bytes, piece, [&splice](std::string_view part) { splice.write(part); });
        splice.finish();
    });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string mended = fuzz::mend_checksums(fuzz::input(data, size));
    std::string_view bytes = mended;
    const std::size_t piece = fuzz::take_piece(bytes);
    std::string same;
    if (splice(bytes, piece, false, same)) {
        std::string again;
        fuzz::require(splice(same, same.size() + 1, false, again), "what passes through is a tar archive");
        fuzz::require(again == same, "and passes through again as it is");
    }
    std::string changed;
    if (splice(bytes, piece, true, changed)) {
        std::string again;
        fuzz::require(splice(changed, changed.size() + 1, false, again), "what is changed is a tar archive");
    }
    return 0;
}
