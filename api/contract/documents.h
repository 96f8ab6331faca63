#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/error.h"
#include "daemon/base/json.h"
#include "daemon/model/checkpoint.h"
#include "daemon/model/difference.h"
#include "daemon/model/doctor_report.h"
#include "daemon/model/event.h"
#include "daemon/model/exec.h"
#include "daemon/model/instance.h"
#include "daemon/model/lease.h"
#include "daemon/model/operation.h"
#include "daemon/model/pool.h"
#include "daemon/model/priming.h"
#include "daemon/model/retention.h"
#include "daemon/model/template.h"

// The documents of the API, as api/openapi.yaml describes them: what the daemon writes the client reads with
// the functions beside. Decoding throws Error{invalid_argument} that names the member. Requests are decoded
// strictly; documents from a daemon are not: a newer one may say more.

namespace warmd::contract {

/// A checkpoint, and in which ways the daemon's host is not the one that it was made on.
struct CheckpointHere : Checkpoint {
    std::vector<Difference> differences;
};

/// The `differences` of a checkpoint.
Json encode_differences(const std::vector<Difference>& differences);

Json encode(const Template& document);
Json encode(const Instance& document);
Json encode(const CheckpointHere& document);
Json encode(const Operation& document);
Json encode(const Lease& document);
Json encode(const PoolStatus& document);
Json encode(const Event& document);
Json encode(const Progress& document);
Json encode(const Priming& document);
/// {"status": the worst of the findings, "findings": [...], "environment": {...}}
Json encode(const DoctorReport& document);

Instance decode_instance(const Json& json);
CheckpointHere decode_checkpoint(const Json& json);
Operation decode_operation(const Json& json);
Lease decode_lease(const Json& json);
PoolStatus decode_pool(const Json& json);
/// Of a daemon that does not tell its environment it is empty.
DoctorReport decode_doctor_report(const Json& json);

/// {"items": [...], "next_cursor": ...}: the cursor is null on the last page.
template <typename T>
Json encode_list(const std::vector<T>& items, int limit)
{
    Json json{{"items", Json::array()}, {"next_cursor", nullptr}};
    for (const T& item : items) json["items"].push_back(encode(item));
    if (!items.empty() && static_cast<int>(items.size()) == limit) json["next_cursor"] = items.back().id.value();
    return json;
}

/// RFC 9457, with `code`, and `hint`, `field` and `cause` where there is one.
Json encode_problem(const Error& error, int status, const std::string& request_id);
/// Never throws: what is no problem document becomes an Error that says so.
Error decode_problem(const std::string& body, int status);

/// The problem that an operation's `error` is: the same members without those of HTTP.
Json encode_error(const Error& error);

Json encode(const ExecRequest& request);
/// What a prune may be asked for. `dry_run`: to say what it would delete, and delete nothing.
struct PruneOrder {
    PruneRequest request;
    bool dry_run = false;
};
Json encode(const PruneOrder& order);
/// Strict.
PruneOrder decode_prune_order(const Json& json);

/// {"deletions": [...], "bytes": ...}
Json encode(const std::vector<Deletion>& plan);
std::vector<Deletion> decode_deletions(const Json& json);

Json encode(const StoreUsage& document);
StoreUsage decode_usage(const Json& json);

/// Strict. The timeout is text: "30s".
ExecRequest decode_exec_request(const Json& json);

/// What a client wants of a lease. Durations are text: "30s".
struct LeaseRequest {
    Duration wait = std::chrono::seconds{30};  // until an instance stands ready, otherwise the request is refused
    Duration ttl = Lease{}.ttl;
    bool cold = false;  // start the application where nothing can be restored
};
Json encode(const LeaseRequest& request);
/// Strict.
LeaseRequest decode_lease_request(const Json& json);

/// A command for a template: what an exec is, and how long to wait until an instance stands ready, which may mean that
/// the application is started.
struct RunRequest {
    ExecRequest command;
    Duration wait = std::chrono::minutes{5};
};
Json encode(const RunRequest& request);
/// Strict.
RunRequest decode_run_request(const Json& json);

/// {"name": "ckpt-..."}: what it names. Strict.
std::string decode_import_request(const Json& json);

/// {"signal": "INT"}: the number. Strict.
int decode_signal_request(const Json& json);

/// A command's whole outcome as one document. `truncated`: there was more output than fits.
Json encode(const ExecResult& result, std::string_view out, std::string_view err, bool truncated);

/// One line of an exec's answer, without the line feed.
enum class FrameType { progress, start, out, err, exit, error, keepalive };
struct ExecFrame {
    FrameType type = FrameType::keepalive;
    ExecId exec;                                                 // of start
    InstanceId instance;                                         // of start, where the request named a template
    std::optional<InstancePath> path;                            // of start and progress, likewise
    std::string data;                                            // of out, err and progress
    ExecResult result;                                           // of exit
    Error error{ErrorCode::internal, "no error in this frame"};  // of error
};

/// `data` travels as text where it is UTF-8, otherwise as base 64 with "encoding": "base64".
std::string encode_start_frame(const ExecId& exec);
/// Of a run: which instance it is, and how it was come by.
std::string encode_start_frame(const ExecId& exec, const InstanceId& instance, InstancePath path);
/// Of a run, before its start: what is being done to get an instance.
std::string encode_progress_frame(InstancePath path, std::string_view detail);
std::string encode_output_frame(ExecStream stream, std::string_view data);
std::string encode_exit_frame(const ExecResult& result);
std::string encode_error_frame(const Error& error);
std::string encode_keepalive_frame();
ExecFrame decode_frame(std::string_view line);

}  // namespace warmd::contract
