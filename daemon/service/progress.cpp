#include "daemon/service/progress.h"

#include <spdlog/spdlog.h>

#include <exception>
#include <utility>

namespace warmd {

namespace {

constexpr std::size_t kMostWaiting = 64;

}  // namespace

std::vector<Progress> ProgressFeed::Subscription::take()
{
    return waiting_.with([](std::deque<Progress>& waiting) {
        const std::deque<Progress> taken = std::exchange(waiting, {});
        return std::vector<Progress>{taken.begin(), taken.end()};
    });
}

bool ProgressFeed::Subscription::pending() const
{
    return waiting_.with([](const std::deque<Progress>& waiting) { return !waiting.empty(); });
}

std::shared_ptr<ProgressFeed::Subscription> ProgressFeed::subscribe()
{
    auto subscription = std::make_shared<Subscription>();
    subscriptions_.with([&subscription](auto& all) { all.push_back(subscription); });
    return subscription;
}

void ProgressFeed::publish(const OperationId& operation, OperationKind kind, const TemplateName& template_name,
                           const std::string& phase, Time at) noexcept
{
    try {
        const Progress progress{
            .operation = operation, .kind = kind, .template_name = template_name, .phase = phase, .at = at};
        const bool heard = subscriptions_.with([&progress](auto& all) {
            std::erase_if(all, [](const auto& each) { return each.expired(); });
            for (const auto& each : all) {
                const auto subscription = each.lock();
                if (!subscription) continue;
                subscription->waiting_.with([&progress](std::deque<Progress>& waiting) {
                    if (waiting.size() == kMostWaiting) waiting.pop_front();
                    waiting.push_back(progress);
                });
            }
            return !all.empty();
        });
        if (heard) wake_();
    } catch (const std::exception& error) {
        spdlog::warn("operation_id={} its progress is not told: {}", operation.value(), error.what());
    }
}

}  // namespace warmd
