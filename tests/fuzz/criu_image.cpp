// CRIU's images and statistics, which a process in the container may have had a hand in.
#include "daemon/base/criu_image.h"

#include <string>

#include "daemon/podman/podman_json.h"
#include "tests/fuzz/fuzz.h"

using namespace warmd;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string bytes{fuzz::input(data, size)};
    fuzz::accepts([&] {
        const std::string renamed = rename_host(bytes, "inst-1");
        fuzz::require(renamed.find("inst-1") != std::string::npos, "the new name is in the image");
        fuzz::require(rename_host(renamed, "inst-1") == renamed, "renaming it so again changes nothing");
    });
    std::string_view rest = bytes;
    while (!rest.empty()) {
        const std::size_t before = rest.size();
        read_varint(rest);
        fuzz::require(rest.size() < before, "a number takes at least a byte");
    }
    fuzz::accepts([&] { podman::decode_dump_statistics(bytes); });
    return 0;
}
