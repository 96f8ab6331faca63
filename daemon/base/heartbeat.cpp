#include "daemon/base/heartbeat.h"

#include <spdlog/spdlog.h>

#include <exception>
#include <utility>

namespace warmd {

Heartbeat::Heartbeat(std::vector<VitalPart> parts, Duration interval, Duration patience, Clock& clock,
                     std::function<void()> beat)
    : interval_{interval}, patience_{patience}, clock_{clock}, beat_{std::move(beat)}
{
    for (VitalPart& part : parts) {
        auto watched = std::make_unique<Watched>();
        watched->part = std::move(part);
        watched->last = clock_.steady_now();
        parts_.push_back(std::move(watched));
    }
    for (const auto& watched : parts_) {
        watched->thread = std::jthread{
            [this, one = watched.get()](const std::stop_token& stop) { look_at(*one, stop); }};
    }
    beating_ = std::jthread{[this](const std::stop_token& stop) { run(stop); }};
}

void Heartbeat::look_at(Watched& watched, const std::stop_token& stop) const
{
    do {
        try {
            watched.part.check();
        } catch (const std::exception& error) {
            spdlog::debug("{} answers with an error: {}", watched.part.name, error.what());
        }
        watched.last = clock_.steady_now();
    } while (clock_.sleep_for(interval_, stop));
}

void Heartbeat::run(const std::stop_token& stop)
{
    do {
        if (all_go_on()) beat_();
    } while (clock_.sleep_for(interval_, stop));
}

bool Heartbeat::all_go_on()
{
    bool all = true;
    for (const auto& watched : parts_) {
        const bool hangs = clock_.steady_now() - watched->last.load() > patience_ + interval_;
        if (hangs && !watched->told) spdlog::critical("{} hangs: warmd will be started anew", watched->part.name);
        if (!hangs && watched->told) spdlog::warn("{} goes on", watched->part.name);
        watched->told = hangs;
        all = all && !hangs;
    }
    return all;
}

}  // namespace warmd
