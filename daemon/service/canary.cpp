#include "daemon/service/canary.h"

#include <cstdint>
#include <utility>

#include "daemon/base/clock.h"
#include "daemon/base/error.h"
#include "daemon/base/sha256.h"

namespace warmd {

std::string ask_canary(Exec& exec, const Template& from, const Instance& instance, std::stop_token stop)
{
    const Hook& canary = *from.verify.canary;
    Sha256 sum;
    std::uint64_t bytes = 0;
    const ExecResult result = exec.run_within(
        instance, {.command = canary.command, .code = canary.code}, canary.timeout,
        [&sum, &bytes](ExecStream stream, std::string_view output) {
            if (stream != ExecStream::out) return;
            sum.update(output);
            bytes += output.size();
        },
        std::move(stop));
    if (result.timed_out) {
        throw Error{ErrorCode::not_ready, "the canary took longer than " + format_duration(canary.timeout)}
            .with_field("verify")
            .with_hint("raise verify.timeout in the template, or mend its canary");
    }
    return "status " + std::to_string(result.exit_status) + ", " + std::to_string(bytes) + " bytes, sha256 " +
           sum.hex_digest();
}

void require_same_answer(Exec& exec, const Template& from, const Checkpoint& checkpoint, const Instance& copy,
                         std::stop_token stop)
{
    if (!from.verify.canary || checkpoint.canary.empty() || from.digest != checkpoint.template_digest) return;
    const std::string answer = ask_canary(exec, from, copy, std::move(stop));
    if (answer == checkpoint.canary) return;
    throw Error{ErrorCode::corrupt,
                "checkpoint " + checkpoint.id.value() + ", restored, does not answer as the application did before"}
        .with_field("verify")
        .with_hint("the canary must answer the same whenever it is asked; if it does, this checkpoint is no good")
        .with_cause("now: " + answer + "; before the dump: " + checkpoint.canary);
}

}  // namespace warmd
