#pragma once

#include <string_view>

#include "daemon/base/error.h"
#include "dockerfiles/agent/protocol.h"

namespace warmd::agent {

/// Whoever asked for an exec. All calls come from the reactor's thread.
class JobClient {
public:
    virtual ~JobClient() = default;
    virtual void output(FrameType stream, std::string_view bytes) = 0;
    /// True while it cannot take more: the job then leaves output in its pipe until `resume_output`.
    [[nodiscard]] virtual bool congested() const = 0;
    /// The last call, one of the two.
    virtual void finished(const ExecOutcome& outcome) = 0;
    virtual void refused(const Error& error) = 0;
};

/// One exec on its way. Destroying it cancels it: its client must not be called any more.
class Job {
public:
    virtual ~Job() = default;
    virtual void input(std::string_view bytes) = 0;
    virtual void end_input() = 0;
    virtual void signal(int number) = 0;
    virtual void resume_output() = 0;
};

inline constexpr int kStatusTimeout = 124;

inline Duration elapsed_since(SteadyTime began)
{
    return std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now() - began);
}

}  // namespace warmd::agent
