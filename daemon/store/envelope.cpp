#include "daemon/store/envelope.h"

#include <algorithm>

#include "daemon/base/error.h"
#include "daemon/base/json.h"
#include "daemon/base/text.h"

namespace warmd {

namespace {

constexpr std::size_t kMaxSignatures = 16;
constexpr std::size_t kShownKey = 64;

/// DSSE's pre-authentication encoding: what is signed.
std::string signed_bytes(std::string_view type, std::string_view payload)
{
    return "DSSEv1 " + std::to_string(type.size()) + " " + std::string{type} + " " + std::to_string(payload.size()) +
           " " + std::string{payload};
}

}  // namespace

std::string seal_manifest(std::string_view manifest, const SigningKey& key)
{
    const Json signature{{"keyid", key.id()}, {"sig", base64_encode(key.sign(signed_bytes(kManifestType, manifest)))}};
    return dump_json({{"payloadType", kManifestType},
                      {"payload", base64_encode(manifest)},
                      {"signatures", Json::array({signature})}}) +
           "\n";
}

OpenedManifest open_manifest(std::string_view envelope, const std::vector<VerifyingKey>& keys)
{
    if (envelope.size() > kMaxEnvelope) throw Error{ErrorCode::invalid_argument, "the manifest is larger than 1 MiB"};
    const Json json = parse_json(envelope);
    JsonObject object{json};
    const std::string type = object.text("payloadType");
    std::string payload = base64_decode(object.text("payload"));
    const Json* const signatures = object.child("signatures");
    if (signatures == nullptr || !signatures->is_array() || signatures->size() > kMaxSignatures) {
        throw Error{ErrorCode::invalid_argument, "signatures must be an array of up to 16"}.with_field("signatures");
    }
    std::string others;
    for (const Json& item : *signatures) {
        JsonObject one{item, "signatures"};
        const std::string id = one.optional_text("keyid").value_or("");
        const std::string bytes = base64_decode(one.text("sig"));
        const auto known = std::find_if(keys.begin(), keys.end(),
                                        [&id](const VerifyingKey& key) { return key.id() == id; });
        if (known == keys.end()) {
            others += (others.empty() ? "" : ", ") + printable(id.empty() ? "a key without an id" : id, kShownKey);
            continue;
        }
        if (!known->verifies(signed_bytes(type, payload), bytes)) {
            throw Error{ErrorCode::untrusted, "the manifest is not what key " + id + " has signed"}.with_hint(
                "it was changed after that: export the checkpoint again");
        }
        if (type != kManifestType) {
            throw Error{ErrorCode::invalid_argument, "the manifest is of the type " + printable(type, kShownKey)}
                .with_field("payloadType");
        }
        return {.manifest = std::move(payload), .signer = id};
    }
    throw Error{ErrorCode::untrusted, others.empty() ? "the manifest is not signed"
                                                     : "the manifest is signed by no key that this host trusts"}
        .with_cause(others.empty() ? "" : "it is signed by " + others)
        .with_hint("put the public key of the host that made it where [trust] keys looks, and restart warmd");
}

}  // namespace warmd
