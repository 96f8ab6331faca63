// config.dump and spec.dump of a checkpoint from elsewhere.
#include "daemon/store/container_documents.h"

#include <string>

#include "daemon/base/json.h"
#include "tests/fuzz/fuzz.h"

using namespace warmd;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view text = fuzz::input(data, size);
    const std::size_t cut = text.find('\n');  // one line each
    if (cut == std::string_view::npos) return 0;
    const ContainerDocuments documents{.config_dump = text.substr(0, cut), .spec_dump = text.substr(cut + 1)};
    const bool accepted = fuzz::accepts([&] { require_no_more_than(Template{}, "aa", documents); });
    if (!accepted) return 0;
    const Json spec = parse_json(documents.spec_dump);
    const Json config = parse_json(documents.config_dump);
    fuzz::require(!spec.contains("hooks") || spec.at("hooks").empty() || spec.at("hooks").is_null(), "no hooks");
    fuzz::require(!config.contains("rootfs") || config.at("rootfs") == "" || !config.at("rootfs").is_string(),
                  "no root");
    fuzz::require(config.at("rootfsImageID") == "aa", "the image is the manifest's");
    fuzz::require(spec.at("linux").at("namespaces").size() >= 5, "namespaces of its own");
    return 0;
}
