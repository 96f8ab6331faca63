#pragma once

#include <string>

namespace warmd {

/// What a client calls one request by, so that it may send it again without it being done again (Idempotency-Key,
/// draft-ietf-httpapi-idempotency-key-header-07). It is one caller's own.
struct RequestKey {
    std::string caller;
    std::string key;
    std::string fingerprint;  // of the whole request: another request must not come with the same key
};

}  // namespace warmd
