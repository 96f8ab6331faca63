#include "client/diagnosis.h"

#include <algorithm>
#include <optional>

namespace warmd::client {

namespace {

using std::to_string;

const Operation* find_operation(const PoolFacts& facts, OperationKind kind, bool active)
{
    for (const Operation& operation : facts.operations) {
        if (operation.kind != kind) continue;
        if (active == !is_final(operation.state)) return &operation;
        if (!active) return nullptr;  // the newest of its kind is under way: older ones are history
    }
    return nullptr;
}

/// The newest operation of this kind, if it failed.
const Operation* last_failure(const PoolFacts& facts, OperationKind kind)
{
    const Operation* const last = find_operation(facts, kind, false);
    return last != nullptr && last->state == OperationState::failed && last->error ? last : nullptr;
}

std::string words(const Error& error)
{
    return error.cause().empty() ? error.what() : std::string{error.what()} + ": " + error.cause();
}

Diagnosis without_checkpoint(const PoolFacts& facts)
{
    const std::string make = "warmctl checkpoint " + facts.pool.template_name.value();
    if (const Operation* const making = find_operation(facts, OperationKind::checkpoint, true)) {
        return {.cause = "its first checkpoint is being made", .next = "warmctl operation wait " + making->id.value()};
    }
    const auto available = std::count_if(facts.checkpoints.begin(), facts.checkpoints.end(),
                                         [](const Checkpoint& c) { return c.state == CheckpointState::available; });
    if (available > 0) {
        return {.cause = "the template was changed since its " + std::to_string(available) +
                         (available == 1 ? " available checkpoint was made" : " available checkpoints were made"),
                .detail = "pools are filled only from checkpoints of the template as it is",
                .next = make};
    }
    if (const Operation* const failed = last_failure(facts, OperationKind::checkpoint)) {
        return {.cause = "it has no checkpoint: making the last one failed",
                .detail = words(*failed->error),
                .next = failed->error->hint().empty() ? make : failed->error->hint() + "; then " + make};
    }
    return {.cause = "it has no available checkpoint", .next = make};
}

/// Of a template whose checkpoints were all made on a host that this one differs from too much.
Diagnosis without_fit(const PoolFacts& facts, const contract::CheckpointHere& newest)
{
    const std::string make = "warmctl checkpoint " + facts.pool.template_name.value();
    Diagnosis diagnosis{.cause = "no checkpoint fits this host any more",
                        .detail = newest.id.value() + ": " + describe_blocking(newest.differences),
                        .next = make};
    if (const Operation* const making = find_operation(facts, OperationKind::checkpoint, true)) {
        diagnosis.cause += ", and a new one is being made";
        diagnosis.next = "warmctl operation wait " + making->id.value();
    } else if (const Operation* const failed = last_failure(facts, OperationKind::checkpoint)) {
        diagnosis.cause += ", and making a new one failed";
        diagnosis.detail += "; " + words(*failed->error);
        if (!failed->error->hint().empty()) diagnosis.next = failed->error->hint() + "; then " + make;
    }
    return diagnosis;
}

/// Of a pool that has a checkpoint and no idle instance.
Diagnosis empty_pool(const PoolFacts& facts)
{
    const PoolStatus& pool = facts.pool;
    const std::string& name = pool.template_name.value();
    const int instances = pool.idle + pool.leased + pool.filling;
    if (pool.leased > 0 && instances >= pool.policy.max_size) {
        return {.cause = std::to_string(pool.leased) + " of at most " + std::to_string(pool.policy.max_size) +
                         " instances are leased",
                .detail = pool.waiting > 0 ? std::to_string(pool.waiting) + " requests wait" : "",
                .next = "release one (warmctl lease list), or raise pool.max_size in the template and restart warmd"};
    }
    if (pool.filling > 0) {
        return {.cause = std::to_string(pool.filling) + (pool.filling == 1 ? " instance is" : " instances are") +
                         " being restored for it",
                .next = "warmctl watch"};
    }
    const Operation* const failed = last_failure(facts, OperationKind::restore);
    if (failed != nullptr) {
        return {.cause = pool.held_back.empty() ? "its last restore failed" : pool.held_back,
                .detail = words(*failed->error),
                .next = failed->error->hint().empty() ? "warmctl restore " + name : failed->error->hint()};
    }
    if (pool.held_back.starts_with("memory")) {
        return {.cause = pool.held_back,
                .next = "free memory, or end instances that nobody needs: warmctl instance list"};
    }
    if (!pool.held_back.empty()) return {.cause = pool.held_back, .next = "warmctl pool show " + name};
    return {.cause = "its instances were all taken a moment ago, and it is about to be filled",
            .next = "warmctl watch"};
}

}  // namespace

Diagnosis diagnose(const PoolFacts& facts)
{
    const PoolStatus& pool = facts.pool;
    const std::string& name = pool.template_name.value();
    if (pool.idle > pool.waiting) {
        return {
            .served = true,
            .cause = std::to_string(pool.idle) + (pool.idle == 1 ? " instance stands" : " instances stand") + " ready",
            .next = "warmctl run " + name + " --code CODE"};
    }
    const contract::CheckpointHere* newest = nullptr;
    bool has_fitting = false;
    for (const contract::CheckpointHere& checkpoint : facts.checkpoints) {
        if (checkpoint.state != CheckpointState::available || checkpoint.template_digest != facts.digest) continue;
        if (newest == nullptr) newest = &checkpoint;
        has_fitting = has_fitting || fits(checkpoint.differences);
    }
    if (pool.policy.min_idle == 0) {
        return {.cause = "the template has no pool: pool.min_idle is 0",
                .next = "set [pool] min_idle = 2 in the template's file, and systemctl restart warmd"};
    }
    if (newest == nullptr) return without_checkpoint(facts);
    return has_fitting ? empty_pool(facts) : without_fit(facts, *newest);
}

}  // namespace warmd::client
