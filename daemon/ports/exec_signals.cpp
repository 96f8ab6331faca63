#include "daemon/ports/exec_signals.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

#include "daemon/base/error.h"

namespace warmd {

ExecSignals::ExecSignals() : event_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)}
{
    if (!event_.valid()) throw system_error("make an eventfd", errno);
}

void ExecSignals::send(int number)
{
    pending_.with([number](std::vector<int>& pending) { pending.push_back(number); });
    wake();
}

void ExecSignals::wake() const noexcept
{
    const std::uint64_t one = 1;
    static_cast<void>(!::write(event_.get(), &one, sizeof one));  // full means that it is readable already
}

std::vector<int> ExecSignals::take()
{
    std::uint64_t count = 0;
    static_cast<void>(!::read(event_.get(), &count, sizeof count));
    return pending_.with([](std::vector<int>& pending) { return std::exchange(pending, {}); });
}

}  // namespace warmd
