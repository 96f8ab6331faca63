#include "daemon/service/host_view.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "daemon/base/error.h"
#include "daemon/host/host_environment.h"

namespace warmd {

namespace {

/// A package that is replaced while warmd runs is noticed after this, or when a restore fails.
constexpr Duration kAskEvery = std::chrono::minutes{5};

bool lacks_image(const std::vector<Difference>& differences)
{
    return std::any_of(differences.begin(), differences.end(),
                       [](const Difference& one) { return one.field == "image_id"; });
}

}  // namespace

Environment HostView::ask()
{
    Environment environment = host_environment(engine_.info());
    const SteadyTime now = clock_.steady_now();
    seen_.with([&environment, now](Seen& seen) {
        seen.environment = environment;
        seen.asked_at = now;
    });
    return environment;
}

bool HostView::look_for(const std::string& image_id)
{
    const bool found = engine_.find_image(image_id).has_value();
    seen_.with([&image_id, found](Seen& seen) { seen.images[image_id] = found; });
    return found;
}

void HostView::refresh(const Catalog& catalog) noexcept
{
    try {
        const auto asked_at = seen_.with([](const Seen& seen) { return seen.asked_at; });
        if (!asked_at || clock_.steady_now() - *asked_at >= kAskEvery) ask();
        std::set<std::string> images;
        for (const Checkpoint& checkpoint : catalog.checkpoints(Page::all())) {
            const bool known = !checkpoint.image_id.empty();
            if (known && checkpoint.state == CheckpointState::available) images.insert(checkpoint.image_id);
        }
        seen_.with([&images](Seen& seen) {
            std::erase_if(seen.images, [&images](const auto& known) { return !images.contains(known.first); });
        });
        for (const std::string& image : images) look_for(image);
    } catch (const std::exception& error) {
        spdlog::warn("cannot see whether this host has changed, will try again: {}", error.what());
    }
}

void HostView::doubt()
{
    seen_.with([](Seen& seen) { seen.asked_at.reset(); });
}

std::vector<Difference> HostView::differences(const Checkpoint& checkpoint) const
{
    struct Known {
        Environment environment;
        bool without_image = false;
    };
    const Known known = seen_.with([&checkpoint](const Seen& seen) {
        const auto image = seen.images.find(checkpoint.image_id);
        return Known{seen.environment, image != seen.images.end() && !image->second};
    });
    std::vector<Difference> differences = compare_hosts(checkpoint.environment, known.environment);
    if (known.without_image) {
        differences.push_back({.field = "image_id",
                               .recorded = checkpoint.image_id,
                               .here = {},
                               .blocks = true,
                               .why = "the image " + checkpoint.image +
                                      ", with exactly this id, is no longer in Podman's local storage"});
    }
    return differences;
}

std::vector<Difference> HostView::look(const Checkpoint& checkpoint)
{
    // Podman would look for it by name, and then want exactly this id.
    if (!checkpoint.image_id.empty()) look_for(checkpoint.image_id);
    return differences(checkpoint);
}

void HostView::require(const Checkpoint& checkpoint, bool force)
{
    const std::vector<Difference> differences = look(checkpoint);
    if (warmd::fits(differences)) return;
    if (!force || lacks_image(differences)) throw incompatible_host(checkpoint, differences);
    spdlog::warn("checkpoint_id={} is restored by force, though it does not fit this host: {}", checkpoint.id.value(),
                 describe_blocking(differences));
}

Error incompatible_host(const Checkpoint& checkpoint, const std::vector<Difference>& differences)
{
    std::string why;
    for (const Difference& one : differences) {
        if (one.blocks) why += (why.empty() ? "" : "; ") + one.field + ": " + one.why;
    }
    const std::string again = "make a new checkpoint: warmctl checkpoint " + checkpoint.template_name.value();
    const std::string hint = lacks_image(differences)
                                 ? "bring that very image back (podman load, or podman pull by its digest), or " + again
                                 : again + "; to try it nevertheless: warmctl restore " + checkpoint.id.value() +
                                       " --force";
    return Error{ErrorCode::incompatible_host,
                 "checkpoint " + checkpoint.id.value() + " does not fit this host: " + describe_blocking(differences)}
        .with_cause(why)
        .with_hint(hint);
}

}  // namespace warmd
