#include "daemon/host/probe.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>

#include <cerrno>
#include <exception>
#include <set>
#include <utility>

#include "daemon/base/error.h"
#include "daemon/base/scope_exit.h"
#include "daemon/base/unique_fd.h"

namespace warmd {

namespace {

constexpr const char* kLabel = "warmd.probe";
constexpr const char* kHeld = "/held";  // what the program writes when it is where it wants to be
constexpr Duration kPatience = std::chrono::minutes{1};
constexpr Duration kLookAgain = std::chrono::milliseconds{5};

/// The turn of this process among all that probe: whoever finds another's container then knows that it was left behind.
UniqueFd take_turn(const std::filesystem::path& program, Clock& clock, const std::stop_token& stop)
{
    UniqueFd turn{::open(program.c_str(), O_RDONLY | O_CLOEXEC)};
    if (!turn.valid()) throw system_error("open " + program.string(), errno, ErrorCode::not_found);
    const SteadyTime deadline = clock.steady_now() + kPatience;
    while (::flock(turn.get(), LOCK_EX | LOCK_NB) != 0) {
        if (clock.steady_now() >= deadline) throw Error{ErrorCode::busy, "another probe is at work"};
        if (!clock.sleep_for(kLookAgain, stop)) throw Error{ErrorCode::cancelled, "cancelled"};
    }
    return turn;
}

}  // namespace

ProbeReport Probe::run(std::stop_token stop)
{
    const UniqueFd turn = take_turn(program_, clock_, stop);
    std::set<std::string> left_images;
    for (const ContainerInfo& left : engine_.list(kLabel)) {
        engine_.remove(left.id.value());
        left_images.insert(left.image_id);
    }
    for (const std::string& left : left_images) engine_.remove_image(left);

    ProbeReport report;
    const auto step = [&](const char* name, const char* failure, const auto& work) {
        const Time started_at = clock_.now();
        const SteadyTime begin = clock_.steady_now();
        try {
            work();
        } catch (const Error& error) {
            if (error.code() == ErrorCode::cancelled || error.code() == ErrorCode::unavailable) throw;
            throw Error{error.code(), std::string{failure} + ": " + error.what()}
                .with_cause(error.cause())
                .with_hint(error.hint());
        }
        report.phases.push_back({.name = name,
                                 .started_at = started_at,
                                 .elapsed = std::chrono::duration_cast<Duration>(clock_.steady_now() - begin)});
    };
    const auto wait_until_held = [&](const ContainerId& id) {
        const SteadyTime deadline = clock_.steady_now() + kPatience;
        while (!engine_.file_exists(id, kHeld)) {
            if (clock_.steady_now() >= deadline) throw Error{ErrorCode::timeout, "its program does not come up"};
            if (!clock_.sleep_for(kLookAgain, stop)) throw Error{ErrorCode::cancelled, "cancelled"};
        }
    };

    std::string image;
    std::vector<std::string> containers;
    const ScopeExit clean_up{[&]() noexcept {
        try {
            for (const std::string& name : containers) engine_.remove(name);
            if (!image.empty()) engine_.remove_image(image);
        } catch (const std::exception& error) {
            spdlog::warn("a probe's container or image is left until the next probe: {}", error.what());
        }
    }};
    step("import", "an image cannot be imported", [&] { image = engine_.import_program(program_); });

    ContainerSpec spec;
    spec.name = new_id("warmd-probe-");
    spec.image = image;
    spec.command = {"/program", "--hold"};
    spec.labels = {{kLabel, "source"}};
    ContainerId source;
    step("start", "a container cannot be started", [&] {
        containers.push_back(spec.name);
        source = engine_.create(spec);
        engine_.start(source);
        wait_until_held(source);
    });

    std::string tarball;
    step("checkpoint", "a container cannot be checkpointed", [&] {
        report.bytes = engine_
                           .checkpoint(
                               source, {.timeout = kPatience}, [&tarball](std::string_view bytes) { tarball += bytes; },
                               stop)
                           .bytes;
    });
    engine_.remove(source.value());

    step("restore", "a checkpoint cannot be restored", [&] {
        const RestoreSpec target{.name = new_id("warmd-probe-"), .labels = {{kLabel, "copy"}}, .timeout = kPatience};
        containers.push_back(target.name);
        const ByteSource bytes = [&tarball, at = std::size_t{0}](std::span<char> buffer) mutable {
            const std::size_t count = tarball.copy(buffer.data(), buffer.size(), at);
            at += count;
            return count;
        };
        const ContainerId copy = engine_.restore(bytes, target, stop);
        if (!engine_.file_exists(copy, kHeld)) throw Error{ErrorCode::engine_failed, "a file is missing in the copy"};
        engine_.running_pid(copy);
    });
    return report;
}

}  // namespace warmd
