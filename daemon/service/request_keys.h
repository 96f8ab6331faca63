#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "daemon/catalog/catalog.h"
#include "daemon/model/request_key.h"

namespace warmd {

/// Lets a request with a key have its effect once. The catalog writes the key in the transaction that writes what the
/// request began, so neither is ever there without the other, whenever warmd is killed. Thread-safe.
class RequestKeys {
public:
    explicit RequestKeys(Catalog& catalog) : catalog_{catalog} {}

    /// Holds a key while its request is being done. Freed at its end: a request that began nothing may be sent again.
    class Claim {
    public:
        Claim(RequestKeys& keys, std::pair<std::string, std::string> name) : keys_{keys}, name_{std::move(name)} {}
        ~Claim();
        Claim(const Claim&) = delete;
        Claim& operator=(const Claim&) = delete;

    private:
        RequestKeys& keys_;
        std::pair<std::string, std::string> name_;
    };
    /// One of the two.
    struct Turn {
        std::string subject;           // what the request began when it came before: an operation or a lease
        std::unique_ptr<Claim> claim;  // it is the first: hold this until it is done
    };

    /// Throws Error{key_reused} when another request had this key, Error{conflict} while the same one is being
    /// done.
    Turn take(const RequestKey& key);

private:
    /// What was begun with it, if anything was.
    [[nodiscard]] std::string subject_of(const RequestKey& key) const;

    Catalog& catalog_;
    std::mutex mutex_;
    std::map<std::pair<std::string, std::string>, std::string> claimed_;  // protected by mutex_: fingerprints
};

}  // namespace warmd
