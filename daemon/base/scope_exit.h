#pragma once

#include <utility>

namespace warmd {

/// Runs `fn` at the end of the scope unless dismissed. `fn` must not throw.
template <typename Fn>
class ScopeExit {
public:
    explicit ScopeExit(Fn fn) : fn_{std::move(fn)} {}
    ~ScopeExit()
    {
        if (armed_) fn_();
    }
    ScopeExit(const ScopeExit&) = delete;
    ScopeExit& operator=(const ScopeExit&) = delete;

    void dismiss() noexcept { armed_ = false; }

private:
    Fn fn_;
    bool armed_ = true;
};

}  // namespace warmd
