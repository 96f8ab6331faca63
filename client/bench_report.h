#pragma once

#include <string>
#include <vector>

#include "daemon/base/clock.h"
#include "daemon/base/json.h"
#include "daemon/model/phase.h"

namespace warmd::client {

/// What was measured of one thing.
struct BenchRow {
    std::string name;
    std::vector<double> samples;  // milliseconds, as they came
    std::string problem;          // why there are none, or fewer than asked for; empty: there are all
};

/// The sample at `percent` of the sorted ones, the nearest. `samples` is not empty.
double percentile(std::vector<double> samples, double percent);

/// Rows in the order in which they were first named.
class BenchReport {
public:
    void add(const std::string& name, Duration elapsed);
    /// Each phase is a row of its own: "NAME: PHASE".
    void add_phases(const std::string& name, const Phases& phases);
    /// One time more it was not measured. The row stays, with the newest reason beside it.
    void skip(const std::string& name, const std::string& reason);

    [[nodiscard]] std::string markdown() const;
    [[nodiscard]] Json json() const;

private:
    BenchRow& row(const std::string& name);

    std::vector<BenchRow> rows_;
};

}  // namespace warmd::client
