#include "client/exec_session.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "daemon/base/text.h"

namespace warmd::client {

namespace {

void write_all(std::FILE* stream, const std::string& data)
{
    std::fwrite(data.data(), 1, data.size(), stream);
    std::fflush(stream);  // as it appears
}

const char* describe(InstancePath path)
{
    switch (path) {
    case InstancePath::pool: return "took one from the pool";
    case InstancePath::linked: return "restored one (linked)";
    case InstancePath::archive: return "restored one (archive)";
    case InstancePath::cold: return "started one cold";
    }
    return "made one";
}

}  // namespace

ExecSession::ExecSession(const ApiClient& api, const Output& output, InstanceId instance)
    : api_{api},
      output_{output},
      progress_{output},
      target_{Target{.instance = std::move(instance), .exec = {}}},
      interrupts_{[this](const char* name) { pass_on(name); }}
{
}

int ExecSession::run(const std::string& path, const Json& body)
{
    api_.stream(path, body, [this](const std::string& line, const contract::ExecFrame& frame) {
        if (output_.json) output_.print_line(line);
        handle(frame);
    });
    return exit_status_.value_or(kExitEngineFailed);
}

void ExecSession::handle(const contract::ExecFrame& frame)
{
    switch (frame.type) {
    case contract::FrameType::progress: progress_.draw(frame.data); break;
    case contract::FrameType::start: start(frame); break;
    case contract::FrameType::out:
        if (!output_.json) write_all(stdout, frame.data);
        break;
    case contract::FrameType::err:
        if (!output_.json) write_all(stderr, frame.data);
        break;
    case contract::FrameType::exit:
        if (frame.result.timed_out && !output_.quiet) {
            std::fprintf(stderr, "warmctl: the command was killed after %s\n",
                         client::describe(frame.result.elapsed).c_str());
        }
        exit_status_ = frame.result.exit_status;
        break;
    case contract::FrameType::error: progress_.clear(); throw Error{frame.error};
    case contract::FrameType::keepalive: break;
    }
}

void ExecSession::start(const contract::ExecFrame& frame)
{
    started_ = Started{.path = frame.path, .at = SystemClock{}.steady_now()};
    progress_.clear();
    target_.with([&frame](Target& target) {
        target.exec = frame.exec;
        if (!frame.instance.empty()) target.instance = frame.instance;
    });
    if (frame.path && *frame.path != InstancePath::pool && !output_.quiet) {
        std::fprintf(stderr, "warmctl: no warm instance was idle: %s\n", describe(*frame.path));
    }
}

void ExecSession::pass_on(const char* signal_name)
{
    const Target target = target_.with(
        [](Target& known) { return Target{.instance = known.instance, .exec = std::exchange(known.exec, {})}; });
    try {
        if (target.exec.empty()) std::_Exit(kExitInterrupted);
        api_.signal(target.instance, target.exec, signal_name);
    } catch (const Error&) {
        std::_Exit(kExitInterrupted);
    }
}

}  // namespace warmd::client
