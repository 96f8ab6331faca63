#include <filesystem>
#include <string>

#include "daemon/base/sha256.h"
#include "daemon/store/envelope.h"
#include "tests/component/api_fixture.h"
#include "tests/support/keys.h"

namespace warmd {
namespace {

namespace fs = std::filesystem;

class TransferApiTest : public test::ApiFixture {
protected:
    TransferApiTest()
    {
        add(test::quick_template());
        options.trust.key = SigningKey::from_pem(test::kPrivateKey);
        options.trust.keys = {VerifyingKey::from_pem(test::kPublicKey)};
        options.trust.import_directory = directory / "imports";
        fs::create_directory(directory / "imports");
        fs::permissions(directory / "imports", fs::perms{0755});
    }

    test::Reply part(const std::string& range, const std::string& condition = {})
    {
        httplib::Headers headers{{"Range", range}};
        if (!condition.empty()) headers.emplace("If-Range", condition);
        return send("GET", archive_, {}, std::move(headers));
    }
    /// Both files where imports come from.
    void carry(const Checkpoint& made)
    {
        for (const char* const kind : {"archive", "manifest"}) {
            const test::Reply reply = call("GET", "/v1/checkpoints/" + made.id.value() + "/" + kind);
            ASSERT_EQ(reply.status, 200) << reply.body;
            const std::string suffix = kind == std::string{"archive"} ? ".tar" : ".manifest.json";
            const fs::path file = directory / "imports" / (made.id.value() + suffix);
            test::write_file(file, reply.body);
            fs::permissions(file, fs::perms{0644});
        }
    }

    std::string archive_;
};

TEST_F(TransferApiTest, TheTarballCanBeHadInParts)
{
    const Checkpoint made = checkpoint();
    archive_ = "/v1/checkpoints/" + made.id.value() + "/archive";
    const test::Reply whole = call("GET", archive_);
    ASSERT_EQ(whole.status, 200);
    EXPECT_EQ(whole.content_type, "application/x-tar");
    EXPECT_EQ(whole.header("Content-Length"), std::to_string(made.size_bytes));
    EXPECT_EQ(whole.header("Accept-Ranges"), "bytes");
    EXPECT_EQ(whole.header("ETag"), "\"" + made.sha256 + "\"");
    EXPECT_EQ(sha256_hex(whole.body), made.sha256);

    const std::string size = std::to_string(made.size_bytes);
    test::Reply reply = part("bytes=100-299");
    EXPECT_EQ(reply.status, 206);
    EXPECT_EQ(reply.body, whole.body.substr(100, 200));
    EXPECT_EQ(reply.header("Content-Range"), "bytes 100-299/" + size);
    reply = part("bytes=1000-");
    EXPECT_EQ(reply.status, 206);
    EXPECT_EQ(reply.body, whole.body.substr(1000));
    reply = part("bytes=-7");
    EXPECT_EQ(reply.status, 206);
    EXPECT_EQ(reply.body, whole.body.substr(whole.body.size() - 7));
    reply = part("bytes=0-99999999999");
    EXPECT_EQ(reply.status, 206);
    EXPECT_EQ(reply.body, whole.body);
    reply = part("bytes=" + size + "-");
    EXPECT_EQ(reply.status, 416);
    EXPECT_EQ(reply.header("Content-Range"), "bytes */" + size);
    for (const char* const unusual : {"bytes=0-1,3-4", "lines=1-2", "bytes=", "bytes=-", "bytes=9-1", "bytes=a-b"}) {
        reply = part(unusual);
        EXPECT_EQ(reply.status, 200) << unusual;
        EXPECT_EQ(reply.body, whole.body) << unusual;
    }
    EXPECT_EQ(part("bytes=0-9", "\"" + made.sha256 + "\"").status, 206);
    EXPECT_EQ(part("bytes=0-9", "\"another\"").status, 200);
}

TEST_F(TransferApiTest, OnlyAdministratorsExport)
{
    const Checkpoint made = checkpoint();
    EXPECT_EQ(call("GET", "/v1/checkpoints/ckpt-none/archive").status, 404);
    EXPECT_EQ(call("GET", "/v1/checkpoints/ckpt-none/manifest").status, 404);
    const std::map<std::string, Role> roles = http::make_router(service(), {}).roles();
    for (const char* const route :
         {"GET /v1/checkpoints/{id}/archive", "GET /v1/checkpoints/{id}/manifest", "POST /v1/checkpoints/import"}) {
        EXPECT_EQ(roles.at(route), Role::admin) << route;
    }
}

TEST_F(TransferApiTest, WithoutAKeyThereIsNoManifest)
{
    options.trust.key.reset();
    const Checkpoint made = checkpoint();
    const test::Reply reply = call("GET", "/v1/checkpoints/" + made.id.value() + "/manifest");
    EXPECT_EQ(reply.status, 409);
    EXPECT_EQ(reply.json().at("code"), "conflict");
}

TEST_F(TransferApiTest, WhatIsExportedCanBeImported)
{
    const Checkpoint made = checkpoint();
    carry(made);
    const std::string body = R"({"name": ")" + made.id.value() + R"("})";
    EXPECT_EQ(call("POST", "/v1/checkpoints/import", body).status, 409);  // it is here
    ASSERT_EQ(call("DELETE", "/v1/checkpoints/" + made.id.value() + "?wait=30s").status, 200);
    const test::Reply reply = call("POST", "/v1/checkpoints/import?wait=30s", body);
    ASSERT_EQ(reply.status, 200) << reply.body;
    EXPECT_EQ(reply.json().at("kind"), "import_checkpoint");
    EXPECT_EQ(reply.json().at("state"), "succeeded") << reply.body;
    EXPECT_EQ(reply.json().at("checkpoint"), made.id.value());
    const test::Reply restored = call("POST", "/v1/checkpoints/" + made.id.value() + "/restore?wait=30s");
    EXPECT_EQ(restored.json().at("state"), "succeeded") << restored.body;
}

TEST_F(TransferApiTest, WhatNobodyTrustedHasSignedIsForbidden)
{
    const Checkpoint made = checkpoint();
    carry(made);
    const std::string body = R"({"name": ")" + made.id.value() + R"("})";
    options.trust.keys = {VerifyingKey::from_pem(test::kOtherPublicKey)};
    stop_server();
    restart();
    test::Reply reply = call("POST", "/v1/checkpoints/import", body);
    EXPECT_EQ(reply.status, 403);
    EXPECT_EQ(reply.json().at("code"), "untrusted");
    for (const char* const wrong : {R"({"name": "../a"})", R"({"name": 1})", "{}", R"({"name": "a", "more": 1})"}) {
        EXPECT_EQ(call("POST", "/v1/checkpoints/import", wrong).status, 400) << wrong;
    }
    EXPECT_EQ(call("POST", "/v1/checkpoints/import", R"({"name": "nothing"})").status, 404);
}

}  // namespace
}  // namespace warmd
