#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/ed25519.h"

// What travels beside a tarball: its manifest in a signed envelope, DSSE (github.com/secure-systems-lab/dsse). What is
// signed is the payload's very bytes with their type, so nothing has to be written in a canonical form.

namespace warmd {

inline constexpr std::string_view kManifestType = "application/vnd.warmd.checkpoint.v1+json";
inline constexpr std::size_t kMaxEnvelope = 1U << 20U;  // bytes

/// `manifest` in an envelope that `key` has signed, as JSON.
std::string seal_manifest(std::string_view manifest, const SigningKey& key);

struct OpenedManifest {
    std::string manifest;
    KeyId signer;  // of the keys that were given
};

/// Opens an envelope that one of `keys` has signed; other signatures beside that one do not matter. Nothing of the
/// payload is looked at before. Throws Error: `invalid_argument` for what is no envelope, or of another payload type,
/// `untrusted` when no signature is one of `keys`', and when one that says so is not.
OpenedManifest open_manifest(std::string_view envelope, const std::vector<VerifyingKey>& keys);

}  // namespace warmd
