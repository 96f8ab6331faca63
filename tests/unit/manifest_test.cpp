#include "daemon/store/manifest.h"

#include <gtest/gtest.h>

#include "daemon/base/json.h"
#include "daemon/base/sha256.h"
#include "tests/unit/expect_error.h"

namespace warmd {
namespace {

using test::contains;
using test::expect_error;

Checkpoint example()
{
    Checkpoint checkpoint{.id = CheckpointId{"ckpt-1"},
                          .template_name = TemplateName{"octave"},
                          .template_digest = std::string(64, 'd'),
                          .state = CheckpointState::available,
                          .source = InstanceId{"inst-1"},
                          .image = "localhost/octave:latest",
                          .image_id = std::string(64, 'a'),
                          .agent_socket = "/run/warm-agent.sock",
                          .size_bytes = 123'456'789'012,
                          .sha256 = std::string(64, '5'),
                          .created_at = Time{Duration{1'700'000'000'123'456}}};
    checkpoint.available_at = Time{Duration{1'700'000'001'000'001}};
    checkpoint.phases = {{"start", Time{Duration{7}}, Duration{8}}, {"export", Time{Duration{9}}, Duration{10}}};
    checkpoint.environment = {{"kernel", "6.12"}, {"cpu_flags", "avx sse"}};
    checkpoint.statistics = {{"criu.frozen_time_us", 12}, {"rootfs.repaired_entries", -1}};
    return checkpoint;
}

/// The manifest with its member replaced, and with the sum that belongs to that.
std::string with(const std::string& name, Json value)
{
    Json json = parse_json(encode_manifest(example()));
    json[name] = std::move(value);
    json.erase("sum");
    json["sum"] = sha256_hex(dump_json(json));
    return dump_json(json);
}

TEST(Manifest, SaysEverythingThatTheRowSays)
{
    const Checkpoint read = decode_manifest(encode_manifest(example()));
    const Checkpoint written = example();
    EXPECT_EQ(read.id, written.id);
    EXPECT_EQ(read.template_name, written.template_name);
    EXPECT_EQ(read.template_digest, written.template_digest);
    EXPECT_EQ(read.state, CheckpointState::available);
    EXPECT_EQ(read.source, written.source);
    EXPECT_EQ(read.image, written.image);
    EXPECT_EQ(read.image_id, written.image_id);
    EXPECT_EQ(read.agent_socket, written.agent_socket);
    EXPECT_EQ(read.size_bytes, written.size_bytes);
    EXPECT_EQ(read.sha256, written.sha256);
    EXPECT_EQ(read.created_at, written.created_at);
    EXPECT_EQ(read.available_at, written.available_at);
    EXPECT_EQ(read.phases, written.phases);
    EXPECT_EQ(read.environment, written.environment);
    EXPECT_EQ(read.statistics, written.statistics);
}

TEST(Manifest, StaysTheSameHoweverOftenItIsReadAndWritten)
{
    const std::string text = encode_manifest(example());
    EXPECT_EQ(encode_manifest(decode_manifest(text)), text);
    EXPECT_EQ(parse_json(text).at("format"), 1);
}

TEST(Manifest, KeepsToItsSumWithTextThatIsNotUtf8)
{
    Checkpoint odd = example();
    odd.environment["cpu_model"] = "\xff\xfe";
    EXPECT_EQ(decode_manifest(encode_manifest(odd)).environment.at("cpu_model"), "\uFFFD\uFFFD");
}

TEST(Manifest, NoTimeOfAvailabilityIsNone)
{
    Checkpoint early = example();
    early.available_at.reset();
    EXPECT_FALSE(decode_manifest(encode_manifest(early)).available_at);
}

TEST(Manifest, EveryFlippedBitIsFound)
{
    const std::string good = encode_manifest(example());
    int found = 0;
    for (std::size_t byte = 0; byte < good.size(); ++byte) {
        for (unsigned bit = 0; bit < 8; ++bit) {
            std::string bad = good;
            bad[byte] = static_cast<char>(static_cast<unsigned char>(bad[byte]) ^ (1U << bit));
            try {
                static_cast<void>(decode_manifest(bad));
                ADD_FAILURE() << "byte " << byte << ", bit " << bit;
            } catch (const Error& error) {
                found += error.code() == ErrorCode::corrupt ? 1 : 0;
            }
        }
    }
    EXPECT_EQ(found, static_cast<int>(good.size()) * 8);
}

TEST(Manifest, ACutOneIsCorrupt)
{
    const std::string good = encode_manifest(example());
    for (std::size_t size = 0; size < good.size(); ++size) {
        expect_error(ErrorCode::corrupt, [&] { decode_manifest(std::string_view{good}.substr(0, size)); });
    }
}

TEST(Manifest, OfAnotherFormatIsCorruptAndAnUnknownMemberIsNot)
{
    EXPECT_TRUE(
        contains(expect_error(ErrorCode::corrupt, [] { decode_manifest(with("format", 2)); }).cause(), "format"));
    EXPECT_EQ(decode_manifest(with("later", "x")).id, example().id);
}

TEST(Manifest, AWrongMemberIsCorrupt)
{
    for (const auto& [name, value] : std::map<std::string, Json>{{"id", "../x"},
                                                                 {"template", 1},
                                                                 {"size_bytes", "many"},
                                                                 {"created_at", nullptr},
                                                                 {"phases", "none"},
                                                                 {"environment", Json::array()},
                                                                 {"statistics", {{"a", "b"}}}}) {
        expect_error(ErrorCode::corrupt, [&, name = name, value = value] { decode_manifest(with(name, value)); });
    }
}

}  // namespace
}  // namespace warmd
