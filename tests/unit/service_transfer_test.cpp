#include <filesystem>
#include <fstream>
#include <string>

#include "daemon/base/json.h"
#include "daemon/base/sha256.h"
#include "daemon/base/text.h"
#include "daemon/store/envelope.h"
#include "daemon/store/manifest.h"
#include "tests/support/keys.h"
#include "tests/support/service_fixture.h"
#include "tests/unit/expect_error.h"

namespace warmd {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::expect_error;
using test::read_file;
using test::write_file;

class TransferTest : public test::ServiceFixture {
protected:
    TransferTest()
    {
        options.trust.key = SigningKey::from_pem(test::kPrivateKey);
        options.trust.keys = {VerifyingKey::from_pem(test::kPublicKey)};
        options.trust.import_directory = imports;
        fs::create_directory(imports);
        fs::permissions(imports, fs::perms{0755});
    }

    /// Writes the files of a checkpoint where imports come from, and forgets the checkpoint here.
    Checkpoint send_away()
    {
        const Checkpoint made = checkpoint();
        write_file(tarball_of(made.id), read_file(store().path_of(made.id)));
        write_file(manifest_of(made.id), service().transfer().signed_manifest(made.id));
        fs::permissions(tarball_of(made.id), fs::perms{0644});
        fs::permissions(manifest_of(made.id), fs::perms{0644});
        EXPECT_EQ(finish(service().delete_checkpoint(made.id)).state, OperationState::succeeded);
        return made;
    }
    [[nodiscard]] fs::path tarball_of(const CheckpointId& id) const { return imports / (id.value() + ".tar"); }
    [[nodiscard]] fs::path manifest_of(const CheckpointId& id) const
    {
        return imports / (id.value() + ".manifest.json");
    }
    /// Signs what `change` has made of the manifest.
    template <typename Fn>
    void resign(const Checkpoint& of, Fn&& change)
    {
        Checkpoint changed = of;
        change(changed);
        write_file(manifest_of(of.id), seal_manifest(encode_manifest(changed), *options.trust.key));
    }

    Operation import(const CheckpointId& id) { return finish(service().import_checkpoint(id.value())); }
    Error refused(const CheckpointId& id, ErrorCode code)
    {
        return expect_error(code, [&] { service().import_checkpoint(id.value()); });
    }
    Error fails(const CheckpointId& id, ErrorCode code)
    {
        const Operation done = import(id);
        EXPECT_EQ(done.state, OperationState::failed);
        if (!done.error) return Error{ErrorCode::internal, "it did not fail"};
        EXPECT_EQ(to_string(done.error->code()), to_string(code)) << done.error->what();
        EXPECT_EQ(files_in("checkpoints"), 0U);
        EXPECT_EQ(files_in("tmp"), 0U);
        EXPECT_EQ(files_in("unpacked"), 0U);
        return *done.error;
    }

    const fs::path imports = directory / "imports";
};

TEST_F(TransferTest, ACheckpointComesBackAsItWas)
{
    const Checkpoint sent = send_away();
    const Operation done = import(sent.id);
    ASSERT_EQ(done.state, OperationState::succeeded) << done.error->what() << done.error->cause();
    EXPECT_EQ(done.checkpoint, sent.id);
    EXPECT_EQ(done.template_name, sent.template_name);
    const Checkpoint come = catalog().get(sent.id);
    EXPECT_EQ(come.state, CheckpointState::available);
    EXPECT_EQ(come.sha256, sent.sha256);
    EXPECT_EQ(come.size_bytes, sent.size_bytes);
    EXPECT_EQ(come.template_digest, sent.template_digest);
    EXPECT_EQ(come.image_id, sent.image_id);
    EXPECT_EQ(come.created_at, sent.created_at);
    EXPECT_EQ(come.environment.at("kernel"), sent.environment.at("kernel"));
    EXPECT_EQ(come.environment.at("signed_by"), test::kKeyId);
    EXPECT_EQ(sha256_hex(read_file(store().path_of(sent.id))), sent.sha256);
    const Operation restored = finish(service().restore(sent.id));
    EXPECT_EQ(restored.state, OperationState::succeeded) << restored.error->what();
    EXPECT_EQ(exec(restored.instance, "echo alive"), "alive\n");
}

TEST_F(TransferTest, PoolsAndTemplatesTakeItWhenItsTemplateIsTheSame)
{
    const Checkpoint sent = send_away();
    ASSERT_EQ(import(sent.id).state, OperationState::succeeded);
    EXPECT_EQ(finish(service().restore_newest(TemplateName{"quick"})).checkpoint, sent.id);
}

TEST_F(TransferTest, GetsANewIdWhereItsOwnIsAnothers)
{
    const Checkpoint sent = send_away();
    Checkpoint other = sent;
    other.sha256 = std::string(64, '0');
    catalog().save(other);
    const Operation done = import(sent.id);
    ASSERT_EQ(done.state, OperationState::succeeded) << done.error->what();
    EXPECT_NE(done.checkpoint, sent.id);
    EXPECT_EQ(catalog().get(done.checkpoint).sha256, sent.sha256);
}

TEST_F(TransferTest, IsRefusedWhenItIsHereAlready)
{
    const Checkpoint sent = send_away();
    ASSERT_EQ(import(sent.id).state, OperationState::succeeded);
    refused(sent.id, ErrorCode::conflict);
}

TEST_F(TransferTest, IsOffWithoutADirectory)
{
    const Checkpoint sent = send_away();
    options.trust.import_directory.clear();
    restart();
    EXPECT_FALSE(refused(sent.id, ErrorCode::untrusted).hint().empty());
}

TEST_F(TransferTest, WithoutAKeyNothingIsSigned)
{
    options.trust.key.reset();
    const Checkpoint made = checkpoint();
    const Error error = expect_error(ErrorCode::conflict,
                                     [&] { static_cast<void>(service().transfer().signed_manifest(made.id)); });
    EXPECT_TRUE(contains(error.hint(), "openssl genpkey")) << error.hint();
}

TEST_F(TransferTest, AnUntrustedOrChangedManifestIsRefusedAtOnce)
{
    const Checkpoint sent = send_away();
    const std::string envelope = read_file(manifest_of(sent.id));
    write_file(manifest_of(sent.id), seal_manifest("{}", SigningKey::from_pem(test::kOtherPrivateKey)));
    refused(sent.id, ErrorCode::untrusted);
    Json changed = parse_json(envelope);
    changed["payload"] = base64_encode(base64_decode(changed["payload"].get<std::string>()) + " ");
    write_file(manifest_of(sent.id), changed.dump());
    refused(sent.id, ErrorCode::untrusted);
    write_file(manifest_of(sent.id), "no envelope");
    refused(sent.id, ErrorCode::invalid_argument);
    write_file(manifest_of(sent.id), seal_manifest("no manifest", *options.trust.key));
    refused(sent.id, ErrorCode::invalid_argument);
    EXPECT_TRUE(catalog().checkpoints(Page::all()).empty());
}

TEST_F(TransferTest, AChangedTarballIsRefused)
{
    const Checkpoint sent = send_away();
    std::string bytes = read_file(tarball_of(sent.id));
    const std::size_t at = bytes.find("fake", bytes.find("inventory.img"));
    ASSERT_NE(at, std::string::npos);
    bytes[at] = 'F';
    write_file(tarball_of(sent.id), bytes);
    const Error error = fails(sent.id, ErrorCode::invalid_archive);
    EXPECT_TRUE(contains(error.what(), "not the one that the manifest is of")) << error.what();
    EXPECT_TRUE(contains(error.cause(), sent.sha256)) << error.cause();
    // What failed leaves its id free.
    bytes[at] = 'f';
    write_file(tarball_of(sent.id), bytes);
    EXPECT_EQ(import(sent.id).checkpoint, sent.id);
    EXPECT_EQ(catalog().get(sent.id).state, CheckpointState::available);
}

TEST_F(TransferTest, ALongerOrShorterTarballIsRefused)
{
    const Checkpoint sent = send_away();
    const std::string bytes = read_file(tarball_of(sent.id));
    write_file(tarball_of(sent.id), bytes + std::string(512, '\0'));
    fails(sent.id, ErrorCode::invalid_archive);
    write_file(tarball_of(sent.id), bytes.substr(0, bytes.size() / 2));
    fails(sent.id, ErrorCode::invalid_archive);
}

TEST_F(TransferTest, ATarballThatWantsMoreThanTheTemplateIsRefusedThoughItIsSigned)
{
    const Checkpoint sent = send_away();
    std::string bytes = read_file(tarball_of(sent.id));
    // The same length: no header changes.
    const std::string namespace_of_processes = R"({"type":"pid"})";
    const std::size_t at = bytes.find(namespace_of_processes);
    ASSERT_NE(at, std::string::npos);
    bytes.replace(at, namespace_of_processes.size(), R"({"type":"ipc"})");
    write_file(tarball_of(sent.id), bytes);
    resign(sent, [&](Checkpoint& changed) { changed.sha256 = sha256_hex(bytes); });
    const Error error = fails(sent.id, ErrorCode::invalid_archive);
    EXPECT_TRUE(contains(error.what(), "spec.dump: linux.namespaces")) << error.what();
}

TEST_F(TransferTest, AnImageThatIsNotTheManifestsIsRefused)
{
    const Checkpoint sent = send_away();
    resign(sent, [](Checkpoint& changed) { changed.image_id = std::string(64, 'b'); });
    EXPECT_TRUE(contains(fails(sent.id, ErrorCode::invalid_archive).what(), "rootfsImageID"));
}

TEST_F(TransferTest, FilesThatOthersCouldChangeAreRefused)
{
    const Checkpoint sent = send_away();
    for (const fs::path& path : {tarball_of(sent.id), manifest_of(sent.id), imports}) {
        const fs::perms before = fs::status(path).permissions();
        fs::permissions(path, fs::perms::others_write, fs::perm_options::add);
        EXPECT_TRUE(contains(refused(sent.id, ErrorCode::forbidden).what(), path.string()));
        fs::permissions(path, before);
    }
}

TEST_F(TransferTest, LinksAndOtherThanFilesAreRefused)
{
    const Checkpoint sent = send_away();
    fs::rename(tarball_of(sent.id), directory / "elsewhere.tar");
    fs::create_symlink(directory / "elsewhere.tar", tarball_of(sent.id));
    refused(sent.id, ErrorCode::forbidden);
    fs::remove(tarball_of(sent.id));
    ASSERT_EQ(::mkfifo(tarball_of(sent.id).c_str(), 0600), 0);
    refused(sent.id, ErrorCode::forbidden);
    fs::remove(tarball_of(sent.id));
    refused(sent.id, ErrorCode::not_found);
}

TEST_F(TransferTest, NamesThatLeadElsewhereAreRefused)
{
    for (const char* const name : {"", ".", "..", "../a", "a/b", "-a", ".a", "a b", "a\n"}) {
        expect_error(ErrorCode::invalid_argument, [&] { service().import_checkpoint(name); });
    }
    expect_error(ErrorCode::not_found, [&] { service().import_checkpoint("nothing"); });
}

TEST_F(TransferTest, WhatIsImportedIsWhatWasLookedAtAndNotWhatHasItsNameLater)
{
    const Checkpoint sent = send_away();
    const Incoming incoming = service().transfer().receive(sent.id.value());
    const std::string content = read_file(tarball_of(sent.id));
    fs::rename(tarball_of(sent.id), imports / "moved.tar");
    write_file(tarball_of(sent.id), "something else");
    std::string bytes(content.size() + 1, '\0');
    std::size_t size = 0;
    while (const std::size_t count = incoming.read(bytes.data() + size, bytes.size() - size)) size += count;
    bytes.resize(size);
    EXPECT_TRUE(bytes == content);
}

}  // namespace
}  // namespace warmd
