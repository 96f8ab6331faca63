#include "tests/support/fake_agent.h"

#include <poll.h>

#include <tuple>
#include <utility>

namespace warmd::test {

void FakeAgent::fail_next(const std::string& operation, Error error)
{
    const std::scoped_lock lock{mutex_};
    failures_[operation].push_back(std::move(error));
}

void FakeAgent::answer_next(ExecResult result, const std::string& output)
{
    const std::scoped_lock lock{mutex_};
    result.path = ExecPath::agent;
    answers_.emplace_back(result, output);
}

void FakeAgent::wait_for_signal()
{
    const std::scoped_lock lock{mutex_};
    wait_for_signal_ = true;
}

std::vector<std::string> FakeAgent::calls() const
{
    const std::scoped_lock lock{mutex_};
    return calls_;
}

std::vector<ExecRequest> FakeAgent::execs() const
{
    const std::scoped_lock lock{mutex_};
    return execs_;
}

std::map<std::string, std::string> FakeAgent::env() const
{
    const std::scoped_lock lock{mutex_};
    return env_;
}

std::string FakeAgent::hostname() const
{
    const std::scoped_lock lock{mutex_};
    return hostname_;
}

void FakeAgent::enter(const std::string& operation)
{
    const std::scoped_lock lock{mutex_};
    calls_.push_back(operation);
    auto& failures = failures_[operation];
    if (failures.empty()) return;
    const Error error = failures.front();
    failures.pop_front();
    throw Error{error};
}

void FakeAgent::ping(const AgentAddress&) { enter("ping"); }

void FakeAgent::start_application(const AgentAddress&, const std::map<std::string, std::string>& env)
{
    enter("start_application");
    const std::scoped_lock lock{mutex_};
    env_ = env;
}

void FakeAgent::wait_for(const AgentAddress&, AgentStage, Duration, std::stop_token) { enter("wait_for"); }

ExecResult FakeAgent::exec(const AgentAddress&, const ExecRequest& request, Duration, const ExecOutput& output,
                           ExecSignals& signals, std::stop_token)
{
    enter("exec");
    ExecResult result{.exit_status = 0, .path = ExecPath::agent};
    std::string text;
    bool waits = false;
    {
        const std::scoped_lock lock{mutex_};
        execs_.push_back(request);
        waits = std::exchange(wait_for_signal_, false);
        if (!answers_.empty()) {
            std::tie(result, text) = answers_.front();
            answers_.pop_front();
        }
    }
    if (!text.empty()) output(ExecStream::out, text);
    if (waits) {
        pollfd polled{.fd = signals.descriptor(), .events = POLLIN, .revents = 0};
        ::poll(&polled, 1, 30'000);
        for (const int number : signals.take()) result.exit_status = 128 + number;
    }
    return result;
}

void FakeAgent::quiesce(const AgentAddress&) { enter("quiesce"); }

void FakeAgent::resumed(const AgentAddress&, const std::string& hostname, const std::map<std::string, std::string>& env)
{
    enter("resumed");
    const std::scoped_lock lock{mutex_};
    hostname_ = hostname;
    env_ = env;
}

}  // namespace warmd::test
