#include "daemon/registry/packing.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "daemon/base/json.h"
#include "daemon/base/sha256.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/expect_error.h"

namespace warmd {
namespace {

using test::contains;
using test::expect_error;

/// Bytes without a pattern; the same for the same seed.
std::string noise(std::size_t size, unsigned seed = 1)
{
    std::mt19937_64 dice{seed};
    std::string bytes(size, '\0');
    for (char& byte : bytes) byte = static_cast<char>(dice());
    return bytes;
}

std::vector<std::string> cut(std::string_view bytes, std::size_t piece = 1U << 20U)
{
    std::vector<std::string> chunks;
    ContentChunker chunker{[&chunks](std::string_view chunk) { chunks.emplace_back(chunk); }};
    for (std::size_t at = 0; at < bytes.size(); at += piece) chunker.write(bytes.substr(at, piece));
    chunker.finish();
    return chunks;
}

TEST(ContentChunker, LosesNothingAndKeepsToItsSizes)
{
    const std::string bytes = noise(5'000'000) + std::string(1'000'000, '\0') + noise(10, 2);
    const auto chunks = cut(bytes);
    std::string together;
    for (const std::string& chunk : chunks) {
        together += chunk;
        EXPECT_LE(chunk.size(), kMaxChunk);
        EXPECT_TRUE(chunk.size() >= kMinChunk || &chunk == &chunks.back());
    }
    EXPECT_TRUE(together == bytes);
    EXPECT_TRUE(cut({}).empty());
}

TEST(ContentChunker, CutsTheSameHoweverTheBytesCome)
{
    const std::string bytes = noise(1'000'000);
    EXPECT_TRUE(cut(bytes) == cut(bytes, 777));
}

TEST(ContentChunker, FindsTheSameStretchAgainWhereverItStands)
{
    const std::string bytes = noise(4'000'000);
    std::string changed = "something before it" + bytes;
    changed[2'000'000] = static_cast<char>(changed[2'000'000] ^ 1);
    const auto before = cut(bytes);
    const auto after = cut(changed);
    std::size_t known = 0;
    for (const std::string& chunk : after) known += std::find(before.begin(), before.end(), chunk) != before.end();
    EXPECT_GE(known + 4, before.size());
}

class PackingTest : public testing::Test {
protected:
    ChunkIndex pack(std::string_view bytes, const ChunkIndex& base = {})
    {
        Packer packer{layout, base};
        packer.write(bytes);
        ChunkIndex index = packer.finish();
        new_bytes = packer.new_bytes();
        return index;
    }

    std::string unpack(const ChunkIndex& index)
    {
        Unpacker unpacker{layout, index, [this](const std::string& digest) { awaited.push_back(digest); }};
        std::string bytes;
        std::vector<char> buffer(100'000);
        while (const std::size_t count = unpacker.read(buffer.data(), buffer.size()))
            bytes.append(buffer.data(), count);
        return bytes;
    }

    test::TempDir directory;
    OciLayout layout{directory / "layout"};
    std::uint64_t new_bytes = 0;
    std::vector<std::string> awaited;
};

TEST_F(PackingTest, ATarballComesBackAndItsPacksAreAskedForInOrder)
{
    const std::string bytes = noise(20'000'000) + std::string(3'000'000, 'x');
    const ChunkIndex index = pack(bytes);
    EXPECT_EQ(index.size_bytes(), bytes.size());
    EXPECT_GE(index.packs.size(), 2U);
    EXPECT_TRUE(unpack(index) == bytes);
    std::vector<std::string> digests;
    for (const Pack& one : index.packs) digests.push_back(one.digest);
    EXPECT_EQ(awaited, digests);
}

TEST_F(PackingTest, WhatIsThereTwiceIsPackedOnce)
{
    const std::string bytes = noise(1'000'000);
    pack(bytes + bytes + bytes);
    EXPECT_LT(new_bytes, 1'200'000U);
    pack(std::string(50'000'000, '\0'));
    EXPECT_LT(new_bytes, 10'000U);
}

TEST_F(PackingTest, OfTheNextGenerationOnlyWhatIsNewIsPacked)
{
    std::string bytes = noise(10'000'000);
    const ChunkIndex first = pack(bytes);
    for (std::size_t at = 1'000'000; at < bytes.size(); at += 3'000'000) bytes.replace(at, 100, std::string(200, 'n'));
    const ChunkIndex second = pack(bytes, first);
    EXPECT_GT(new_bytes, 0U);
    EXPECT_LT(new_bytes, 600'000U);
    EXPECT_EQ(second.packs.size(), first.packs.size() + 1);
    EXPECT_TRUE(unpack(second) == bytes);
}

TEST_F(PackingTest, ADamagedPackIsNoticed)
{
    const ChunkIndex index = pack(noise(1'000'000));
    std::string pack = test::read_file(layout.path_of(index.packs.at(0).digest));
    pack[500'000] = static_cast<char>(pack[500'000] ^ 1);
    test::write_file(layout.path_of(index.packs.at(0).digest), pack);
    expect_error(ErrorCode::invalid_archive, [&] { unpack(index); });
    pack.resize(500'000);
    test::write_file(layout.path_of(index.packs.at(0).digest), pack);
    expect_error(ErrorCode::invalid_archive, [&] { unpack(index); });
}

TEST_F(PackingTest, ABlobThatDoesNotComeEndsIt)
{
    Unpacker unpacker{layout, pack(noise(100'000)), [](const std::string&) {
                          throw Error{ErrorCode::unavailable, "gone"};
                      }};
    char byte = 0;
    expect_error(ErrorCode::unavailable, [&] { unpacker.read(&byte, 1); });
}

TEST_F(PackingTest, AnIndexComesBackAsItWas)
{
    const ChunkIndex index = pack(noise(3'000'000));
    EXPECT_EQ(decode_index(encode_index(index)), index);
}

std::string index_of(const std::string& json) { return ZstdFrames{}.compress(json); }

TEST(DecodeIndex, RefusesWhatIsNone)
{
    const std::string pack = R"({"digest":"sha256:)" + std::string(64, 'a') + R"(","size":100})";
    const std::string sum = '"' + std::string(64, 'b') + '"';
    const auto with = [&](const std::string& chunk) {
        return index_of(R"({"format":1,"packs":[)" + pack + R"(],"chunks":[)" + chunk + "]}");
    };
    EXPECT_EQ(decode_index(with("[" + sum + ",10,0,90,10]")).size_bytes(), 10U);
    for (const std::string& blob :
         {std::string{}, std::string{"garbage"}, index_of("garbage"), index_of("[]"), index_of(R"({"format":2})"),
          index_of(R"({"format":1})"), index_of(R"({"format":1,"packs":[1],"chunks":[]})"),
          index_of(R"({"format":1,"packs":[{"digest":"sha256:../../etc/passwd","size":1}],"chunks":[]})"),
          with("[" + sum + ",10,1,0,10]"), with("[" + sum + ",10,0,91,10]"), with("[" + sum + ",0,0,0,10]"),
          with("[" + sum + ",300000,0,0,10]"), with("[" + sum + ",-1,0,0,10]"), with("[\"b\",10,0,0,10]"),
          with("[" + sum + ",10,0,0]"), with("[" + sum + ",10,0,18446744073709551615,10]")}) {
        expect_error(ErrorCode::invalid_archive, [&] { decode_index(blob); });
    }
}

TEST(ZstdFramesTest, RefusesABombAndWhatFollowsAFrame)
{
    ZstdFrames frames;
    const std::string bomb = frames.compress(std::string(10'000'000, '\0'));
    EXPECT_TRUE(contains(expect_error(ErrorCode::invalid_archive, [&] { frames.decompress(bomb, 1000); }).what(),
                         "larger than 1000 bytes"));
    expect_error(ErrorCode::invalid_archive, [&] { frames.decompress(frames.compress("a") + "b", 1000); });
    EXPECT_EQ(frames.decompress(frames.compress(""), 0), "");
}

TEST(DecodeArtifact, RefusesWhatIsNone)
{
    for (const char* const text : {"", "[]", "{}", R"({"layers":[{"digest":"sha256:1","size":1,"mediaType":"x"}]})",
                                   R"({"layers":[{"digest":7}]})", R"({"layers":[],"annotations":{"a":1}})"}) {
        expect_error(ErrorCode::invalid_archive, [&] { decode_artifact(text); });
    }
}

TEST(OciLayoutTest, IsWhatTheImageSpecificationSays)
{
    const test::TempDir directory;
    OciLayout layout{directory / "layout"};
    const Descriptor blob = layout.add("text/plain", "hello");
    EXPECT_EQ(blob.digest, "sha256:" + sha256_hex("hello"));
    const Artifact artifact{.type = "application/x", .layers = {blob}, .annotations = {{"a", "b"}}};
    const std::string digest = layout.set_artifact(artifact, "name");
    const std::string manifest = test::read_file(layout.path_of(digest));
    EXPECT_EQ("sha256:" + sha256_hex(manifest), digest);
    const Json json = parse_json(manifest);
    EXPECT_EQ(json.at("mediaType"), "application/vnd.oci.image.manifest.v1+json");
    EXPECT_EQ(json.at("config").at("mediaType"), "application/vnd.oci.empty.v1+json");
    EXPECT_EQ(test::read_file(layout.path_of(json.at("config").at("digest"))), "{}");
    const Json index = parse_json(test::read_file(layout.directory() / "index.json"));
    EXPECT_EQ(index.at("manifests").at(0).at("digest"), digest);
    EXPECT_EQ(decode_artifact(manifest).layers, artifact.layers);
    EXPECT_EQ(decode_artifact(manifest).annotations, artifact.annotations);
}

}  // namespace
}  // namespace warmd
