#include "daemon/service/instance_end.h"

#include <spdlog/spdlog.h>

#include <exception>

namespace warmd {

void end_instance(Catalog& catalog, ContainerEngine& engine, const Clock& clock, Instance& instance,
                  const std::string& reason)
{
    engine.remove(container_name(instance.id));
    instance.state = InstanceState::terminated;
    instance.reason = reason;
    instance.terminated_at = clock.now();
    catalog.save(instance);
}

void end_instance_quietly(Catalog& catalog, ContainerEngine& engine, const Clock& clock, Instance& instance,
                          const std::string& reason) noexcept
{
    try {
        end_instance(catalog, engine, clock, instance, reason);
    } catch (const std::exception& error) {
        spdlog::error("instance_id={} cannot be cleaned up, the next sweep will try again: {}", instance.id.value(),
                      error.what());
    }
}

std::optional<ContainerInfo> inspect_ended(ContainerEngine& engine, const ContainerId& container)
{
    constexpr Duration kMoment = std::chrono::seconds{2};
    auto info = engine.inspect(container.value());
    if (!info || info->status != ContainerStatus::running) return info;
    static_cast<void>(engine.wait(container, kMoment, {}));
    return engine.inspect(container.value());
}

}  // namespace warmd
