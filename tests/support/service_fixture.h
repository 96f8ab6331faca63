#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "daemon/base/clock.h"
#include "daemon/catalog/catalog.h"
#include "daemon/service/service.h"
#include "daemon/store/tarball_store.h"
#include "tests/support/fake_agent.h"
#include "tests/support/fake_engine.h"
#include "tests/support/manual_clock.h"
#include "tests/support/temp_dir.h"

namespace warmd::test {

inline constexpr const char* kImage = "localhost/test:latest";

/// A template that is warm as soon as it runs.
inline Template quick_template(const std::string& name = "quick")
{
    Template result;
    result.name = TemplateName{name};
    result.image = kImage;
    result.command = {"sh", "-c", "while :; do sleep 0.05; done"};
    result.digest = std::string(64, 'd');
    result.warm_up.quiet_for = Duration::zero();
    result.warm_up.poll_interval = std::chrono::milliseconds{1};
    return result;
}

/// A whole service on a fake engine, with a catalog and a store in a directory of its own. `restart` is what
/// a new start of the daemon finds.
class ServiceFixture : public testing::Test {
protected:
    ServiceFixture()
    {
        engine.add_image(kImage, std::string(64, 'a'));
        options.doctor.store = directory.path();
        options.pools.available_memory = [] { return std::uint64_t{1} << 40U; };
    }

    void add(Template entry) { templates_.insert_or_assign(entry.name, std::move(entry)); }

    /// The service, made at its first use.
    Service& service()
    {
        if (!service_) restart();
        return *service_;
    }

    void stop()
    {
        service_.reset();
        store_.reset();
        catalog_.reset();
    }

    void restart()
    {
        stop();
        catalog_ = std::make_unique<Catalog>((directory.path() / "catalog.sqlite").string());
        store_ = std::make_unique<TarballStore>(directory.path(), store_options.min_free_bytes, store_options.free);
        Clock& time = manual_time ? static_cast<Clock&>(manual_clock) : clock;
        service_ = std::make_unique<Service>(*catalog_, *store_, engine, agent, time, Templates{templates_}, options);
        service_->reconcile();
    }

    Catalog& catalog()
    {
        service();
        return *catalog_;
    }
    TarballStore& store()
    {
        service();
        return *store_;
    }

    /// Waits until `condition` holds. False when it does not for far too long.
    template <typename Fn>
    static bool eventually(Fn&& condition)
    {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{60};
        while (!condition()) {
            if (std::chrono::steady_clock::now() >= deadline) return false;
            std::this_thread::yield();
        }
        return true;
    }

    Operation finish(const Operation& operation)
    {
        return service().operations().wait(operation.id, std::chrono::seconds{30});
    }

    Instance warm(const std::string& name = "quick")
    {
        const Operation done = finish(service().warm(TemplateName{name}));
        EXPECT_EQ(done.state, OperationState::succeeded) << (done.error ? done.error->what() : "");
        return catalog().get(done.instance);
    }

    Checkpoint checkpoint(const std::string& name = "quick")
    {
        const Operation done = finish(service().checkpoint(TemplateName{name}));
        EXPECT_EQ(done.state, OperationState::succeeded) << (done.error ? done.error->what() : "");
        return catalog().get(done.checkpoint);
    }

    std::string exec(const InstanceId& id, const std::string& script)
    {
        std::string out;
        ExecRequest request;
        request.command = {"sh", "-c", script};
        service().exec().run(id, ExecId{"exec-test"}, request,
                             [&out](ExecStream, std::string_view bytes) { out += bytes; }, {});
        return out;
    }

    [[nodiscard]] std::size_t files_in(const std::string& folder) const
    {
        std::size_t count = 0;
        for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator{directory.path() / folder})
            ++count;
        return count;
    }

    TempDir directory;
    SystemClock clock;
    ManualClock manual_clock;
    FakeEngine engine;
    FakeAgent agent;
    // What the service is started with.
    ServiceOptions options;
    struct {
        std::optional<std::uint64_t> min_free_bytes = 0;
        SpaceLedger::FreeBytes free;  // empty: the file system's
    } store_options;
    bool manual_time = false;  // its clock is the manual one

private:
    std::map<TemplateName, Template> templates_{{TemplateName{"quick"}, quick_template()}};
    std::unique_ptr<Catalog> catalog_;
    std::unique_ptr<TarballStore> store_;
    std::unique_ptr<Service> service_;
};

}  // namespace warmd::test
