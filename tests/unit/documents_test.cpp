#include "api/contract/documents.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "daemon/base/text.h"
#include "tests/unit/expect_error.h"

namespace warmd::contract {
namespace {

using namespace std::chrono_literals;
using test::contains;
using test::expect_error;

/// To the other side and back: what a client reads is text.
Json sent(const Json& json) { return parse_json(dump_json(json)); }

Phases some_phases()
{
    return {{.name = "start", .started_at = Time{5s}, .elapsed = 1500us},
            {.name = "export", .started_at = Time{6s}, .elapsed = 2h}};
}

Instance some_instance()
{
    Instance instance;
    instance.id = InstanceId{"inst-1"};
    instance.template_name = TemplateName{"octave"};
    instance.state = InstanceState::leased;
    instance.reason = "a reason";
    instance.origin = Origin::restore;
    instance.checkpoint = CheckpointId{"ckpt-1"};
    instance.container = ContainerId{"abc"};
    instance.created_at = Time{1s};
    instance.terminated_at = Time{2s};
    instance.phases = some_phases();
    return instance;
}

Checkpoint some_checkpoint()
{
    Checkpoint checkpoint;
    checkpoint.id = CheckpointId{"ckpt-1"};
    checkpoint.template_name = TemplateName{"octave"};
    checkpoint.template_digest = "digest";
    checkpoint.state = CheckpointState::available;
    checkpoint.reason = "a reason";
    checkpoint.source = InstanceId{"inst-1"};
    checkpoint.image = "localhost/octave";
    checkpoint.image_id = "a3f0";
    checkpoint.size_bytes = std::uint64_t{9} << 40U;
    checkpoint.sha256 = std::string(64, 'a');
    checkpoint.created_at = Time{1s};
    checkpoint.available_at = Time{2s};
    checkpoint.verified_at = Time{3s};
    checkpoint.used_at = Time{3s};
    checkpoint.pinned = true;
    checkpoint.phases = some_phases();
    checkpoint.environment = {{"criu", "3.17.1"}, {"kernel", "6.1"}};
    checkpoint.statistics = {{"criu.pages_written", INT64_MAX}, {"rootfs.repaired_entries", 0}};
    return checkpoint;
}

Operation some_operation()
{
    Operation operation;
    operation.id = OperationId{"op-1"};
    operation.kind = OperationKind::checkpoint;
    operation.state = OperationState::failed;
    operation.template_name = TemplateName{"octave"};
    operation.instance = InstanceId{"inst-1"};
    operation.checkpoint = CheckpointId{"ckpt-1"};
    operation.phase = "export";
    operation.phases = some_phases();
    operation.created_at = Time{1s};
    operation.started_at = Time{2s};
    operation.finished_at = Time{3s};
    operation.error = Error{ErrorCode::engine_failed, "it failed"}.with_hint("hint").with_field("field").with_cause(
        "cause");
    return operation;
}

TEST(InstanceDocument, ComesBackAsItWentOut)
{
    const Instance out = some_instance();
    const Instance in = decode_instance(sent(encode(out)));
    EXPECT_EQ(in.id, out.id);
    EXPECT_EQ(in.template_name, out.template_name);
    EXPECT_EQ(in.state, out.state);
    EXPECT_EQ(in.reason, out.reason);
    EXPECT_EQ(in.origin, out.origin);
    EXPECT_EQ(in.checkpoint, out.checkpoint);
    EXPECT_EQ(in.container, out.container);
    EXPECT_EQ(in.created_at, out.created_at);
    EXPECT_EQ(in.terminated_at, out.terminated_at);
    EXPECT_EQ(in.phases, out.phases);
}

TEST(InstanceDocument, WritesWhatThereIsNotAsNull)
{
    Instance bare;
    bare.id = InstanceId{"inst-1"};
    const Json json = encode(bare);
    for (const char* const member : {"reason", "checkpoint", "container", "terminated_at"}) {
        EXPECT_TRUE(json.at(member).is_null()) << member;
    }
    EXPECT_EQ(json.at("container_name"), "warmd-inst-1");
    const Instance in = decode_instance(sent(json));
    EXPECT_TRUE(in.reason.empty());
    EXPECT_TRUE(in.checkpoint.empty());
    EXPECT_FALSE(in.terminated_at);
}

TEST(InstanceDocument, EveryStateAndOriginComesBack)
{
    for (const auto state : {InstanceState::warming, InstanceState::restoring, InstanceState::idle,
                             InstanceState::leased, InstanceState::draining, InstanceState::terminated}) {
        for (const auto origin : {Origin::warm, Origin::restore}) {
            Instance out = some_instance();
            out.state = state;
            out.origin = origin;
            const Instance in = decode_instance(sent(encode(out)));
            EXPECT_EQ(in.state, state);
            EXPECT_EQ(in.origin, origin);
        }
    }
}

TEST(InstanceDocument, SaysHowItWasMadeAndForWhom)
{
    for (const auto path : {InstancePath::pool, InstancePath::linked, InstancePath::archive, InstancePath::cold}) {
        for (const bool pooled : {false, true}) {
            Instance out = some_instance();
            out.path = path;
            out.pooled = pooled;
            const Instance in = decode_instance(sent(encode(out)));
            EXPECT_EQ(in.path, path);
            EXPECT_EQ(in.pooled, pooled);
        }
    }
}

TEST(InstanceDocument, MayHoldMoreThanThisProgramKnows)
{
    Json json = encode(some_instance());
    json["invented_later"] = {{"a", 1}};
    EXPECT_NO_THROW(decode_instance(json));
}

TEST(InstanceDocument, AStateThatThisProgramDoesNotKnowIsNamed)
{
    Json json = encode(some_instance());
    json["state"] = "levitating";
    const Error error = expect_error(ErrorCode::invalid_argument, [&] { decode_instance(json); });
    EXPECT_TRUE(contains(error.what(), "state")) << error.what();
    EXPECT_TRUE(contains(error.what(), "levitating")) << error.what();
}

TEST(CheckpointDocument, ComesBackAsItWentOut)
{
    const CheckpointHere out{
        some_checkpoint(),
        {{.field = "criu", .recorded = "4.2", .here = "4.1", .blocks = true, .why = "it is newer"},
         {.field = "cpu_flags", .recorded = "avx512f", .here = "", .blocks = true, .why = "it lacks them"},
         {.field = "kernel", .recorded = "6.1", .here = "6.12", .blocks = false, .why = "that is well"}}};
    const Json document = sent(encode(out));
    EXPECT_EQ(document.at("compatible"), false);
    EXPECT_TRUE(document.at("differences").at(1).at("here").is_null());
    EXPECT_EQ(encode(CheckpointHere{some_checkpoint(), {out.differences.back()}}).at("compatible"), true);
    const CheckpointHere in = decode_checkpoint(document);
    EXPECT_EQ(in.differences, out.differences);
    EXPECT_EQ(in.id, out.id);
    EXPECT_EQ(in.template_name, out.template_name);
    EXPECT_EQ(in.template_digest, out.template_digest);
    EXPECT_EQ(in.state, out.state);
    EXPECT_EQ(in.reason, out.reason);
    EXPECT_EQ(in.source, out.source);
    EXPECT_EQ(in.image, out.image);
    EXPECT_EQ(in.image_id, out.image_id);
    EXPECT_EQ(in.size_bytes, out.size_bytes);
    EXPECT_EQ(in.sha256, out.sha256);
    EXPECT_EQ(in.created_at, out.created_at);
    EXPECT_EQ(in.available_at, out.available_at);
    EXPECT_EQ(in.verified_at, out.verified_at);
    EXPECT_EQ(in.used_at, out.used_at);
    EXPECT_EQ(in.pinned, out.pinned);
    EXPECT_EQ(in.phases, out.phases);
    EXPECT_EQ(in.environment, out.environment);
    EXPECT_EQ(in.statistics, out.statistics);
}

TEST(DoctorDocument, ComesBackAsItWentOut)
{
    const DoctorReport out{.findings = {{.check = "podman",
                                         .status = FindingStatus::advice,
                                         .found = "it is old",
                                         .why = "new ones are faster",
                                         .fix = "apt-get install podman"}},
                           .environment = {{"criu", "4.1"}, {"cpu_flags", "avx sse"}}};
    const Json document = sent(encode(out));
    EXPECT_EQ(document.at("status"), "advice");
    const DoctorReport in = decode_doctor_report(document);
    EXPECT_EQ(in.findings, out.findings);
    EXPECT_EQ(in.environment, out.environment);
}

TEST(DoctorDocument, OfAnEarlierDaemonHasNoEnvironment)
{
    Json document = encode(DoctorReport{.findings = {}, .environment = {{"criu", "4.1"}}});
    document.erase("environment");
    EXPECT_EQ(decode_doctor_report(document).environment, Environment{});
    document["environment"] = "none";
    expect_error(ErrorCode::invalid_argument, [&] { decode_doctor_report(document); });
}

std::vector<Deletion> some_deletions()
{
    std::vector<Deletion> deletions;
    for (const auto reason :
         {DeletionReason::expired, DeletionReason::superseded, DeletionReason::earlier_template,
          DeletionReason::over_size, DeletionReason::failed, DeletionReason::quarantined, DeletionReason::requested}) {
        deletions.push_back({.checkpoint = CheckpointId{"ckpt-" + std::to_string(deletions.size())},
                             .template_name = TemplateName{"octave"},
                             .state = CheckpointState::quarantined,
                             .size_bytes = std::uint64_t{9} << 40U,
                             .created_at = Time{1s},
                             .reason = reason});
    }
    return deletions;
}

void expect_equal(const std::vector<Deletion>& in, const std::vector<Deletion>& out)
{
    ASSERT_EQ(in.size(), out.size());
    for (std::size_t i = 0; i < in.size(); ++i) {
        EXPECT_EQ(in[i].checkpoint, out[i].checkpoint);
        EXPECT_EQ(in[i].template_name, out[i].template_name);
        EXPECT_EQ(in[i].state, out[i].state);
        EXPECT_EQ(in[i].size_bytes, out[i].size_bytes);
        EXPECT_EQ(in[i].created_at, out[i].created_at);
        EXPECT_EQ(in[i].reason, out[i].reason);
    }
}

TEST(PruneDocuments, ComeBackAsTheyWentOut)
{
    const Json plan = sent(encode(some_deletions()));
    EXPECT_EQ(plan.at("bytes"), 7 * (std::uint64_t{9} << 40U));
    expect_equal(decode_deletions(plan), some_deletions());
    Operation operation;
    operation.id = OperationId{"op-1"};
    EXPECT_FALSE(encode(operation).contains("deletions")) << "it is no prune";
    operation.kind = OperationKind::prune;
    operation.deletions = some_deletions();
    expect_equal(decode_operation(sent(encode(operation))).deletions, some_deletions());
}

TEST(PruneDocuments, AnOrderComesBackAndIsReadStrictly)
{
    const PruneOrder out{.request = {.keep = 7, .only = {CheckpointId{"ckpt-1"}, CheckpointId{"ckpt-2"}}},
                         .dry_run = true};
    const PruneOrder in = decode_prune_order(sent(encode(out)));
    EXPECT_EQ(in.request.keep, 7);
    EXPECT_EQ(in.request.only, out.request.only);
    EXPECT_TRUE(in.dry_run);
    const PruneOrder usual = decode_prune_order(Json::object());
    EXPECT_EQ(usual.request.keep, 1);
    EXPECT_TRUE(usual.request.only.empty());
    EXPECT_FALSE(usual.dry_run);
    EXPECT_THROW(decode_prune_order(Json{{"keep", 0}}), Error);
    EXPECT_THROW(decode_prune_order(Json{{"keep", 1001}}), Error);
    EXPECT_THROW(decode_prune_order(Json{{"unknown", 1}}), Error);
}

TEST(UsageDocument, ComesBackAsItWentOutWithItsSums)
{
    const StoreUsage out{.templates = {{.template_name = TemplateName{"a"},
                                        .checkpoints = 1,
                                        .pinned = 2,
                                        .tarball_bytes = 3,
                                        .unpacked_bytes = 4,
                                        .reclaimable_bytes = 5},
                                       {.template_name = TemplateName{"b"}, .tarball_bytes = 10}},
                         .free_bytes = 6,
                         .total_bytes = 7,
                         .min_free_bytes = 8,
                         .reserved_bytes = 9};
    const Json document = sent(encode(out));
    EXPECT_EQ(document.at("tarball_bytes"), 13);
    EXPECT_EQ(document.at("unpacked_bytes"), 4);
    EXPECT_EQ(document.at("reclaimable_bytes"), 5);
    const StoreUsage in = decode_usage(document);
    ASSERT_EQ(in.templates.size(), 2U);
    EXPECT_EQ(in.templates[0].template_name, TemplateName{"a"});
    EXPECT_EQ(in.templates[0].checkpoints, 1);
    EXPECT_EQ(in.templates[0].pinned, 2);
    EXPECT_EQ(in.templates[0].tarball_bytes, 3U);
    EXPECT_EQ(in.templates[0].unpacked_bytes, 4U);
    EXPECT_EQ(in.templates[0].reclaimable_bytes, 5U);
    EXPECT_EQ(in.free_bytes, 6U);
    EXPECT_EQ(in.total_bytes, 7U);
    EXPECT_EQ(in.min_free_bytes, 8U);
    EXPECT_EQ(in.reserved_bytes, 9U);
}

TEST(CheckpointDocument, EveryStateComesBack)
{
    for (const auto state :
         {CheckpointState::pending, CheckpointState::dumping, CheckpointState::verifying, CheckpointState::available,
          CheckpointState::failed, CheckpointState::quarantined, CheckpointState::deleting}) {
        CheckpointHere out{some_checkpoint(), {}};
        out.state = state;
        EXPECT_EQ(decode_checkpoint(sent(encode(out))).state, state);
    }
}

TEST(CheckpointDocument, NamesTheMemberThatIsWrong)
{
    for (const char* const member : {"id", "state", "size_bytes", "created_at", "image"}) {
        Json json = encode(CheckpointHere{some_checkpoint(), {}});
        json[member] = Json::array();
        const Error error = expect_error(ErrorCode::invalid_argument, [&] { decode_checkpoint(json); });
        EXPECT_TRUE(contains(error.what(), member)) << error.what();
    }
}

TEST(OperationDocument, ComesBackAsItWentOut)
{
    const Operation out = some_operation();
    const Operation in = decode_operation(sent(encode(out)));
    EXPECT_EQ(in.id, out.id);
    EXPECT_EQ(in.kind, out.kind);
    EXPECT_EQ(in.state, out.state);
    EXPECT_EQ(in.template_name, out.template_name);
    EXPECT_EQ(in.instance, out.instance);
    EXPECT_EQ(in.checkpoint, out.checkpoint);
    EXPECT_EQ(in.phase, out.phase);
    EXPECT_EQ(in.phases, out.phases);
    EXPECT_EQ(in.created_at, out.created_at);
    EXPECT_EQ(in.started_at, out.started_at);
    EXPECT_EQ(in.finished_at, out.finished_at);
    ASSERT_TRUE(in.error);
    EXPECT_EQ(in.error->code(), ErrorCode::engine_failed);
    EXPECT_STREQ(in.error->what(), "it failed");
    EXPECT_EQ(in.error->hint(), "hint");
    EXPECT_EQ(in.error->field(), "field");
    EXPECT_EQ(in.error->cause(), "cause");
}

TEST(OperationDocument, EveryKindAndStateComesBack)
{
    for (const auto kind : {OperationKind::warm, OperationKind::checkpoint, OperationKind::restore,
                            OperationKind::terminate, OperationKind::delete_checkpoint,
                            OperationKind::verify_checkpoint, OperationKind::import_checkpoint, OperationKind::prune}) {
        for (const auto state : {OperationState::queued, OperationState::running, OperationState::succeeded,
                                 OperationState::failed, OperationState::cancelled}) {
            Operation out = some_operation();
            out.kind = kind;
            out.state = state;
            const Operation in = decode_operation(sent(encode(out)));
            EXPECT_EQ(in.kind, kind);
            EXPECT_EQ(in.state, state);
        }
    }
}

TEST(OperationDocument, HasNoErrorUntilItFails)
{
    Operation out = some_operation();
    out.error.reset();
    const Json json = encode(out);
    EXPECT_TRUE(json.at("error").is_null());
    EXPECT_FALSE(decode_operation(sent(json)).error);
}

TEST(TemplateDocument, SaysHowTheApplicationIsWarmed)
{
    Template document;
    document.name = TemplateName{"octave"};
    document.image = "localhost/octave";
    document.digest = "d";
    document.command = {"octave-cli"};
    document.mounts = {{.source = "/a", .target = "/b", .read_only = true}};
    document.limits = {.memory_bytes = 4096, .cpus = 0.5, .pids = 7};
    document.warm_up.ready.file = "/run/ready";
    document.warm_up.ready.timeout = 90s;
    document.warm_up.started.exec = {"true"};
    const Json json = encode(document);
    EXPECT_EQ(json.at("name"), "octave");
    EXPECT_EQ(json.at("command"), Json::parse(R"(["octave-cli"])"));
    EXPECT_EQ(json.at("network"), "none");
    EXPECT_EQ(json.at("mounts"), Json::parse(R"([{"source": "/a", "target": "/b", "read_only": true}])"));
    EXPECT_EQ(json.at("limits"), Json::parse(R"({"memory_bytes": 4096, "cpus": 0.5, "pids": 7})"));
    EXPECT_EQ(json.at("warm").at("ready"), Json::parse(R"({"file": "/run/ready", "timeout": "90s"})"));
    EXPECT_EQ(json.at("warm").at("started"), Json::parse(R"({"exec": ["true"], "timeout": "2m"})"));
    EXPECT_EQ(json.at("warm").at("poll_interval"), "20ms");
    EXPECT_EQ(json.at("exec_timeout"), "1h");
}

TEST(TemplateDocument, SaysHowANewCheckpointIsTriedOut)
{
    Template document;
    EXPECT_EQ(encode(document).at("verify"), Json::parse(R"({"restore": false, "canary": null})"));
    document.verify = {.restore = true, .canary = Hook{.command = {"id"}, .code = {}, .timeout = 3s}};
    EXPECT_EQ(encode(document).at("verify"),
              Json::parse(R"({"restore": true, "canary": {"command": ["id"], "timeout": "3s"}})"));
}

TEST(TemplateDocument, ShowsTheNamesOfVariablesAndNotTheirValues)
{
    Template document;
    document.env = {{"PASSWORD", "s3cr3t"}, {"LC_ALL", "C"}};
    const Json json = encode(document);
    EXPECT_EQ(json.at("env_names"), Json::parse(R"(["LC_ALL", "PASSWORD"])"));
    EXPECT_FALSE(contains(json.dump(), "s3cr3t"));
}

TEST(List, HasACursorWhileTheLastPageIsNotReached)
{
    std::vector<Instance> items(2, some_instance());
    items[1].id = InstanceId{"inst-0"};
    EXPECT_EQ(encode_list(items, 2).at("next_cursor"), "inst-0");
    EXPECT_TRUE(encode_list(items, 3).at("next_cursor").is_null());
    EXPECT_EQ(encode_list(items, 3).at("items").size(), 2U);
    const Json empty = encode_list(std::vector<Instance>{}, 2);
    EXPECT_TRUE(empty.at("next_cursor").is_null());
    EXPECT_TRUE(empty.at("items").is_array());
}

TEST(Problem, FollowsRfc9457)
{
    const Json json = encode_problem(Error{ErrorCode::not_found, "no such thing"}.with_hint("look there"), 404,
                                     "req-1");
    EXPECT_EQ(
        json,
        Json::parse(R"({"type": "urn:warmd:problem:not_found", "title": "not found", "status": 404, "code": "not_found",
                                    "detail": "no such thing", "hint": "look there", "request_id": "req-1"})"));
}

TEST(Problem, ComesBackAsTheErrorThatItWas)
{
    const Error out = Error{ErrorCode::conflict, "words"}.with_hint("hint").with_field("field").with_cause("cause");
    const Error in = decode_problem(dump_json(encode_problem(out, 409, "r")), 409);
    EXPECT_EQ(in.code(), ErrorCode::conflict);
    EXPECT_STREQ(in.what(), "words");
    EXPECT_EQ(in.hint(), "hint");
    EXPECT_EQ(in.field(), "field");
    EXPECT_EQ(in.cause(), "cause");
}

TEST(Problem, OfAnUnknownCodeIsInternalWithItsWords)
{
    const Error error = decode_problem(R"({"code": "invented_later", "detail": "words"})", 418);
    EXPECT_EQ(error.code(), ErrorCode::internal);
    EXPECT_STREQ(error.what(), "words");
}

TEST(Problem, IsReadFromAnythingWithoutThrowing)
{
    for (const char* const body : {"", "<html>", "[]", "5", R"({"code": 5})", R"({"detail": []})", "\xFF\xFE"}) {
        const Error error = decode_problem(body, 502);
        EXPECT_EQ(error.code(), ErrorCode::internal) << body;
        EXPECT_TRUE(contains(error.what(), "502")) << error.what();
    }
}

TEST(ExecRequestDocument, ComesBackAsItWentOut)
{
    const ExecRequest out{
        .command = {"sh", "-c", "echo \xC3\xA9"}, .env = {{"A", "1"}}, .workdir = "/w", .user = "u", .timeout = 1500ms};
    const ExecRequest in = decode_exec_request(sent(encode(out)));
    EXPECT_EQ(in.command, out.command);
    EXPECT_EQ(in.env, out.env);
    EXPECT_EQ(in.workdir, out.workdir);
    EXPECT_EQ(in.user, out.user);
    EXPECT_EQ(in.timeout, out.timeout);
}

TEST(ExecRequestDocument, CarriesCodeAndInput)
{
    EXPECT_EQ(decode_exec_request(sent(encode(ExecRequest{.code = "disp('\xC3\xA9')\n"}))).code, "disp('\xC3\xA9')\n");
    for (const std::string& input : {std::string{"text\n"}, std::string("\xFF\x00", 2)}) {
        EXPECT_EQ(decode_exec_request(sent(encode(ExecRequest{.command = {"cat"}, .input = input}))).input, input);
    }
}

TEST(ExecRequestDocument, NeedsOnlyACommand)
{
    const ExecRequest request = decode_exec_request(parse_json(R"({"command": ["true"]})"));
    EXPECT_TRUE(request.env.empty());
    EXPECT_TRUE(request.workdir.empty());
    EXPECT_FALSE(request.timeout);
}

TEST(ExecRequestDocument, IsRefusedWithTheNameOfWhatIsWrong)
{
    const std::vector<std::pair<std::string, std::string>> refused{
        {"{}", "command"},
        {R"({"command": []})", "command"},
        {R"({"command": "true"})", "command"},
        {R"({"command": ["a", 1]})", "command"},
        {R"({"command": ["a\u0000b"]})", "command"},
        {R"({"command": ["a"], "env": {"": "x"}})", "env"},
        {R"({"command": ["a"], "env": {"A=B": "x"}})", "env"},
        {R"({"command": ["a"], "env": {"A": "x\u0000"}})", "env"},
        {R"({"command": ["a"], "env": {"A": 1}})", "env.A"},
        {R"({"command": ["a"], "workdir": "relative"})", "workdir"},
        {R"({"command": ["a"], "timeout": 30})", "timeout"},
        {R"({"command": ["a"], "timeout": "soon"})", "timeout"},
        {R"({"command": ["a"], "comand": ["b"]})", "comand"},
        {R"({"command": ["a"], "code": "b"})", "command"},
        {R"({"code": "a\u0000b"})", "code"},
        {R"({"code": 1})", "code"},
        {R"({"code": "a", "stdin": "b"})", "stdin"},
        {R"({"command": ["a"], "stdin": "?", "stdin_encoding": "base64"})", "stdin"},
        {R"({"command": ["a"], "stdin": "b", "stdin_encoding": "rot13"})", "stdin_encoding"},
    };
    for (const auto& [document, field] : refused) {
        SCOPED_TRACE(document);
        const Json json = parse_json(document);
        EXPECT_EQ(expect_error(ErrorCode::invalid_argument, [&] { decode_exec_request(json); }).field(), field);
    }
}

Lease some_lease()
{
    Lease lease;
    lease.id = LeaseId{"lease-1"};
    lease.template_name = TemplateName{"octave"};
    lease.instance = InstanceId{"inst-1"};
    lease.path = InstancePath::linked;
    lease.ttl = 90s;
    lease.created_at = Time{1s};
    lease.expires_at = Time{91s};
    lease.elapsed = 1500us;
    return lease;
}

TEST(LeaseDocument, ComesBackAsItWentOut)
{
    for (const auto state : {LeaseState::active, LeaseState::released, LeaseState::expired, LeaseState::lost}) {
        Lease out = some_lease();
        out.state = state;
        if (state != LeaseState::active) out.ended_at = Time{3s};
        const Lease in = decode_lease(sent(encode(out)));
        EXPECT_EQ(in.id, out.id);
        EXPECT_EQ(in.template_name, out.template_name);
        EXPECT_EQ(in.instance, out.instance);
        EXPECT_EQ(in.state, state);
        EXPECT_EQ(in.path, out.path);
        EXPECT_EQ(in.ttl, out.ttl);
        EXPECT_EQ(in.created_at, out.created_at);
        EXPECT_EQ(in.expires_at, out.expires_at);
        EXPECT_EQ(in.ended_at, out.ended_at);
        EXPECT_EQ(in.elapsed, out.elapsed);
    }
    EXPECT_TRUE(encode(some_lease()).at("ended_at").is_null());
}

TEST(LeaseDocument, NamesTheMemberThatIsWrong)
{
    Json json = encode(some_lease());
    json["state"] = "borrowed";
    const Error error = expect_error(ErrorCode::invalid_argument, [&] { decode_lease(json); });
    EXPECT_TRUE(contains(error.what(), "state")) << error.what();
}

TEST(PoolDocument, ComesBackAsItWentOut)
{
    const PoolStatus out{.template_name = TemplateName{"octave"},
                         .policy = {.min_idle = 2, .max_size = 9, .idle_ttl = 5min, .max_lifetime = 2h, .frozen = true},
                         .checkpoint = CheckpointId{"ckpt-1"},
                         .idle = 1,
                         .leased = 2,
                         .filling = 3,
                         .draining = 4,
                         .waiting = 5,
                         .held_back = "memory"};
    const PoolStatus in = decode_pool(sent(encode(out)));
    EXPECT_EQ(in.template_name, out.template_name);
    EXPECT_EQ(in.policy.min_idle, 2);
    EXPECT_EQ(in.policy.max_size, 9);
    EXPECT_EQ(in.policy.idle_ttl, 5min);
    EXPECT_EQ(in.policy.max_lifetime, 2h);
    EXPECT_TRUE(in.policy.frozen);
    EXPECT_EQ(in.checkpoint, out.checkpoint);
    EXPECT_EQ(in.idle, 1);
    EXPECT_EQ(in.leased, 2);
    EXPECT_EQ(in.filling, 3);
    EXPECT_EQ(in.draining, 4);
    EXPECT_EQ(in.waiting, 5);
    EXPECT_EQ(in.held_back, "memory");
}

TEST(PoolDocument, WritesWhatThereIsNotAsNull)
{
    const Json json = encode(PoolStatus{.template_name = TemplateName{"octave"}});
    EXPECT_TRUE(json.at("checkpoint").is_null());
    EXPECT_TRUE(json.at("held_back").is_null());
    EXPECT_TRUE(decode_pool(sent(json)).checkpoint.empty());
    EXPECT_TRUE(decode_pool(sent(json)).held_back.empty());
}

TEST(LeaseRequestDocument, ComesBackAsItWentOut)
{
    const LeaseRequest in = decode_lease_request(
        sent(encode(LeaseRequest{.wait = Duration::zero(), .ttl = 90s, .cold = true})));
    EXPECT_EQ(in.wait, 0s);
    EXPECT_EQ(in.ttl, 90s);
    EXPECT_TRUE(in.cold);
}

TEST(LeaseRequestDocument, NeedsNothing)
{
    const LeaseRequest request = decode_lease_request(Json::object());
    EXPECT_EQ(request.wait, 30s);
    EXPECT_EQ(request.ttl, 1min);
    EXPECT_FALSE(request.cold);
}

TEST(LeaseRequestDocument, IsRefusedWithTheNameOfWhatIsWrong)
{
    const std::vector<std::pair<std::string, std::string>> refused{
        {R"({"ttl": "0s"})", "ttl"},        {R"({"ttl": "999ms"})", "ttl"},  {R"({"ttl": "25h"})", "ttl"},
        {R"({"ttl": 60})", "ttl"},          {R"({"wait": "601s"})", "wait"}, {R"({"wait": "-1s"})", "wait"},
        {R"({"wait": "forever"})", "wait"}, {R"({"cold": "yes"})", "cold"},  {R"({"template": "x"})", "template"},
    };
    for (const auto& [document, field] : refused) {
        SCOPED_TRACE(document);
        const Json json = parse_json(document);
        EXPECT_EQ(expect_error(ErrorCode::invalid_argument, [&] { decode_lease_request(json); }).field(), field);
    }
    EXPECT_EQ(decode_lease_request(parse_json(R"({"ttl": "1s", "wait": "10m"})")).wait, 10min);
    EXPECT_EQ(decode_lease_request(parse_json(R"({"ttl": "24h"})")).ttl, 24h);
}

TEST(RunRequestDocument, IsACommandAndAWait)
{
    const RunRequest out{.command = {.command = {"echo", "a"}, .env = {{"A", "1"}}, .timeout = 9s}, .wait = 90s};
    const RunRequest in = decode_run_request(sent(encode(out)));
    EXPECT_EQ(in.command.command, out.command.command);
    EXPECT_EQ(in.command.env, out.command.env);
    EXPECT_EQ(in.command.timeout, out.command.timeout);
    EXPECT_EQ(in.wait, 90s);
    EXPECT_EQ(decode_run_request(parse_json(R"({"code": "1 + 1"})")).wait, 5min);
}

TEST(RunRequestDocument, IsRefusedWithTheNameOfWhatIsWrong)
{
    const std::vector<std::pair<std::string, std::string>> refused{
        {"{}", "command"},
        {R"({"wait": "1s"})", "command"},
        {R"({"command": ["a"], "wait": "11m"})", "wait"},
        {R"({"command": ["a"], "wait": 5})", "wait"},
        {R"({"command": ["a"], "cold": true})", "cold"},
        {R"({"command": ["a"], "code": "b"})", "command"},
    };
    for (const auto& [document, field] : refused) {
        SCOPED_TRACE(document);
        const Json json = parse_json(document);
        EXPECT_EQ(expect_error(ErrorCode::invalid_argument, [&] { decode_run_request(json); }).field(), field);
    }
    const Json exec = parse_json(R"({"command": ["a"], "wait": "1s"})");
    EXPECT_EQ(expect_error(ErrorCode::invalid_argument, [&] { decode_exec_request(exec); }).field(), "wait");
}

TEST(ExecFrame, CarriesTextAsText)
{
    const std::string line = encode_output_frame(ExecStream::out, "caf\xC3\xA9\n");
    EXPECT_FALSE(contains(line, "\n"));
    EXPECT_FALSE(contains(line, "base64"));
    const ExecFrame frame = decode_frame(line);
    EXPECT_EQ(frame.type, FrameType::out);
    EXPECT_EQ(frame.data, "caf\xC3\xA9\n");
}

TEST(ExecFrame, CarriesBytesThatAreNotUtf8)
{
    const std::string data("\xFF\x00\xFE", 3);
    const ExecFrame frame = decode_frame(encode_output_frame(ExecStream::err, data));
    EXPECT_EQ(frame.type, FrameType::err);
    EXPECT_EQ(frame.data, data);
    std::mt19937 random{1};
    for (std::size_t size = 0; size < 200; ++size) {
        std::string bytes;
        for (std::size_t i = 0; i < size; ++i) bytes += static_cast<char>(random());
        const std::string encoded = encode_output_frame(ExecStream::out, bytes);
        ASSERT_TRUE(is_utf8(encoded));
        ASSERT_EQ(decode_frame(encoded).data, bytes);
    }
}

TEST(ExecFrame, CarriesACharacterThatWasCutInTwo)
{
    const std::string text = "\xE2\x82\xAC";
    const std::string first = decode_frame(encode_output_frame(ExecStream::out, text.substr(0, 1))).data;
    const std::string second = decode_frame(encode_output_frame(ExecStream::out, text.substr(1))).data;
    EXPECT_EQ(first + second, text);
}

TEST(ExecFrame, CarriesTheNameOfTheCommand)
{
    const ExecFrame frame = decode_frame(encode_start_frame(ExecId{"exec-1"}));
    EXPECT_EQ(frame.type, FrameType::start);
    EXPECT_EQ(frame.exec, ExecId{"exec-1"});
}

TEST(ExecFrame, SaysWhichInstanceARunGotAndHow)
{
    const ExecFrame start = decode_frame(
        encode_start_frame(ExecId{"exec-1"}, InstanceId{"inst-1"}, InstancePath::linked));
    EXPECT_EQ(start.type, FrameType::start);
    EXPECT_EQ(start.exec, ExecId{"exec-1"});
    EXPECT_EQ(start.instance, InstanceId{"inst-1"});
    EXPECT_EQ(start.path, InstancePath::linked);
    const ExecFrame plain = decode_frame(encode_start_frame(ExecId{"exec-1"}));
    EXPECT_TRUE(plain.instance.empty());
    EXPECT_FALSE(plain.path);
}

TEST(ExecFrame, SaysWhatARunWaitsFor)
{
    const ExecFrame progress = decode_frame(encode_progress_frame(InstancePath::cold, "it is being started"));
    EXPECT_EQ(progress.type, FrameType::progress);
    EXPECT_EQ(progress.path, InstancePath::cold);
    EXPECT_EQ(progress.data, "it is being started");
    for (const char* const line : {R"({"type": "progress", "path": "cold"})", R"({"type": "progress", "detail": "x"})",
                                   R"({"type": "progress", "path": "x", "detail": "x"})"}) {
        expect_error(ErrorCode::invalid_argument, [&] { decode_frame(line); });
    }
}

TEST(ExecDocument, HoldsAllOfIt)
{
    const Json json = sent(
        encode(ExecResult{.exit_status = 3, .path = ExecPath::agent, .elapsed = 1500us}, "out", "\xFF", true));
    EXPECT_EQ(json, parse_json(R"({"exit_status": 3, "stdout": "out", "stderr": "/w==", "stderr_encoding": "base64",
        "truncated": true, "timed_out": false, "session_ended": false, "path": "agent", "elapsed_ms": 1.5})"));
}

TEST(SignalRequest, TakesTheNamesOfSignals)
{
    EXPECT_EQ(decode_signal_request(parse_json(R"({"signal": "INT"})")), 2);
    EXPECT_EQ(decode_signal_request(parse_json(R"({"signal": "KILL"})")), 9);
    for (const char* const refused : {"{}", R"({"signal": "STOP"})", R"({"signal": 2})"}) {
        expect_error(ErrorCode::invalid_argument, [&] { decode_signal_request(parse_json(refused)); });
    }
    expect_error(ErrorCode::invalid_argument,
                 [&] { decode_signal_request(parse_json(R"({"signal": "INT", "to": "all"})")); });
}

TEST(ExecFrame, CarriesTheExit)
{
    const ExecFrame frame = decode_frame(encode_exit_frame(
        {.exit_status = 124, .timed_out = true, .session_ended = true, .path = ExecPath::agent, .elapsed = 1500us}));
    EXPECT_TRUE(frame.result.session_ended);
    EXPECT_EQ(frame.result.path, ExecPath::agent);
    EXPECT_EQ(frame.type, FrameType::exit);
    EXPECT_EQ(frame.result.exit_status, 124);
    EXPECT_TRUE(frame.result.timed_out);
    EXPECT_EQ(frame.result.elapsed, 1500us);
}

TEST(ExecFrame, CarriesAnError)
{
    const ExecFrame frame = decode_frame(
        encode_error_frame(Error{ErrorCode::conflict, "it ended"}.with_cause("cause")));
    EXPECT_EQ(frame.type, FrameType::error);
    EXPECT_EQ(frame.error.code(), ErrorCode::conflict);
    EXPECT_STREQ(frame.error.what(), "it ended");
    EXPECT_EQ(frame.error.cause(), "cause");
}

TEST(ExecFrame, CarriesNothingToKeepTheConnectionAlive)
{
    EXPECT_EQ(decode_frame(encode_keepalive_frame()).type, FrameType::keepalive);
    EXPECT_EQ(decode_frame(R"({"type": "invented_later", "x": 1})").type, FrameType::keepalive);
}

TEST(ExecFrame, IsRefusedWhenItCannotBeRead)
{
    for (const char* const line : {"", "{", "[]", "{}", R"({"type": 1})", R"({"type": "stdout"})",
                                   R"({"type": "stdout", "data": "?", "encoding": "base64"})", R"({"type": "exit"})",
                                   R"({"type": "exit", "exit_status": 0})"}) {
        SCOPED_TRACE(line);
        expect_error(ErrorCode::invalid_argument, [&] { decode_frame(line); });
    }
}

}  // namespace
}  // namespace warmd::contract
