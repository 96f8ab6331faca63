#include "client/bench_report.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "daemon/base/text.h"

namespace warmd::client {

namespace {

std::string number(double value)
{
    std::array<char, 40> text{};
    std::snprintf(text.data(), text.size(), "%.1f", value);
    return text.data();
}

/// One cell: no line breaks, and no bar that would end it.
std::string cell(const std::string& text)
{
    std::string safe;
    for (const char c : printable(text, 200)) {
        if (c == '|') safe += '\\';
        safe += c;
    }
    return safe;
}

}  // namespace

double percentile(std::vector<double> samples, double percent)
{
    std::sort(samples.begin(), samples.end());
    const double last = static_cast<double>(samples.size() - 1);
    return samples.at(static_cast<std::size_t>(std::lround(last * percent / 100.0)));
}

void BenchReport::add(const std::string& name, Duration elapsed)
{
    row(name).samples.push_back(std::chrono::duration<double, std::milli>(elapsed).count());
}

void BenchReport::add_phases(const std::string& name, const Phases& phases)
{
    for (const Phase& phase : phases) add(name + ": " + phase.name, phase.elapsed);
}

void BenchReport::skip(const std::string& name, const std::string& reason) { row(name).problem = reason; }

BenchRow& BenchReport::row(const std::string& name)
{
    const auto known = std::find_if(rows_.begin(), rows_.end(),
                                    [&name](const BenchRow& row) { return row.name == name; });
    if (known != rows_.end()) return *known;
    rows_.push_back({.name = name, .samples = {}, .problem = {}});
    return rows_.back();
}

std::string BenchReport::markdown() const
{
    std::string text = "| what | p50 ms | p95 ms | min ms | samples |\n|---|---|---|---|---|\n";
    for (const BenchRow& row : rows_) {
        text += "| " + cell(row.name);
        if (!row.problem.empty()) {
            text += (row.samples.empty() ? " (not measured: " : " (not each time: ") + cell(row.problem) + ")";
        }
        for (const double percent : {50.0, 95.0, 0.0}) {
            text += " | " + (row.samples.empty() ? std::string{"-"} : number(percentile(row.samples, percent)));
        }
        text += " | " + std::to_string(row.samples.size()) + " |\n";
    }
    return text;
}

Json BenchReport::json() const
{
    Json rows = Json::array();
    for (const BenchRow& row : rows_) {
        const auto at = [&row](double percent) {
            return row.samples.empty() ? Json(nullptr) : Json(percentile(row.samples, percent));
        };
        rows.push_back({{"name", row.name},
                        {"samples_ms", row.samples},
                        {"p50_ms", at(50.0)},
                        {"p95_ms", at(95.0)},
                        {"min_ms", at(0.0)},
                        {"problem", row.problem.empty() ? Json(nullptr) : Json(row.problem)}});
    }
    return rows;
}

}  // namespace warmd::client
