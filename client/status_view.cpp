#include "client/status_view.h"

#include <algorithm>

#include "client/output.h"
#include "daemon/base/text.h"

namespace warmd::client {

namespace {

std::string bytes(std::int64_t number)
{
    return describe_bytes(static_cast<std::uint64_t>(std::max<std::int64_t>(0, number)));
}

std::string store_words(const Json& status)
{
    std::string words;
    const auto add = [&words](const std::optional<std::int64_t>& number, const std::string& after) {
        if (number) words += (words.empty() ? "" : ", ") + bytes(*number) + after;
    };
    add(status_number(status, "store", "free_bytes"), " free");
    const auto total = status_number(status, "store", "total_bytes");
    if (total && !words.empty()) words += " of " + bytes(*total);
    add(status_number(status, "checkpoints", "bytes"), " in tarballs");
    add(status_number(status, "store", "unpacked_bytes"), " unpacked");
    return words;
}

/// Empty when there is nothing to tell.
std::string priming_words(JsonObject& status)
{
    const Json* const json = status.child("priming");
    if (json == nullptr) return {};
    JsonObject priming{*json, "priming"};
    const std::string state = priming.text("state");
    if (state == "failed") return "failed: " + printable(priming.optional_text("reason").value_or(""));
    return state == "running" || state == "pending" ? state : "";
}

std::string readiness(const Json& status, const std::optional<Error>& unready, bool coloured)
{
    JsonObject object{status};
    if (!object.optional_boolean("recovered").value_or(true)) {
        return paint(coloured, Colour::yellow, "no: it is still comparing its catalog with Podman's containers");
    }
    if (!unready) return paint(coloured, Colour::green, "yes");
    const std::string hint = unready->hint().empty() ? usual_hint(unready->code()) : unready->hint();
    return paint(coloured, Colour::red, "no: " + printable(unready->what())) +
           (hint.empty() ? "" : " (next: " + printable(hint) + ")");
}

}  // namespace

std::optional<std::int64_t> status_number(const Json& status, const char* group, const char* name)
{
    JsonObject object{status};
    const Json* const members = object.child(group);
    if (members == nullptr) return std::nullopt;
    return JsonObject{*members, group}.optional_integer(name);
}

std::vector<std::vector<std::string>> pool_rows(const std::vector<PoolStatus>& pools)
{
    std::vector<std::vector<std::string>> rows{
        {"TEMPLATE", "IDLE", "LEASED", "FILLING", "DRAINING", "WAITING", "MIN IDLE", "MAX", "HELD BACK"}};
    for (const PoolStatus& pool : pools) {
        rows.push_back({pool.template_name.value(), std::to_string(pool.idle), std::to_string(pool.leased),
                        std::to_string(pool.filling), std::to_string(pool.draining), std::to_string(pool.waiting),
                        std::to_string(pool.policy.min_idle), std::to_string(pool.policy.max_size), pool.held_back});
    }
    return rows;
}

std::vector<std::string> status_lines(const Json& status, const std::optional<Error>& unready, bool coloured)
{
    JsonObject object{status};
    std::vector<std::vector<std::string>> rows{{"warmd", object.text("version")}};
    if (const auto started = object.optional_text("started_at")) {
        rows.push_back({"up", describe_age(parse_time(*started))});
    }
    rows.push_back({"ready", ""});
    const std::size_t ready_line = rows.size() - 1;
    if (const std::string words = priming_words(object); !words.empty()) rows.push_back({"priming", words});
    rows.push_back({"templates", std::to_string(object.optional_integer("templates").value_or(0))});
    rows.push_back({"instances", std::to_string(status_number(status, "instances", "live").value_or(0)) + " live"});
    if (const auto leases = status_number(status, "leases", "active")) {
        rows.push_back({"leases", std::to_string(*leases) + " active"});
    }
    rows.push_back(
        {"operations", std::to_string(status_number(status, "operations", "active").value_or(0)) + " active"});
    rows.push_back(
        {"checkpoints", std::to_string(status_number(status, "checkpoints", "available").value_or(0)) + " available"});
    rows.push_back({"store", store_words(status)});
    std::vector<std::string> lines = table_lines(rows, coloured);
    // Painted words have other lengths than those that are seen, so they come in after the columns are made.
    constexpr std::size_t kValueColumn = std::string_view{"checkpoints"}.size() + 2;
    lines[ready_line] = "ready";
    lines[ready_line].append(kValueColumn - lines[ready_line].size(), ' ');
    lines[ready_line] += readiness(status, unready, coloured);
    if (const Json* const list = object.child("pools"); list != nullptr && !list->empty()) {
        std::vector<PoolStatus> pools;
        for (const Json& item : *list) pools.push_back(contract::decode_pool(item));
        lines.emplace_back();
        for (std::string& line : table_lines(pool_rows(pools), coloured)) lines.push_back(std::move(line));
    }
    return lines;
}

std::string event_line(const Json& event)
{
    constexpr std::size_t kTimeBegin = 11;  // of "2026-01-31T12:00:00.123Z", what a day has only once
    constexpr std::size_t kTimeLength = 12;
    JsonObject object{event};
    const std::string at = object.optional_text("at").value_or("");
    std::string line = at.size() > kTimeBegin + kTimeLength ? at.substr(kTimeBegin, kTimeLength) : at;
    const auto add = [&line](const std::string& word) {
        if (!word.empty()) line += (line.empty() ? "" : "  ") + printable(word);
    };
    add(object.text("subject"));
    add(object.optional_text("template").value_or(""));
    add(object.text("state"));
    add(object.optional_text("reason").value_or(""));
    return line;
}

}  // namespace warmd::client
