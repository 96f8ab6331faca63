#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "daemon/base/guarded.h"
#include "daemon/model/event.h"

namespace warmd {

/// Tells how far operations are, to whoever listens at the moment. Never waits for them. Thread-safe.
class ProgressFeed {
public:
    /// What one listener has not taken yet: the newest few, because what is missed is of no use later.
    class Subscription {
    public:
        /// Oldest first.
        std::vector<Progress> take();
        [[nodiscard]] bool pending() const;

    private:
        friend class ProgressFeed;
        mutable Guarded<std::deque<Progress>> waiting_;
    };

    /// `wake`: called after something was put where listeners find it.
    explicit ProgressFeed(std::function<void()> wake) : wake_{std::move(wake)} {}

    /// Lasts as long as the caller keeps it.
    std::shared_ptr<Subscription> subscribe();
    void publish(const OperationId& operation, OperationKind kind, const TemplateName& template_name,
                 const std::string& phase, Time at) noexcept;

private:
    const std::function<void()> wake_;
    Guarded<std::vector<std::weak_ptr<Subscription>>> subscriptions_;
};

}  // namespace warmd
