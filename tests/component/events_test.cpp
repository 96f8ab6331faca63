#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/component/api_fixture.h"

namespace warmd {
namespace {

struct Told {
    std::string type;
    std::string id;
    Json data;
};

/// A client of the event stream, until it is destroyed.
class Listener {
public:
    Listener(const std::string& socket_path, const std::string& target, const httplib::Headers& headers = {})
        : client_{socket_path}
    {
        client_.set_address_family(AF_UNIX);
        client_.set_read_timeout(std::chrono::seconds{60});
        thread_ = std::jthread{[this, target, headers] {
            httplib::Headers all = headers;
            all.emplace("Host", "test");
            client_.Get(target, all, [this](const char* bytes, std::size_t size) { return take({bytes, size}); });
            const std::scoped_lock lock{mutex_};
            ended_ = true;
            changed_.notify_all();
        }};
    }
    ~Listener()
    {
        {
            const std::scoped_lock lock{mutex_};
            over_ = true;
        }
        client_.stop();
    }
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

    /// The next event; nothing when the stream ends or none comes for far too long.
    std::optional<Told> next()
    {
        std::unique_lock lock{mutex_};
        changed_.wait_for(lock, std::chrono::seconds{30}, [this] { return read_ < events_.size() || ended_; });
        return read_ < events_.size() ? std::optional{events_[read_++]} : std::nullopt;
    }
    /// Skips all that are not of this type.
    std::optional<Told> next(const std::string& type)
    {
        auto told = next();
        while (told && told->type != type) told = next();
        return told;
    }
    bool ended()
    {
        std::unique_lock lock{mutex_};
        return changed_.wait_for(lock, std::chrono::seconds{30}, [this] { return ended_; });
    }
    std::string retry()
    {
        const std::scoped_lock lock{mutex_};
        return retry_;
    }

private:
    bool take(std::string_view bytes)
    {
        const std::scoped_lock lock{mutex_};
        unread_ += bytes;
        for (std::size_t end = 0; (end = unread_.find("\n\n")) != std::string::npos; unread_.erase(0, end + 2)) {
            Told told;
            std::istringstream lines{unread_.substr(0, end)};
            for (std::string line; std::getline(lines, line);) {
                const std::size_t colon = line.find(": ");
                const std::string name = line.substr(0, colon);
                const std::string value = line.substr(colon + 2);
                if (name == "retry") retry_ = value;
                if (name == "event") told.type = value;
                if (name == "id") told.id = value;
                if (name == "data") told.data = parse_json(value);
            }
            if (!told.type.empty()) events_.push_back(told);
        }
        changed_.notify_all();
        return !over_;
    }

    httplib::Client client_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::string unread_;
    std::vector<Told> events_;
    std::size_t read_ = 0;
    std::string retry_;
    bool over_ = false;
    bool ended_ = false;
    std::jthread thread_;
};

class EventsTest : public test::ApiFixture {
protected:
    void expect_schema(const Told& told, const std::string& schema)
    {
        EXPECT_EQ(api().check_schema({{"$ref", "#/components/schemas/" + schema}}, told.data), "") << told.data;
    }
};

TEST_F(EventsTest, AFreshConnectionHearsWhereItBeginsAndThenEveryChange)
{
    warm();
    start_server();
    Listener listener{socket_path(), "/v1/events"};
    const auto hello = listener.next();
    ASSERT_TRUE(hello);
    EXPECT_EQ(listener.retry(), "2000");
    EXPECT_EQ(hello->type, "hello");
    EXPECT_EQ(hello->id, std::to_string(catalog().last_event()));
    EXPECT_EQ(hello->data.at("newest"), catalog().last_event());
    expect_schema(*hello, "HelloEvent");

    const std::int64_t before = catalog().last_event();
    const Instance made = warm();
    std::vector<std::string> states;
    std::int64_t id = before;
    while (states.empty() || states.back() != "operation succeeded") {
        const auto change = listener.next("change");
        ASSERT_TRUE(change);
        expect_schema(*change, "ChangeEvent");
        EXPECT_EQ(change->id, std::to_string(++id));
        EXPECT_EQ(change->data.at("id"), id);
        EXPECT_EQ(change->data.at("template"), "quick");
        if (change->data.at("kind") == "instance") {
            EXPECT_EQ(change->data.at("subject"), made.id.value());
        }
        states.push_back(change->data.at("kind").get<std::string>() + " " +
                         change->data.at("state").get<std::string>());
    }
    EXPECT_EQ(states, (std::vector<std::string>{"operation queued", "instance warming", "instance idle",
                                                "operation succeeded"}));
}

TEST_F(EventsTest, ProgressNamesThePhasesOfAnOperationInTheirOrder)
{
    start_server();
    Listener listener{socket_path(), "/v1/events"};
    ASSERT_TRUE(listener.next("hello"));
    const Operation done = finish(service().warm(TemplateName{"quick"}));
    for (const Phase& phase : done.phases) {
        for (const std::string& expected : {phase.name, std::string{}}) {
            const auto progress = listener.next("progress");
            ASSERT_TRUE(progress);
            expect_schema(*progress, "ProgressEvent");
            EXPECT_EQ(progress->id, "");
            EXPECT_EQ(progress->data.at("phase"), expected);
            EXPECT_EQ(progress->data.at("operation"), done.id.value());
            EXPECT_EQ(progress->data.at("kind"), "warm");
        }
    }
}

TEST_F(EventsTest, WhatHappenedMeanwhileIsToldAfterARestart)
{
    const Instance made = warm();
    const std::int64_t seen = catalog().last_event();
    finish(service().terminate(made.id));
    restart();
    start_server();
    Listener by_header{socket_path(), "/v1/events?after=0", {{"Last-Event-ID", std::to_string(seen)}}};
    Listener by_query{socket_path(), "/v1/events?after=" + std::to_string(seen)};
    for (Listener* const listener : {&by_header, &by_query}) {
        const auto first = listener->next();
        ASSERT_TRUE(first);
        EXPECT_EQ(first->type, "change");
        EXPECT_EQ(first->id, std::to_string(seen + 1));
        auto change = first;
        while (change && change->data.at("subject") != made.id.value()) change = listener->next();
        ASSERT_TRUE(change);
        EXPECT_EQ(change->data.at("state"), "draining");
        EXPECT_EQ(change->data.at("reason"), "it was terminated by request");
    }
}

TEST_F(EventsTest, AnIdThatIsNotKnownIsAReset)
{
    warm();
    start_server();
    Listener listener{socket_path(), "/v1/events?after=1000000"};
    const auto reset = listener.next();
    ASSERT_TRUE(reset);
    EXPECT_EQ(reset->type, "reset");
    expect_schema(*reset, "ResetEvent");
    EXPECT_EQ(reset->data, (Json{{"oldest", 1}, {"newest", catalog().last_event()}}));
    EXPECT_EQ(reset->id, std::to_string(catalog().last_event()));
    warm();
    const auto change = listener.next("change");
    ASSERT_TRUE(change);
    EXPECT_EQ(change->id, std::to_string(reset->data.at("newest").get<std::int64_t>() + 1));
}

TEST_F(EventsTest, TheStreamEndsWithTheServer)
{
    start_server();
    Listener listener{socket_path(), "/v1/events"};
    ASSERT_TRUE(listener.next("hello"));
    stop_server();
    EXPECT_TRUE(listener.ended());
}

TEST_F(EventsTest, WhatIsNoIdIsRefused)
{
    for (const char* const id : {"x", "-1", "1x", "99999999999999999999", "1.5"}) {
        const test::Reply query = get(std::string{"/v1/events?after="} + id);
        expect_problem(query, 400, "invalid_argument");
        EXPECT_EQ(query.json().at("field"), "after");
        const test::Reply header = get("/v1/events", {{"Last-Event-ID", id}});
        expect_problem(header, 400, "invalid_argument");
        EXPECT_EQ(header.json().at("field"), "Last-Event-ID");
    }
}

}  // namespace
}  // namespace warmd
