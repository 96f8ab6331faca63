#include "daemon/registry/skopeo.h"

#include <gtest/gtest.h>

#include "tests/unit/expect_error.h"

namespace warmd {
namespace {

using test::contains;
using test::expect_error;
using Words = std::vector<std::string>;

class SkopeoTest : public testing::Test {
protected:
    Skopeo skopeo()
    {
        return Skopeo{options, [this](const Words& command, std::size_t, const std::stop_token&) {
                          commands.push_back(command);
                          return answer;
                      }};
    }
    void fails(const std::string& words) { answer = {.exit_status = 1, .out = {}, .errors = words + "\n"}; }

    RegistryOptions options{.repository = "registry.example.org:5000/warmd"};
    ProgramResult answer;
    std::vector<Words> commands;
};

TEST_F(SkopeoTest, PushesAndPullsByDigestWithoutChangingAnything)
{
    skopeo().push("/tmp/layout", "checkpoint", "octave.1", {});
    skopeo().pull("sha256:abc", "/tmp/layout", "checkpoint", {});
    EXPECT_EQ(commands.at(0),
              (Words{"skopeo", "--insecure-policy", "copy", "--quiet", "--preserve-digests",
                     "oci:/tmp/layout:checkpoint", "docker://registry.example.org:5000/warmd:octave.1"}));
    EXPECT_EQ(commands.at(1),
              (Words{"skopeo", "--insecure-policy", "copy", "--quiet", "--preserve-digests",
                     "docker://registry.example.org:5000/warmd@sha256:abc", "oci:/tmp/layout:checkpoint"}));
}

TEST_F(SkopeoTest, CredentialsAndCertificatesAreNamedAndNotRead)
{
    options.auth_file = "/etc/warmd/auth.json";
    options.certificate_directory = "/etc/warmd/certs";
    options.plain_http = true;
    skopeo().push("/l", "c", "t", {});
    skopeo().pull("sha256:a", "/l", "c", {});
    answer.out = R"({"Tags":[]})";
    skopeo().tags({});
    const auto has = [this](std::size_t at, const std::string& word) {
        return std::find(commands.at(at).begin(), commands.at(at).end(), word) != commands.at(at).end();
    };
    for (std::size_t at = 0; at < 3; ++at) EXPECT_TRUE(has(at, "--authfile=/etc/warmd/auth.json"));
    EXPECT_TRUE(has(0, "--dest-cert-dir=/etc/warmd/certs") && has(0, "--dest-tls-verify=false"));
    EXPECT_TRUE(has(1, "--src-cert-dir=/etc/warmd/certs") && has(1, "--src-tls-verify=false"));
    EXPECT_TRUE(has(2, "--cert-dir=/etc/warmd/certs") && has(2, "--tls-verify=false"));
}

TEST_F(SkopeoTest, ReadsTagsAndManifestsAndWhatIsMissing)
{
    answer.out = R"({"Repository":"r","Tags":["a","b"]})";
    EXPECT_EQ(skopeo().tags({}), (Words{"a", "b"}));
    answer.out = "{}";
    EXPECT_EQ(skopeo().manifest("a", {}), "{}");
    // As docker-registry 2.8 and skopeo 1.9 say it.
    fails(R"(level=fatal msg="fetching tags list: repository name not known to registry")");
    EXPECT_TRUE(skopeo().tags({}).empty());
    fails(R"(level=fatal msg="reading manifest nope in registry.example.org/warmd: manifest unknown")");
    EXPECT_FALSE(skopeo().manifest("nope", {}));
}

TEST_F(SkopeoTest, SaysWhatIsWrongAndWhatToDo)
{
    const auto code_of = [this](const std::string& words, ErrorCode code) {
        fails("first line\n" + words);
        const Error error = expect_error(code, [this] { skopeo().push("/l", "c", "t", {}); });
        EXPECT_EQ(error.cause(), words);
        return error;
    };
    const Error away = code_of("pinging container registry: connection refused", ErrorCode::unavailable);
    EXPECT_TRUE(contains(away.hint(), "skopeo list-tags docker://registry.example.org:5000/warmd"));
    const Error who = code_of("unauthorized: authentication required", ErrorCode::forbidden);
    EXPECT_TRUE(contains(who.hint(), "auth_file"));
    code_of("open /l/blobs/sha256/aa: no such file or directory", ErrorCode::not_found);
    code_of("write /l/blobs: no space left on device", ErrorCode::no_space);
    const Error kept_in = code_of("dial tcp: socket: address family not supported by protocol", ErrorCode::unavailable);
    EXPECT_TRUE(contains(kept_in.hint(), "systemctl edit warmd"));
    code_of("Digest did not match, expected sha256:aa, got sha256:bb", ErrorCode::invalid_archive);
    code_of("x509: certificate signed by unknown authority", ErrorCode::unavailable);
}

TEST_F(SkopeoTest, WithoutTheProgramItSaysHowToGetIt)
{
    Skopeo none{options, [](const Words&, std::size_t, const std::stop_token&) -> ProgramResult {
                    throw Error{ErrorCode::not_found, "no such program"};
                }};
    const Error error = expect_error(ErrorCode::unavailable, [&] { none.tags({}); });
    EXPECT_EQ(error.hint(), "apt-get install skopeo");
}

}  // namespace
}  // namespace warmd
