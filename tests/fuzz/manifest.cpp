// Manifests beside tarballs and their signed envelopes.
#include "daemon/store/manifest.h"

#include <string>

#include "daemon/store/envelope.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/keys.h"

using namespace warmd;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static const std::vector<VerifyingKey> keys{VerifyingKey::from_pem(test::kPublicKey)};
    static const SigningKey key = SigningKey::from_pem(test::kPrivateKey);
    const std::string_view text = fuzz::input(data, size);
    fuzz::accepts([&] {
        const std::string manifest = encode_manifest(decode_manifest(text));
        fuzz::require(encode_manifest(decode_manifest(manifest)) == manifest, "a manifest survives encoding");
    });
    // An input that opens would be a forgery, unless it is one of the seeds, which are signed.
    fuzz::accepts([&] {
        const OpenedManifest opened = open_manifest(text, keys);
        fuzz::require(opened.manifest.find("signed in a test") != std::string::npos, "nobody forges a signature");
    });
    if (size < kMaxEnvelope / 2) {
        fuzz::require(open_manifest(seal_manifest(text, key), keys).manifest == text, "what is sealed opens");
    }
    fuzz::accepts([&] { VerifyingKey::from_pem(text); });
    return 0;
}
