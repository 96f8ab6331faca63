#include "daemon/store/envelope.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "daemon/base/json.h"
#include "daemon/base/text.h"
#include "tests/support/keys.h"
#include "tests/unit/expect_error.h"

namespace warmd {
namespace {

using test::contains;
using test::expect_error;

const SigningKey kSigner = SigningKey::from_pem(test::kPrivateKey);
const VerifyingKey kTrusted = VerifyingKey::from_pem(test::kPublicKey);
const VerifyingKey kOther = VerifyingKey::from_pem(test::kOtherPublicKey);

Json sealed(std::string_view manifest = "{}") { return parse_json(seal_manifest(manifest, kSigner)); }

TEST(Ed25519, AKeyIsKnownByTheSumOfItsPublicPart)
{
    EXPECT_EQ(kSigner.id(), test::kKeyId);
    EXPECT_EQ(kTrusted.id(), test::kKeyId);
    EXPECT_NE(kOther.id(), kTrusted.id());
}

TEST(Ed25519, SignsWhatItsPublicPartVerifies)
{
    const std::string signature = kSigner.sign("message");
    EXPECT_TRUE(kTrusted.verifies("message", signature));
    EXPECT_FALSE(kTrusted.verifies("Message", signature));
    EXPECT_FALSE(kOther.verifies("message", signature));
    EXPECT_FALSE(kTrusted.verifies("message", signature.substr(1)));
    EXPECT_FALSE(kTrusted.verifies("message", ""));
    for (const std::size_t at : {0U, 31U, 32U, 63U}) {
        std::string changed = signature;
        changed[at] = static_cast<char>(changed[at] ^ 1);
        EXPECT_FALSE(kTrusted.verifies("message", changed)) << at;
    }
}

TEST(Ed25519, RefusesWhatIsNoSuchKey)
{
    for (const std::string pem : {"", "no key", test::kPublicKey, test::kUnfitKey}) {
        expect_error(ErrorCode::invalid_argument, [&] { SigningKey::from_pem(pem); });
    }
    for (const std::string pem : {"", "no key", test::kPrivateKey}) {
        expect_error(ErrorCode::invalid_argument, [&] { VerifyingKey::from_pem(pem); });
    }
}

TEST(Envelope, OpensWhatATrustedKeyHasSigned)
{
    const std::string manifest = "{\"a\": 1}\n";
    const OpenedManifest opened = open_manifest(seal_manifest(manifest, kSigner), {kOther, kTrusted});
    EXPECT_EQ(opened.manifest, manifest);
    EXPECT_EQ(opened.signer, test::kKeyId);
}

TEST(Envelope, IsDsse)
{
    const Json envelope = sealed("payload");
    EXPECT_EQ(envelope.at("payloadType"), "application/vnd.warmd.checkpoint.v1+json");
    EXPECT_EQ(envelope.at("payload"), base64_encode("payload"));
    const Json& signature = envelope.at("signatures").at(0);
    EXPECT_EQ(signature.at("keyid"), test::kKeyId);
    // Ed25519 is deterministic, so the signature shows what was signed.
    const std::string encoded = "DSSEv1 40 application/vnd.warmd.checkpoint.v1+json 7 payload";
    EXPECT_EQ(signature.at("sig"), base64_encode(kSigner.sign(encoded)));
}

TEST(Envelope, TakesATrustedSignatureAmongOthers)
{
    Json envelope = sealed();
    const Json ours = envelope.at("signatures").at(0);
    envelope["signatures"] = {{{"sig", "AAAA"}}, {{"keyid", "somebody"}, {"sig", ""}}, ours};
    EXPECT_EQ(open_manifest(envelope.dump(), {kTrusted}).manifest, "{}");
}

TEST(Envelope, RefusesWhatNobodyTrustedHasSigned)
{
    Error error = expect_error(ErrorCode::untrusted, [] { open_manifest(sealed().dump(), {kOther}); });
    EXPECT_TRUE(contains(error.what(), "signed by no key that this host trusts")) << error.what();
    EXPECT_TRUE(contains(error.cause(), test::kKeyId)) << error.cause();
    expect_error(ErrorCode::untrusted, [] { open_manifest(sealed().dump(), {}); });
    Json unsigned_one = sealed();
    unsigned_one["signatures"] = Json::array();
    error = expect_error(ErrorCode::untrusted, [&] { open_manifest(unsigned_one.dump(), {kTrusted}); });
    EXPECT_TRUE(contains(error.what(), "is not signed")) << error.what();
}

TEST(Envelope, RefusesWhatWasChanged)
{
    const auto refused = [](const Json& envelope) {
        return expect_error(ErrorCode::untrusted, [&] { open_manifest(envelope.dump(), {kTrusted}); });
    };
    Json payload = sealed();
    payload["payload"] = base64_encode("{\"evil\": true}");
    EXPECT_TRUE(contains(refused(payload).what(), "is not what key " + std::string{test::kKeyId} + " has signed"));
    Json type = sealed();
    type["payloadType"] = "application/vnd.warmd.other+json";
    refused(type);
    Json signature = sealed();
    signature["signatures"][0]["sig"] = base64_encode(std::string(64, 'x'));
    refused(signature);
    // Another key's signature under a trusted key's name.
    Json borrowed = sealed();
    borrowed["signatures"][0]["sig"] = base64_encode(SigningKey::from_pem(test::kOtherPrivateKey).sign("{}"));
    refused(borrowed);
}

TEST(Envelope, OfAnotherTypeIsRefusedThoughItIsSigned)
{
    const std::string type = "text/plain";
    const std::string encoded = "DSSEv1 10 text/plain 2 {}";
    const Json envelope{{"payloadType", type},
                        {"payload", base64_encode("{}")},
                        {"signatures", {{{"keyid", kSigner.id()}, {"sig", base64_encode(kSigner.sign(encoded))}}}}};
    const Error error = expect_error(ErrorCode::invalid_argument, [&] { open_manifest(envelope.dump(), {kTrusted}); });
    EXPECT_EQ(error.field(), "payloadType");
}

TEST(Envelope, RefusesWhatIsNone)
{
    Json many = sealed();
    many["signatures"] = Json::array();
    for (int i = 0; i < 17; ++i) many["signatures"].push_back({{"sig", ""}});
    for (const std::string& text :
         {std::string{}, std::string{"[]"}, std::string{"{}"}, std::string{R"({"payloadType": "a", "payload": "?"})"},
          std::string{R"({"payloadType": "a", "payload": "", "signatures": {}})"},
          std::string{R"({"payloadType": "a", "payload": "", "signatures": [{"sig": "%"}]})"}, many.dump(),
          std::string(kMaxEnvelope + 1, ' ')}) {
        expect_error(ErrorCode::invalid_argument, [&] { open_manifest(text, {kTrusted}); });
    }
}

}  // namespace
}  // namespace warmd
