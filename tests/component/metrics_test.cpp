#include <cstdlib>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include "tests/component/api_fixture.h"

namespace warmd {
namespace {

/// The text format, strictly: every family with HELP and TYPE before its samples, no sample twice. Values by their
/// names with labels.
std::map<std::string, double> parse_exposition(const std::string& text)
{
    std::map<std::string, double> values;
    std::set<std::string> families;
    std::string family;
    std::string type;
    std::istringstream lines{text};
    EXPECT_TRUE(text.ends_with("\n"));
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with("# HELP ")) {
            const std::size_t space = line.find(' ', 7);
            EXPECT_NE(space, std::string::npos) << line;
            family = line.substr(7, space - 7);
            EXPECT_TRUE(families.insert(family).second) << "twice: " << family;
            type.clear();
            continue;
        }
        if (line.starts_with("# TYPE ")) {
            EXPECT_TRUE(line.starts_with("# TYPE " + family + " ")) << line;
            type = line.substr(8 + family.size());
            EXPECT_TRUE(type == "counter" || type == "gauge" || type == "histogram") << line;
            EXPECT_EQ(type == "counter", family.ends_with("_total")) << line;
            continue;
        }
        const std::size_t space = line.rfind(' ');
        EXPECT_NE(space, std::string::npos) << line;
        if (space == std::string::npos) continue;
        const std::string name = line.substr(0, space);
        std::string bare = name.substr(0, name.find('{'));
        EXPECT_FALSE(type.empty()) << line;
        if (type == "histogram") {
            for (const char* const suffix : {"_bucket", "_sum", "_count"}) {
                if (bare == family + suffix) bare = family;
            }
        }
        EXPECT_EQ(bare, family) << line;
        EXPECT_EQ(name.find('{') == std::string::npos, !name.ends_with("}")) << line;
        char* end = nullptr;
        const std::string number = line.substr(space + 1);
        EXPECT_TRUE(values.emplace(name, std::strtod(number.c_str(), &end)).second) << "twice: " << line;
        EXPECT_EQ(*end, '\0') << line;
    }
    return values;
}

class MetricsTest : public test::ApiFixture {
protected:
    std::map<std::string, double> scrape()
    {
        const test::Reply reply = get("/metrics");
        EXPECT_EQ(reply.status, 200);
        EXPECT_EQ(reply.content_type, "text/plain; version=0.0.4; charset=utf-8");
        return parse_exposition(reply.body);
    }
};

TEST_F(MetricsTest, CountsWhatHasHappenedAndShowsWhatThereIs)
{
    const Checkpoint made = checkpoint();
    const Instance instance = warm();
    exec(instance.id, "true");
    exec(instance.id, "exit 3");
    EXPECT_EQ(post("/v1/pools/quick/leases").status, 201);
    const auto values = scrape();
    const auto value = [&values](const std::string& name) {
        const auto found = values.find(name);
        EXPECT_NE(found, values.end()) << name;
        return found == values.end() ? -1 : found->second;
    };
    EXPECT_EQ(value(R"(warmd_operations_total{kind="warm",state="succeeded"})"), 1);
    EXPECT_EQ(value(R"(warmd_operations_total{kind="checkpoint",state="succeeded"})"), 1);
    EXPECT_EQ(value(R"(warmd_operation_phase_seconds_count{kind="warm",path="cold",phase="ready"})"), 1);
    EXPECT_EQ(value(R"(warmd_execs_total{outcome="ok"})"), 1);
    EXPECT_EQ(value(R"(warmd_execs_total{outcome="nonzero"})"), 1);
    EXPECT_EQ(value(R"(warmd_exec_seconds_count{path="podman"})"), 2);
    EXPECT_EQ(value(R"(warmd_leases_active{template="quick"})"), 1);
    EXPECT_EQ(value(R"(warmd_pool_instances{state="leased",template="quick"})") +
                  value(R"(warmd_pool_instances{state="idle",template="quick"})"),
              1);
    EXPECT_EQ(value(R"(warmd_checkpoints{state="available",template="quick"})"), 1);
    EXPECT_EQ(value(R"(warmd_store_bytes{what="tarballs"})"), static_cast<double>(made.size_bytes));
    EXPECT_GT(value(R"(warmd_store_bytes{what="free"})"), 0);
    EXPECT_EQ(value(R"(warmd_http_requests_total{method="POST",route="/v1/pools/{template}/leases",status="201"})"), 1);
    EXPECT_GT(value("process_resident_memory_bytes"), 1 << 20U);
    EXPECT_GT(value("process_open_fds"), 3);
    EXPECT_GT(value("process_threads"), 1);
    EXPECT_GT(value("process_start_time_seconds"), 1.7e9);
    EXPECT_GE(value("process_cpu_seconds_total"), 0);
    EXPECT_GE(value("warmd_operations_active"), 0);
}

TEST_F(MetricsTest, NothingThatClientsMakeUpBecomesALabel)
{
    get("/v1/instances/made-up-name");
    call("PATCHED", "/v1/status");
    get("/made/up/path");
    const std::string text = get("/metrics").body;
    EXPECT_EQ(text.find("made"), std::string::npos);
    EXPECT_EQ(text.find("PATCHED"), std::string::npos);
    const auto values = parse_exposition(text);
    EXPECT_EQ(values.at(R"(warmd_http_requests_total{method="GET",route="/v1/instances/{id}",status="404"})"), 1);
    EXPECT_EQ(values.at(R"(warmd_http_requests_total{method="GET",route="none",status="404"})"), 1);
}

}  // namespace
}  // namespace warmd
