// JSON from clients, daemons, Podman and the catalog, and the documents made of it.
#include "daemon/base/json.h"

#include <string>

#include "api/contract/documents.h"
#include "daemon/podman/podman_json.h"
#include "tests/fuzz/fuzz.h"

using namespace warmd;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string text{fuzz::input(data, size)};
    Json json;
    if (fuzz::accepts([&] { json = parse_json(text); })) {
        const std::string written = dump_json(json);
        fuzz::require(dump_json(parse_json(written)) == written, "what is written reads as it was");
        fuzz::accepts([&] { contract::encode(contract::decode_instance(json)); });
        fuzz::accepts([&] { contract::encode(contract::decode_checkpoint(json)); });
        fuzz::accepts([&] { contract::encode(contract::decode_operation(json)); });
        fuzz::accepts([&] { contract::encode(contract::decode_lease(json)); });
        fuzz::accepts([&] { contract::encode(contract::decode_pool(json)); });
        fuzz::accepts([&] { contract::encode(contract::decode_doctor_report(json)); });
        fuzz::accepts([&] { contract::encode(contract::decode_exec_request(json)); });
        fuzz::accepts([&] { contract::encode(contract::decode_lease_request(json)); });
        fuzz::accepts([&] { contract::encode(contract::decode_run_request(json)); });
        fuzz::accepts([&] { contract::decode_import_request(json); });
        fuzz::accepts([&] { contract::decode_signal_request(json); });
    }
    fuzz::accepts([&] { require_unique_names(text, {"labels"}); });
    fuzz::accepts([&] { contract::decode_frame(text); });
    (void)contract::decode_problem(text, 500);
    fuzz::accepts([&] { podman::decode_info(text); });
    fuzz::accepts([&] { podman::decode_image(text); });
    fuzz::accepts([&] { podman::decode_id(text); });
    fuzz::accepts([&] { podman::decode_container(text); });
    fuzz::accepts([&] { podman::decode_upper_directory(text); });
    fuzz::accepts([&] { podman::decode_list_ids(text); });
    fuzz::accepts([&] { podman::decode_changes(text); });
    fuzz::accepts([&] { podman::keep_files(text, {"/a"}); });
    fuzz::accepts([&] { podman::decode_exec_session(text); });
    fuzz::accepts([&] { podman::decode_event(text, "warmd.instance"); });
    fuzz::accepts([&] { podman::decode_error(text); });
    fuzz::accepts([&] { podman::rename_config_dump(text, ContainerId{"a"}, {}); });
    return 0;
}
