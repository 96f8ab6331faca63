#include "daemon/service/warm.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "daemon/base/error.h"
#include "daemon/base/text.h"
#include "daemon/service/instance_end.h"
#include "daemon/service/secrets.h"

namespace warmd {

namespace {

constexpr int kLastWords = 20;  // lines of the container's log in an error

Error image_missing(const Template& from)
{
    return Error{ErrorCode::not_found, "the image \"" + from.image + "\" of template \"" + from.name.value() +
                                           "\" is not in Podman's local storage"}
        .with_field("image")
        .with_hint("as root: podman pull " + from.image + " (or build it), then try again");
}

/// The application waits until the agent is given its secrets.
bool deferred(const Template& from)
{
    return std::any_of(from.secrets.begin(), from.secrets.end(),
                       [](const auto& entry) { return entry.second.to_warm; });
}

/// What a template asks for and only an agent can do is refused before anything is made.
void require_agent(const Template& from, const Instance& instance)
{
    if (!instance.agent_socket.empty() || from.secrets.empty()) return;
    throw Error{ErrorCode::not_ready, "the template \"" + from.name.value() + "\" has secrets, and its image \"" +
                                          from.image + "\" has no agent to deliver them"}
        .with_field("secrets")
        .with_hint("build the image with the agent (docs/agent-protocol.md), or remove the secrets");
}

}  // namespace

Instance Warm::run(const Template& from, OperationRun& run, bool pooled)
{
    const auto image = engine_.find_image(from.image);
    if (!image) throw image_missing(from);
    const auto agent = image->labels.find(std::string{kAgentLabel});
    Instance instance{.id = InstanceId{new_id(kInstancePrefix)},
                      .template_name = from.name,
                      .state = InstanceState::warming,
                      .origin = Origin::warm,
                      .pooled = pooled,
                      .agent_socket = agent == image->labels.end() ? std::string{} : agent->second,
                      .created_at = clock_.now()};
    require_agent(from, instance);
    run.set_instance(instance.id);  // first: what has no operation is swept
    catalog_.save(instance);
    try {
        bring_up(from, instance, run);
    } catch (const std::exception& error) {
        end_instance_quietly(catalog_, engine_, clock_, instance, std::string{"warming failed: "} + error.what());
        throw;
    }
    instance.state = InstanceState::idle;
    instance.phases = run.phases();
    catalog_.save(instance);
    return instance;
}

void Warm::bring_up(const Template& from, Instance& instance, OperationRun& run)
{
    run.phase("create", [&] { create(from, instance); });
    const WarmUp& warm_up = from.warm_up;
    run.phase("start", [&] {
        engine_.start(instance.container);
        if (!instance.agent_socket.empty()) start_through_agent(from, instance, run);
        wait_for("start", warm_up.started, warm_up, instance, false, run);
    });
    run.phase("init", [&] { wait_for("init", warm_up.initialised, warm_up, instance, false, run); });
    run.phase("ready", [&] {
        wait_for("ready", warm_up.ready, warm_up, instance, warm_up.tcp_quiescence, run);
        const auto container = engine_.inspect(instance.container.value());
        if (!container || container->status != ContainerStatus::running) {
            throw Error{ErrorCode::conflict, "it has ended"};
        }
    });
}

void Warm::create(const Template& from, Instance& instance)
{
    std::map<std::string, std::string> env = from.env;
    if (deferred(from)) env["WARM_START"] = "deferred";
    instance.container = engine_.create({.name = container_name(instance.id),
                                         .image = from.image,
                                         .command = from.command,
                                         .env = std::move(env),
                                         .labels = container_labels(instance),
                                         .workdir = from.workdir,
                                         .user = from.user,
                                         .hostname = from.hostname,
                                         .mounts = from.mounts,
                                         .network = from.network,
                                         .limits = from.limits});
    catalog_.save(instance);
}

void Warm::start_through_agent(const Template& from, const Instance& instance, OperationRun& run)
{
    const AgentAddress address = agent_address(instance);
    const SteadyTime deadline = clock_.steady_now() + from.warm_up.started.timeout;
    while (true) {  // its process has been started, which is not yet listening
        try {
            agent_.ping(address);
            break;
        } catch (const Error& error) {
            if (error.code() != ErrorCode::unavailable || clock_.steady_now() >= deadline) throw;
        }
        clock_.sleep_for(from.warm_up.poll_interval, run.stop());
        run.check();
    }
    if (deferred(from)) agent_.start_application(address, read_secrets(from, SecretUse::warm));
}

bool Warm::holds(const Condition& condition, const Instance& instance, Duration patience, OperationRun& run,
                 std::string& last_words)
{
    if (condition.file && !engine_.file_exists(instance.container, *condition.file)) {
        last_words = *condition.file + " does not exist";
        return false;
    }
    if (condition.exec.empty()) return true;
    std::string output;
    const ExecResult probe = exec_.run_within(
        instance, {.command = condition.exec}, patience,
        [&output](ExecStream, std::string_view bytes) { append_up_to(output, bytes, kLongestWords); }, run.stop());
    if (probe.exit_status != 0) {
        last_words = condition.exec.front() + " exited with " + std::to_string(probe.exit_status) + ": " + output;
    }
    return probe.exit_status == 0;
}

void Warm::wait_for(const char* phase, const Condition& condition, const WarmUp& warm_up, const Instance& instance,
                    bool quiescence, OperationRun& run)
{
    const ContainerId& container = instance.container;
    const SteadyTime deadline = clock_.steady_now() + condition.timeout;
    SteadyTime quiet_since = clock_.steady_now();
    bool met = false;
    std::string last_words;
    try {
        if (phase == std::string_view{"init"} && !instance.agent_socket.empty()) {
            try {
                agent_.wait_for(agent_address(instance), AgentStage::initialised, condition.timeout, run.stop());
            } catch (const Error& error) {
                if (error.code() == ErrorCode::not_ready) throw Error{ErrorCode::conflict, error.what()};
                if (error.code() != ErrorCode::timeout) throw;
                throw out_of_time(phase, "the application's session has not answered", container);
            }
        }
        while (true) {
            const SteadyTime now = clock_.steady_now();
            const auto left = std::chrono::duration_cast<Duration>(deadline - now);
            if (left <= Duration::zero()) break;
            met = met || holds(condition, instance, left, run, last_words);
            if (met && !quiescence) return;
            if (met) {
                const int open = engine_.open_tcp_connections(container);
                if (open == 0 && clock_.steady_now() - quiet_since >= warm_up.quiet_for) return;
                if (open > 0) {
                    quiet_since = clock_.steady_now();
                    last_words = std::to_string(open) + " TCP connections are still open";
                }
            } else {
                quiet_since = clock_.steady_now();
            }
            clock_.sleep_for(warm_up.poll_interval, run.stop());
            run.check();
        }
    } catch (const Error& error) {
        // A container that is no longer there is the application's failure, not the engine's or the agent's.
        if (error.code() != ErrorCode::conflict && error.code() != ErrorCode::not_found) throw;
        throw Error{ErrorCode::not_ready, std::string{"the application ended during "} + phase}
            .with_cause(describe(container, true))
            .with_hint("try the template's command by hand: podman run IMAGE COMMAND");
    }
    throw out_of_time(phase, last_words, container);
}

Error Warm::out_of_time(std::string_view phase, const std::string& last_words, const ContainerId& container)
{
    return Error{ErrorCode::not_ready, std::string{phase} + " did not end in time"}
        .with_cause(printable(last_words) + "; " + describe(container, false))
        .with_hint(std::string{"raise warm."} +
                   (phase == "start"  ? "started"
                    : phase == "init" ? "initialised"
                                      : "ready") +
                   ".timeout in the template, or mend its condition");
}

std::string Warm::describe(const ContainerId& container, bool ended)
{
    try {
        const auto info = ended ? inspect_ended(engine_, container) : engine_.inspect(container.value());
        if (!info) return "the container is gone";
        std::string text = info->status == ContainerStatus::running
                               ? "the container runs"
                               : "the container exited with " + std::to_string(info->exit_code);
        if (info->oom_killed) text += " (killed: out of memory)";
        return text + "; its last words: " + printable(engine_.logs(container, kLastWords));
    } catch (const Error& error) {
        return std::string{"and it cannot be looked at: "} + error.what();
    }
}

}  // namespace warmd
