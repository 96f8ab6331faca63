#include "dockerfiles/agent/protocol.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "dockerfiles/agent/session_line.h"
#include "tests/unit/expect_error.h"

namespace warmd::agent {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using test::contains;
using test::expect_error;

std::vector<Frame> frames_in(FrameReader& reader)
{
    std::vector<Frame> frames;
    while (auto frame = reader.next()) frames.push_back(*frame);
    return frames;
}

/// A frame's five first bytes, whatever they say.
std::string header(std::uint32_t length, char type)
{
    std::string bytes;
    for (unsigned shift = 32; shift > 0; shift -= 8) bytes += static_cast<char>(length >> (shift - 8) & 255U);
    return bytes + type;
}

TEST(AgentFrames, HaveABigEndianLengthAndAType)
{
    EXPECT_EQ(encode_frame(FrameType::request, "ab"), "\0\0\0\2Qab"s);
    EXPECT_EQ(encode_frame(FrameType::input, ""), "\0\0\0\0I"s);
    EXPECT_EQ(encode_frame(FrameType::out, std::string(0x010203, 'x')).substr(0, 5), "\0\1\2\3O"s);
}

TEST(AgentFrames, AreReadBackFromSingleBytes)
{
    const std::string all = encode_frame(FrameType::out, "\0\xff\n"s) + encode_frame(FrameType::input, "") +
                            encode_frame(FrameType::signal, "\x0f") + encode_frame(FrameType::reply, "{}");
    FrameReader reader;
    std::vector<Frame> frames;
    for (const char byte : all) {
        reader.write({&byte, 1});
        if (auto frame = reader.next()) frames.push_back(*frame);
    }
    ASSERT_EQ(frames.size(), 4U);
    EXPECT_EQ(frames[0].type, FrameType::out);
    EXPECT_EQ(frames[0].payload, "\0\xff\n"s);
    EXPECT_EQ(frames[1].type, FrameType::input);
    EXPECT_EQ(frames[1].payload, "");
    EXPECT_EQ(frames[2].type, FrameType::signal);
    EXPECT_EQ(frames[3].type, FrameType::reply);
    EXPECT_EQ(frames[3].payload, "{}");
}

TEST(AgentFrames, SeveralInOnePieceComeOneByOne)
{
    FrameReader reader;
    const std::string half = encode_frame(FrameType::err, "third");
    reader.write(encode_frame(FrameType::out, "first") + encode_frame(FrameType::out, "second") + half.substr(0, 7));
    EXPECT_EQ(frames_in(reader).size(), 2U);
    reader.write(half.substr(7));
    const auto last = frames_in(reader);
    ASSERT_EQ(last.size(), 1U);
    EXPECT_EQ(last[0].payload, "third");
}

TEST(AgentFrames, ManyLargeOnesInOnePieceAreAllRead)
{
    std::string all;
    for (char c = 'a'; c < 'a' + 5; ++c) all += encode_frame(FrameType::out, std::string(kMaxPayload / 2, c));
    FrameReader reader;
    reader.write(all);
    const auto frames = frames_in(reader);
    ASSERT_EQ(frames.size(), 5U);
    for (std::size_t i = 0; i < frames.size(); ++i) {
        EXPECT_EQ(frames[i].payload, std::string(kMaxPayload / 2, static_cast<char>('a' + i)));
    }
}

TEST(AgentFrames, TheLargestPayloadFitsAndOneByteMoreDoesNot)
{
    const std::string largest(kMaxPayload, 'x');
    FrameReader reader;
    reader.write(encode_frame(FrameType::out, largest));
    const auto frames = frames_in(reader);
    ASSERT_EQ(frames.size(), 1U);
    EXPECT_EQ(frames[0].payload, largest);
    expect_error(ErrorCode::too_large, [&] { encode_frame(FrameType::out, largest + 'x'); });
}

TEST(AgentFrames, ATooLongOneIsRefusedByItsHeaderAlone)
{
    for (const std::uint32_t length : {static_cast<std::uint32_t>(kMaxPayload) + 1, 0x7FFFFFFFU, 0xFFFFFFFFU}) {
        FrameReader reader;
        reader.write(header(length, 'O'));
        expect_error(ErrorCode::invalid_argument, [&] { reader.next(); });
    }
}

TEST(AgentFrames, AnUnknownTypeIsRefusedByItsHeaderAlone)
{
    for (const char type : {'\0', 'q', 'X', ' ', '\xff'}) {
        FrameReader reader;
        reader.write(header(10, type));
        expect_error(ErrorCode::invalid_argument, [&] { reader.next(); });
    }
}

struct Refusal {
    const char* what;
    std::string payload;
    const char* field;
};

class AgentRequestRefusal : public testing::TestWithParam<Refusal> {};

TEST_P(AgentRequestRefusal, NamesTheMember)
{
    const Error error = expect_error(ErrorCode::invalid_argument, [] { decode_request(GetParam().payload); });
    EXPECT_EQ(error.field(), GetParam().field) << error.what();
    EXPECT_TRUE(contains(error.what(), GetParam().field)) << error.what();
}

std::string exec_with(const std::string& members) { return R"({"version": 1, "op": "exec", )" + members + "}"; }

std::string with_command(const std::string& members) { return exec_with(R"("command": ["true"], )" + members); }

INSTANTIATE_TEST_SUITE_P(
    , AgentRequestRefusal,
    testing::Values(Refusal{"NoVersion", R"({"op": "ping"})", "version"},
                    Refusal{"VersionOfAnotherType", R"({"version": "1", "op": "ping"})", "version"},
                    Refusal{"OlderVersion", R"({"version": 0, "op": "ping"})", "version"},
                    Refusal{"NewerVersionWithUnknownMembers", R"({"version": 2, "op": "warp", "speed": 9})", "version"},
                    Refusal{"NoOp", R"({"version": 1})", "op"},
                    Refusal{"UnknownOp", R"({"version": 1, "op": "Ping"})", "op"},
                    Refusal{"OpOfAnotherType", R"({"version": 1, "op": 7})", "op"},
                    Refusal{"UnknownMember", R"({"version": 1, "op": "ping", "extra": 1})", "extra"},
                    Refusal{"MemberOfAnotherOp", R"({"version": 1, "op": "quiesce", "env": {}})", "env"},
                    Refusal{"NeitherCommandNorCode", exec_with(R"("workdir": "/")"), "command"},
                    Refusal{"EmptyCommand", exec_with(R"("command": [])"), "command"},
                    Refusal{"CommandAndCode", exec_with(R"("command": ["true"], "code": "1")"), "command"},
                    Refusal{"CommandAsText", exec_with(R"("command": "true")"), "command"},
                    Refusal{"CommandOfNumbers", exec_with(R"("command": ["true", 1])"), "command"},
                    Refusal{"NulInCommand", exec_with(R"("command": ["true", "a\u0000b"])"), "command"},
                    Refusal{"NulInCode", exec_with(R"("code": "a\u0000b")"), "code"},
                    Refusal{"CodeOfAnotherType", exec_with(R"("code": 1)"), "code"},
                    Refusal{"EnvAsArray", with_command(R"("env": ["A=b"])"), "env"},
                    Refusal{"EnvValueOfAnotherType", with_command(R"("env": {"A": 1})"), "env.A"},
                    Refusal{"EmptyEnvName", with_command(R"("env": {"": "x"})"), "env."},
                    Refusal{"EqualsInEnvName", with_command(R"("env": {"A=B": "x"})"), "env.A=B"},
                    Refusal{"NulInEnvValue", with_command(R"("env": {"A": "x\u0000"})"), "env.A"},
                    Refusal{"NulInEnvName", with_command(R"("env": {"A\u0000": "x"})"), "env.A\\x00"},
                    Refusal{"RelativeWorkdir", with_command(R"("workdir": "tmp")"), "workdir"},
                    Refusal{"NulInWorkdir", with_command(R"("workdir": "/tmp\u0000")"), "workdir"},
                    Refusal{"NoTime", with_command(R"("timeout_ms": 0)"), "timeout_ms"},
                    Refusal{"NegativeTime", with_command(R"("timeout_ms": -1)"), "timeout_ms"},
                    Refusal{"MoreThanAYear", with_command(R"("timeout_ms": 31536000001)"), "timeout_ms"},
                    Refusal{"MoreThanFits", with_command(R"("timeout_ms": 18446744073709551615)"), "timeout_ms"},
                    Refusal{"FractionalTime", with_command(R"("timeout_ms": 1.5)"), "timeout_ms"},
                    Refusal{"StdinWithCode", exec_with(R"("code": "1", "stdin": true)"), "stdin"},
                    Refusal{"StdinOfAnotherType", with_command(R"("stdin": "yes")"), "stdin"},
                    Refusal{"UnknownMemberOfExec", with_command(R"("user": "root")"), "user"},
                    Refusal{"ReadyWithoutStage", R"({"version": 1, "op": "ready"})", "until"},
                    Refusal{"ReadyUntilAnUnknownStage", R"({"version": 1, "op": "ready", "until": "end"})", "until"},
                    Refusal{"ReadyInNoTime", R"({"version": 1, "op": "ready", "until": "init", "timeout_ms": 0})",
                            "timeout_ms"},
                    Refusal{"StartWithABadName", R"({"version": 1, "op": "start", "env": {"A=": ""}})", "env.A="},
                    Refusal{"NulInHostname", R"({"version": 1, "op": "resumed", "hostname": "a\u0000b"})", "hostname"}),
    [](const auto& test) { return std::string{test.param.what}; });

TEST(AgentRequests, AnotherVersionIsToldTheOneThatIsSpoken)
{
    const Error error = expect_error(ErrorCode::invalid_argument,
                                     [] { decode_request(R"({"version": 7, "op": "ping"})"); });
    EXPECT_TRUE(contains(error.what(), "7")) << error.what();
    EXPECT_TRUE(contains(error.what(), "version 1")) << error.what();
}

TEST(AgentRequests, WhatIsNoJsonObjectIsRefused)
{
    for (const std::string payload : {"", "{", "[]", "1", "null", "\"ping\"", "{} {}", "{\"op\": \"\xff\"}"}) {
        expect_error(ErrorCode::invalid_argument, [&] { decode_request(payload); });
    }
    expect_error(ErrorCode::invalid_argument, [] { decode_request(std::string(100'000, '[')); });
}

TEST(AgentRequests, ACommandSurvivesTheWay)
{
    Request request{.op = Op::exec};
    request.exec = {.command = {"printf", "%s", "", "\xc3\xa4 \"\n"},
                    .env = {{"A", "1=2"}, {"EMPTY", ""}},
                    .workdir = "/a b",
                    .timeout = 1500ms,
                    .input = true};
    const Request decoded = decode_request(encode_request(request));
    EXPECT_EQ(decoded.op, Op::exec);
    EXPECT_EQ(decoded.exec.command, request.exec.command);
    EXPECT_FALSE(decoded.exec.code);
    EXPECT_EQ(decoded.exec.env, request.exec.env);
    EXPECT_EQ(decoded.exec.workdir, "/a b");
    EXPECT_EQ(decoded.exec.timeout, Duration{1500ms});
    EXPECT_TRUE(decoded.exec.input);
}

TEST(AgentRequests, CodeSurvivesTheWayAlsoWhenItIsEmpty)
{
    for (const std::string code : {"", "disp(1)\n% \xe2\x82\xac"}) {
        Request request{.op = Op::exec};
        request.exec.code = code;
        const Request decoded = decode_request(encode_request(request));
        EXPECT_EQ(decoded.exec.code, code);
        EXPECT_TRUE(decoded.exec.command.empty());
        EXPECT_FALSE(decoded.exec.timeout);
        EXPECT_FALSE(decoded.exec.input);
    }
}

TEST(AgentRequests, AllOthersSurviveTheWay)
{
    EXPECT_EQ(decode_request(encode_request({.op = Op::ping})).op, Op::ping);
    EXPECT_EQ(decode_request(encode_request({.op = Op::quiesce})).op, Op::quiesce);
    const Request start = decode_request(encode_request({.op = Op::start, .env = {{"SECRET", "s"}}}));
    EXPECT_EQ(start.op, Op::start);
    EXPECT_EQ(start.env.at("SECRET"), "s");
    const Request ready = decode_request(encode_request({.op = Op::ready, .until = Stage::start, .timeout = 2s}));
    EXPECT_EQ(ready.op, Op::ready);
    EXPECT_EQ(ready.until, Stage::start);
    EXPECT_EQ(ready.timeout, Duration{2s});
    const Request resumed = decode_request(
        encode_request({.op = Op::resumed, .env = {{"A", "b"}}, .hostname = "inst-1"}));
    EXPECT_EQ(resumed.op, Op::resumed);
    EXPECT_EQ(resumed.env.at("A"), "b");
    EXPECT_EQ(resumed.hostname, "inst-1");
}

TEST(AgentReplies, AnOutcomeSurvivesTheWay)
{
    const ExecOutcome outcome = decode_exec_outcome(
        encode(ExecOutcome{.exit_status = 137, .timed_out = true, .session_ended = true, .elapsed = 812us}));
    EXPECT_EQ(outcome.exit_status, 137);
    EXPECT_TRUE(outcome.timed_out);
    EXPECT_TRUE(outcome.session_ended);
    EXPECT_EQ(outcome.elapsed, 812us);
}

TEST(AgentReplies, APongSurvivesTheWayInEachState)
{
    for (const State state : {State::waiting, State::starting, State::initialised, State::ended}) {
        const Pong pong = decode_pong(
            encode(Pong{.agent = "0.1.0", .session = true, .state = state, .application = 7}));
        EXPECT_EQ(pong.version, kProtocolVersion);
        EXPECT_EQ(pong.agent, "0.1.0");
        EXPECT_TRUE(pong.session);
        EXPECT_EQ(pong.state, state);
        EXPECT_EQ(pong.application, 7);
    }
}

TEST(AgentReplies, MembersOfANewerAgentAreTolerated)
{
    EXPECT_EQ(decode_exec_outcome(R"({"exit_status": 3, "elapsed_us": 1, "cpu_us": 9})").exit_status, 3);
    EXPECT_NO_THROW(decode_done(R"({"more": []})"));
    EXPECT_NO_THROW(decode_done(encode_resumed("/tmp/warm-1")));
}

TEST(AgentReplies, OnlyFourCodesOfErrorsPassThrough)
{
    for (const char* const name : {"invalid_argument", "not_found", "method_not_allowed", "conflict", "too_large",
                                   "unsupported_media", "no_space", "busy", "unavailable", "timeout", "cancelled",
                                   "engine_failed", "not_ready", "corrupt", "interrupted", "internal"}) {
        const auto code = error_code_from_string(name);
        ASSERT_TRUE(code) << name;
        const bool passes = *code == ErrorCode::invalid_argument || *code == ErrorCode::conflict ||
                            *code == ErrorCode::timeout || *code == ErrorCode::not_ready;
        const std::string reply = encode_error(Error{*code, "the agent's words"});
        const Error error = expect_error(passes ? *code : ErrorCode::engine_failed, [&] { decode_done(reply); });
        EXPECT_STREQ(error.what(), "the agent's words");
    }
    const std::string unknown = R"({"error": {"code": "on_fire", "message": "m"}})";
    expect_error(ErrorCode::engine_failed, [&] { decode_exec_outcome(unknown); });
    expect_error(ErrorCode::engine_failed, [&] { decode_pong(unknown); });
}

TEST(AgentReplies, TheWordsOfAnErrorCannotForgeLogLines)
{
    const Error error = expect_error(ErrorCode::conflict, [] {
        decode_done(encode_error(Error{ErrorCode::conflict, "a\nb\x1b[2J"}));
    });
    EXPECT_FALSE(contains(error.what(), "\n"));
    EXPECT_FALSE(contains(error.what(), "\x1b"));
}

TEST(AgentReplies, GarbageIsAFailureOfTheAgent)
{
    for (const std::string payload : {"", "{", "[]", "null", "\xff\xfe", R"({"error": 1})", R"({"error": {}})",
                                      R"({"error": {"code": "conflict"}})", R"({"error": {"code": 1, "message": "m"}})",
                                      R"({"error": {"code": "conflict", "message": []}})"}) {
        SCOPED_TRACE(payload);
        expect_error(ErrorCode::engine_failed, [&] { decode_done(payload); });
        expect_error(ErrorCode::engine_failed, [&] { decode_pong(payload); });
        expect_error(ErrorCode::engine_failed, [&] { decode_exec_outcome(payload); });
    }
    for (const std::string payload : {"{}", R"({"exit_status": 0})", R"({"exit_status": "0", "elapsed_us": 1})",
                                      R"({"exit_status": 0, "elapsed_us": 1, "timed_out": "no"})"}) {
        SCOPED_TRACE(payload);
        expect_error(ErrorCode::engine_failed, [&] { decode_exec_outcome(payload); });
    }
    expect_error(ErrorCode::engine_failed, [] { decode_pong(R"({"version": 1, "state": "initialised"})"); });
    expect_error(ErrorCode::engine_failed, [] { decode_done(std::string(100'000, '[')); });
}

constexpr const char* kNonce = "0123456789abcdef0123456789abcdef";
const std::string kMarker = "\x1ewarm "s + kNonce + " 0\n";

TEST(SessionLines, AnExecNamesItsDirectoryCodeAndVariables)
{
    EXPECT_EQ(encode_exec_line("N", "/home", "disp(1)", {{"A", "b"}, {"C", ""}}),
              "N exec %2Fhome disp%281%29 A%3Db C%3D\n\n");
    EXPECT_EQ(encode_exec_line("N", "/", "x-._~9", {}), "N exec %2F x-._~9\n\n");
}

TEST(SessionLines, NoFieldOfThemIsEmpty) { EXPECT_EQ(encode_exec_line("N", "/", "", {}), "N exec %2F %20\n\n"); }

TEST(SessionLines, NoByteOfTheCodeCanEndAFieldOrTheLine)
{
    std::string code;
    for (int byte = 1; byte < 256; ++byte) code += static_cast<char>(byte);
    const std::string line = encode_exec_line("N", "/", code, {});
    ASSERT_TRUE(line.starts_with("N exec %2F %01")) << line;
    EXPECT_EQ(line.find('\n'), line.size() - 2);
    EXPECT_EQ(line.find(' ', 11), std::string::npos);
    EXPECT_EQ(encode_exec_line("N", "/", "a b\n%\xc3\xa4\r\t", {}), "N exec %2F a%20b%0A%25%C3%A4%0D%09\n\n");
}

TEST(SessionLines, AResumeNamesSeedDirectoryAndVariables)
{
    EXPECT_EQ(encode_resume_line("N", 2147483647U, "/tmp/warm-1", {{"HOSTNAME", "inst 1"}}),
              "N resume 2147483647 %2Ftmp%2Fwarm-1 HOSTNAME%3Dinst%201\n\n");
}

TEST(SessionLines, NoncesAre32HexadecimalDigitsAndNeverTheSame)
{
    const std::string nonce = new_nonce();
    EXPECT_EQ(nonce.size(), 32U);
    EXPECT_EQ(nonce.find_first_not_of("0123456789abcdef"), std::string::npos);
    EXPECT_NE(nonce, new_nonce());
}

TEST(MarkerScanner, FindsTheMarkerWhereverTheStreamIsCut)
{
    const std::string before = "out\nput \x1e and \x1ewarm 0123"s;
    const std::string after = "later \x1ewarm"s;
    const std::string stream = before + kMarker + after;
    for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
        MarkerScanner scanner{kNonce};
        std::string output = scanner.feed(stream.substr(0, cut));
        EXPECT_EQ(scanner.found(), cut >= before.size() + kMarker.size()) << cut;
        output += scanner.feed(stream.substr(cut));
        ASSERT_TRUE(scanner.found()) << cut;
        EXPECT_EQ(output, before) << cut;
        EXPECT_EQ(scanner.status(), 0) << cut;
        EXPECT_EQ(scanner.take_rest(), after) << cut;
        EXPECT_EQ(scanner.take_rest(), "") << cut;
    }
}

TEST(MarkerScanner, FindsTheMarkerInSingleBytes)
{
    MarkerScanner scanner{kNonce};
    std::string output;
    for (const char byte : "x\x1ewarm y"s + kMarker) output += scanner.feed({&byte, 1});
    EXPECT_TRUE(scanner.found());
    EXPECT_EQ(output, "x\x1ewarm y");
    EXPECT_EQ(scanner.take_rest(), "");
}

TEST(MarkerScanner, ReadsEachStatus)
{
    for (const int status : {0, 1, 7, 130, 255}) {
        MarkerScanner scanner{kNonce};
        EXPECT_EQ(scanner.feed("\x1ewarm "s + kNonce + " " + std::to_string(status) + "\n"), "");
        EXPECT_TRUE(scanner.found());
        EXPECT_EQ(scanner.status(), status);
    }
}

TEST(MarkerScanner, TakesTheMarkerOfAnotherNonceForOutput)
{
    const std::string foreign = "\x1ewarm ffffffffffffffffffffffffffffffff 0\n";
    MarkerScanner scanner{kNonce};
    EXPECT_EQ(scanner.feed(foreign), foreign);
    EXPECT_FALSE(scanner.found());
    EXPECT_EQ(scanner.feed(foreign + kMarker), foreign);
    EXPECT_TRUE(scanner.found());
}

TEST(MarkerScanner, HoldsBackOnlyWhatMayBecomeAMarker)
{
    MarkerScanner scanner{kNonce};
    EXPECT_EQ(scanner.feed("output\n"), "output\n");
    EXPECT_EQ(scanner.feed("more\x1ewa"), "more");
    EXPECT_EQ(scanner.feed("rm 0123"), "");
    EXPECT_EQ(scanner.feed("9"), "\x1ewarm 01239");
    EXPECT_EQ(scanner.feed("\x1ewarm "), "");
    EXPECT_EQ(scanner.take_rest(), "\x1ewarm ");
    EXPECT_FALSE(scanner.found());
}

TEST(MarkerScanner, GivesOutWhatStandsBeforeAMarkerWhoseEndIsStillMissing)
{
    MarkerScanner scanner{kNonce};
    EXPECT_EQ(scanner.feed("before"s + kMarker.substr(0, kMarker.size() - 1)), "before");
    EXPECT_FALSE(scanner.found());
    EXPECT_EQ(scanner.feed("\n"), "");
    EXPECT_TRUE(scanner.found());
}

TEST(MarkerScanner, AfterTheMarkerEverythingIsRest)
{
    MarkerScanner scanner{kNonce};
    EXPECT_EQ(scanner.feed("a" + kMarker + "b"), "a");
    EXPECT_EQ(scanner.feed("c" + kMarker), "");
    EXPECT_EQ(scanner.take_rest(), "bc" + kMarker);
}

TEST(MarkerScanner, WithoutANonceEverythingIsOutput)
{
    MarkerScanner scanner;
    EXPECT_EQ(scanner.feed("a" + kMarker), "a" + kMarker);
    EXPECT_FALSE(scanner.found());
}

}  // namespace
}  // namespace warmd::agent
