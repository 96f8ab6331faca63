#include "daemon/service/exec.h"

#include <algorithm>
#include <utility>

#include "daemon/base/error.h"
#include "daemon/base/scope_exit.h"
#include "daemon/base/text.h"
#include "daemon/service/instance_end.h"
#include "daemon/service/secrets.h"

namespace warmd {

namespace {

void require_usable(const Instance& instance)
{
    if (instance.pooled && instance.state == InstanceState::idle) {
        throw Error{ErrorCode::conflict,
                    "instance " + instance.id.value() + " stands in a pool: no command can run in it"}
            .with_hint("acquire a lease: POST /v1/pools/" + instance.template_name.value() + "/leases");
    }
    if (is_usable(instance.state)) return;
    const std::string why = instance.reason.empty() ? std::string{} : " (" + instance.reason + ")";
    throw Error{ErrorCode::conflict, "instance " + instance.id.value() + " is " +
                                         std::string{to_string(instance.state)} + why + ": no command can run in it"}
        .with_hint("restore another one: POST /v1/checkpoints/{id}/restore");
}

Error needs_agent(const std::string& what, const Instance& instance)
{
    return Error{ErrorCode::conflict, what + " needs the agent, and instance " + instance.id.value() + " has none"}
        .with_hint("build its image with the agent: docs/agent-protocol.md");
}

std::string describe(const Hook& hook)
{
    return hook.code ? "code \"" + printable(*hook.code, 60) + "\"" : printable(hook.command.front(), 60);
}

}  // namespace

AgentAddress agent_address(const Instance& instance)
{
    return {.container = instance.container, .socket = instance.agent_socket};
}

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

ExecResult Exec::run(const InstanceId& id, const ExecId& exec, const ExecRequest& request, const ExecOutput& output,
                     std::stop_token stop)
{
    const auto admission = admit(id);
    Instance instance = catalog_.get(id);
    const Template from = templates_.get_or_defaults(instance.template_name);
    const Duration timeout = request.timeout.value_or(from.exec_timeout);
    ExecRequest full = request;
    full.env.merge(read_secrets(from, SecretUse::exec));
    const bool with_secrets = full.env.size() > request.env.size();
    const auto command = std::make_shared<Running>();
    command->instance = id;
    command->through_agent = goes_to_agent(instance, request);
    commands_.with([&](auto& commands) { commands[exec] = command; });
    const ScopeExit forget{[&]() noexcept { commands_.with([&](auto& commands) { commands.erase(exec); }); }};
    try {
        const ExecResult result = run_with(instance, full, with_secrets, timeout, output, command->signals,
                                           std::move(stop));
        ended_(result);
        if (result.session_ended) {
            end_instance_quietly(catalog_, engine_, clock_, instance,
                                 result.timed_out
                                     ? "a command took longer than " + format_duration(timeout) +
                                           " and its session did not stop: it was killed"
                                     : "a command ended its session with status " + std::to_string(result.exit_status));
        }
        return result;
    } catch (const Error& error) {
        ended_(std::nullopt);
        if (error.code() != ErrorCode::conflict && error.code() != ErrorCode::not_found) throw;
        const auto container = inspect_ended(engine_, instance.container);
        if (container && container->status == ContainerStatus::running) throw;
        const std::string reason = container ? "its container exited with " + std::to_string(container->exit_code)
                                             : "its container is gone";
        end_instance_quietly(catalog_, engine_, clock_, instance, reason);
        throw Error{ErrorCode::conflict, "instance " + id.value() + " has ended: " + reason}
            .with_hint("restore another one: POST /v1/checkpoints/{id}/restore")
            .with_cause(error.cause());
    }
}

void Exec::signal(const InstanceId& id, const ExecId& exec, int number)
{
    const auto command = commands_.with([&exec](const auto& commands) {
        const auto found = commands.find(exec);
        return found == commands.end() ? nullptr : found->second;
    });
    if (command == nullptr || command->instance != id) {
        throw Error{ErrorCode::not_found, "no command \"" + exec.value() + "\" runs in instance " + id.value()}
            .with_hint("it may have ended; its name is in the first frame of its output");
    }
    if (!command->through_agent) {
        throw Error{ErrorCode::conflict, "a command that runs through Podman cannot be signalled"}.with_hint(
            "close its connection: it is killed then");
    }
    command->signals.send(number);
}

ExecResult Exec::run_within(const Instance& instance, const ExecRequest& request, Duration timeout,
                            const ExecOutput& output, std::stop_token stop)
{
    ExecSignals none;
    return run_with(instance, request, false, timeout, output, none, std::move(stop));
}

bool Exec::goes_to_agent(const Instance& instance, const ExecRequest& request) const
{
    // The agent runs everything as the user that it is itself.
    return !instance.agent_socket.empty() && request.user.empty();
}

ExecResult Exec::run_with(const Instance& instance, const ExecRequest& request, bool with_secrets, Duration timeout,
                          const ExecOutput& output, ExecSignals& signals, std::stop_token stop)
{
    // Podman has no way for the first two, and would keep the secrets in its database.
    const char* const only_agent = request.code             ? "code"
                                   : !request.input.empty() ? "standard input"
                                   : with_secrets           ? "a command with secrets"
                                                            : nullptr;
    if (goes_to_agent(instance, request)) {
        try {
            return agent_.exec(agent_address(instance), request, timeout, output, signals, stop);
        } catch (const Error& error) {
            if (error.code() != ErrorCode::unavailable || only_agent != nullptr) throw;
        }
    } else if (only_agent != nullptr) {
        throw needs_agent(only_agent, instance);
    }
    return engine_.exec(instance.container, request, timeout, output, std::move(stop));
}

void Exec::run_hooks(const char* moment, const std::vector<Hook>& hooks, const Instance& instance,
                     const std::map<std::string, std::string>& env, std::stop_token stop)
{
    for (const Hook& hook : hooks) {
        std::string words;
        ExecSignals none;
        const ExecResult result = run_with(
            instance, {.command = hook.command, .code = hook.code, .env = env}, !env.empty(), hook.timeout,
            [&words](ExecStream, std::string_view bytes) { append_up_to(words, bytes, kLongestWords); }, none, stop);
        if (result.exit_status == 0) continue;
        throw Error{ErrorCode::not_ready, std::string{"the hook "} + moment + " failed: " + describe(hook) +
                                              (result.timed_out ? " took longer than " + format_duration(hook.timeout)
                                                                : " exited with " + std::to_string(result.exit_status))}
            .with_field(std::string{"hooks."} + moment)
            .with_cause(printable(words));
    }
}

bool Exec::busy(const InstanceId& id) const
{
    return running_.with([&id](const auto& running) { return running.contains(id); });
}

}  // namespace warmd
