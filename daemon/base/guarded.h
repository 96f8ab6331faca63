#pragma once

#include <mutex>
#include <utility>

namespace warmd {

/// A value that is reachable only while its mutex is held.
template <typename T>
class Guarded {
public:
    template <typename... Args>
    explicit Guarded(Args&&... args) : value_{std::forward<Args>(args)...}
    {
    }

    /// Calls `fn` with the value. It returns by value: no reference leaves the lock.
    template <typename Fn>
    auto with(Fn&& fn)
    {
        const std::scoped_lock lock{mutex_};
        return std::forward<Fn>(fn)(value_);
    }

    template <typename Fn>
    auto with(Fn&& fn) const
    {
        const std::scoped_lock lock{mutex_};
        return std::forward<Fn>(fn)(value_);
    }

private:
    mutable std::mutex mutex_;
    T value_;
};

}  // namespace warmd
