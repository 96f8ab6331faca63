#pragma once

#include <functional>
#include <utility>

#include "daemon/base/error.h"
#include "daemon/base/id.h"
#include "daemon/catalog/catalog.h"
#include "daemon/store/tarball_store.h"

namespace warmd {

/// Takes checkpoints out of use that are not what was stored. They stay, with the reason, until somebody deletes them.
/// Thread-safe.
class Quarantine {
public:
    /// `changed`: told of each.
    Quarantine(Catalog& catalog, TarballStore& store, std::function<void()> changed)
        : catalog_{catalog}, store_{store}, changed_{std::move(changed)}
    {
    }

    /// Only an available one; any other is left as it is. Its unpacked images are dropped. Never throws: what the
    /// catalog throws is logged.
    void put(const CheckpointId& id, const Error& why) noexcept;

    /// Runs `fn`, and puts the checkpoint away when that throws Error{corrupt}, which is thrown on. `fn` must not use
    /// the catalog, whose damage is another matter.
    template <typename Fn>
    auto guard(const CheckpointId& id, Fn&& fn)
    {
        try {
            return std::forward<Fn>(fn)();
        } catch (const Error& error) {
            if (error.code() == ErrorCode::corrupt) put(id, error);
            throw;
        }
    }

private:
    Catalog& catalog_;
    TarballStore& store_;
    const std::function<void()> changed_;
};

}  // namespace warmd
