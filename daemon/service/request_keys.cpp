#include "daemon/service/request_keys.h"

#include "daemon/base/error.h"

namespace warmd {

namespace {

void require_same(const std::string& fingerprint, const RequestKey& key)
{
    if (fingerprint == key.fingerprint) return;
    throw Error{ErrorCode::key_reused, "this Idempotency-Key came with another request before"}
        .with_field("Idempotency-Key")
        .with_hint("take a new key for each new request, and the same one only to repeat it unchanged");
}

}  // namespace

RequestKeys::Claim::~Claim()
{
    const std::scoped_lock lock{keys_.mutex_};
    keys_.claimed_.erase(name_);
}

std::string RequestKeys::subject_of(const RequestKey& key) const
{
    const auto known = catalog_.find(key);
    if (!known) return {};
    require_same(known->fingerprint, key);
    return known->subject;
}

RequestKeys::Turn RequestKeys::take(const RequestKey& key)
{
    std::pair name{key.caller, key.key};
    {
        const std::scoped_lock lock{mutex_};
        const auto [entry, first] = claimed_.emplace(name, key.fingerprint);
        if (!first) {
            require_same(entry->second, key);
            throw Error{ErrorCode::conflict, "a request with this Idempotency-Key is being done"}
                .with_field("Idempotency-Key")
                .with_hint("send it again in a moment: it is then answered with what the first one began");
        }
    }
    auto claim = std::make_unique<Claim>(*this, std::move(name));
    // Looked up only now: who held the claim until then may have written it.
    if (std::string subject = subject_of(key); !subject.empty()) return {.subject = std::move(subject)};
    return {.subject = {}, .claim = std::move(claim)};
}

}  // namespace warmd
