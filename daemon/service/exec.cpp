#include "daemon/service/exec.h"

#include <utility>

#include "daemon/base/error.h"
#include "daemon/service/instance_end.h"

namespace warmd {

namespace {

void require_usable(const Instance& instance)
{
    if (is_usable(instance.state)) return;
    const std::string why = instance.reason.empty() ? std::string{} : " (" + instance.reason + ")";
    throw Error{ErrorCode::conflict, "instance " + instance.id.value() + " is " +
                                         std::string{to_string(instance.state)} + why + ": no command can run in it"}
        .with_hint("restore another one: POST /v1/checkpoints/{id}/restore");
}

}  // namespace

Exec::Admission::Admission(Exec& exec, InstanceId id) : exec_{exec}, id_{std::move(id)}
{
    exec_.running_.with([this](auto& running) { ++running[id_]; });
}

Exec::Admission::~Admission()
{
    exec_.running_.with([this](auto& running) {
        if (--running[id_] == 0) running.erase(id_);
    });
}

std::unique_ptr<Exec::Admission> Exec::admit(const InstanceId& id)
{
    // Counted first, looked at second; whoever drains an instance does it the other way round, so that one
    // of the two sees the other.
    auto admission = std::make_unique<Admission>(*this, id);
    require_usable(catalog_.get(id));
    return admission;
}

ExecResult Exec::run(const InstanceId& id, const ExecRequest& request, const ExecOutput& output, std::stop_token stop)
{
    const auto admission = admit(id);
    Instance instance = catalog_.get(id);
    const auto timeout = request.timeout.value_or([&] {
        const auto known = templates_.all().find(instance.template_name);
        return known != templates_.all().end() ? known->second.exec_timeout : Template{}.exec_timeout;
    }());
    try {
        return engine_.exec(instance.container, request, timeout, output, std::move(stop));
    } catch (const Error& error) {
        if (error.code() != ErrorCode::conflict && error.code() != ErrorCode::not_found) throw;
        const auto container = engine_.inspect(instance.container.value());
        if (container && container->status == ContainerStatus::running) throw;
        const std::string reason = container ? "its container exited with " + std::to_string(container->exit_code)
                                             : "its container is gone";
        end_instance_quietly(catalog_, engine_, clock_, instance, reason);
        throw Error{ErrorCode::conflict, "instance " + id.value() + " has ended: " + reason}
            .with_hint("restore another one: POST /v1/checkpoints/{id}/restore")
            .with_cause(error.cause());
    }
}

bool Exec::busy(const InstanceId& id) const
{
    return running_.with([&id](const auto& running) { return running.contains(id); });
}

}  // namespace warmd
