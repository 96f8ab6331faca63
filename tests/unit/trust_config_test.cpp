#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "daemon/config/config.h"
#include "tests/support/keys.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/expect_error.h"

namespace warmd {
namespace {

namespace fs = std::filesystem;
using test::contains;

class TrustConfigTest : public ::testing::Test {
protected:
    fs::path key_file(const std::string& name, const std::string& pem, unsigned mode)
    {
        fs::path path = directory / name;
        test::write_file(path, pem);
        fs::permissions(path, static_cast<fs::perms>(mode));
        return path;
    }
    Config load(const std::string& trust)
    {
        test::write_file(directory / "etc/warmd.toml", "[trust]\n" + trust);
        problems.clear();
        return load_config(directory / "etc", problems);
    }
    void expect_problem(const std::string& trust, const std::string& words)
    {
        load(trust);
        ASSERT_EQ(problems.size(), 1U);
        EXPECT_TRUE(contains(problems[0].message, words)) << problems[0].message;
    }

    test::TempDir directory;
    std::vector<ConfigProblem> problems;
};

TEST_F(TrustConfigTest, IsOffUnlessItIsThere)
{
    test::write_file(directory / "etc/warmd.toml", "");
    const Config config = load_config(directory / "etc", problems);
    EXPECT_TRUE(problems.empty());
    EXPECT_FALSE(config.trust.key);
    EXPECT_TRUE(config.trust.keys.empty());
    EXPECT_TRUE(config.trust.import_directory.empty());
}

TEST_F(TrustConfigTest, ReadsKeysByNameAndByPattern)
{
    const std::string secret = key_file("keys/this.pem", test::kPrivateKey, 0600);
    key_file("keys/a.pub", test::kPublicKey, 0644);
    key_file("keys/b.pub", test::kOtherPublicKey, 0600);
    const std::string keys = (directory / "keys").string();
    const Config config = load("key = \"" + secret + "\"\nkeys = [\"" + keys + "/*.pub\", \"" + keys +
                               "/none-*\"]\nimport_directory = \"/srv/in\"\n");
    EXPECT_TRUE(problems.empty()) << problems.front().message;
    EXPECT_EQ(config.trust.key->id(), test::kKeyId);
    ASSERT_EQ(config.trust.keys.size(), 2U);
    EXPECT_EQ(config.trust.keys[0].id(), test::kKeyId);
    EXPECT_EQ(config.trust.import_directory, "/srv/in");
}

TEST_F(TrustConfigTest, KeysThatOthersCouldReadOrChangeAreMistakes)
{
    const std::string secret = key_file("this.pem", test::kPrivateKey, 0640);
    expect_problem("key = \"" + secret + "\"\n", "nobody else may read it");
    const std::string open = key_file("a.pub", test::kPublicKey, 0666);
    expect_problem("keys = [\"" + open + "\"]\n", "nobody else may write it");
}

TEST_F(TrustConfigTest, WhatIsNoKeyIsAMistakeThatNamesTheFile)
{
    const std::string path = key_file("a.pub", "no key", 0600);
    expect_problem("keys = [\"" + path + "\"]\n", path + ": it is not the PEM of an Ed25519 public key");
    expect_problem("key = \"" + path + "\"\n", path + ": it is not the PEM of an Ed25519 private key");
    expect_problem("keys = [\"" + path + ".missing\"]\n", path + ".missing: No such file");
    expect_problem("keys = [\"a.pub\"]\n", "is not an absolute path");
    expect_problem("keys = [\"" + directory.path().string() + "\"]\n", "is not a file");
}

}  // namespace
}  // namespace warmd
