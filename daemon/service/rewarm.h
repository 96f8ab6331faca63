#pragma once

#include <functional>
#include <map>
#include <string>

#include "daemon/base/clock.h"
#include "daemon/base/guarded.h"
#include "daemon/catalog/catalog.h"
#include "daemon/model/template.h"
#include "daemon/service/checkpoint.h"
#include "daemon/service/operations.h"

namespace warmd {

/// Makes a new checkpoint of a template whose checkpoints no longer fit this host: by an ordinary operation, one at a
/// time for each template, and less and less often while that fails. Thread-safe.
class Rewarm {
public:
    using Submit = std::function<Operation(Operation draft, Operations::Work work)>;

    /// `made`: told of each new checkpoint.
    Rewarm(const Catalog& catalog, Clock& clock, Checkpoints& checkpoints, Submit submit, std::function<void()> made)
        : catalog_{catalog},
          clock_{clock},
          checkpoints_{checkpoints},
          submit_{std::move(submit)},
          made_{std::move(made)}
    {
    }

    /// Begins, unless the template does not allow it, a checkpoint of it is being made by whomever, or the last attempt
    /// was a short while ago. `from` must outlive the operation.
    void begin(const Template& from);

    /// What is being done about it, for people.
    [[nodiscard]] std::string describe(const Template& from) const;

private:
    struct Attempts {
        bool under_way = false;
        int failures = 0;  // in a row
        std::string last_failure;
        SteadyTime next_at;  // not before
    };
    class Attempt;

    bool take(const TemplateName& name);
    void ended(const TemplateName& name, const std::string& failure);

    const Catalog& catalog_;
    Clock& clock_;
    Checkpoints& checkpoints_;
    const Submit submit_;
    const std::function<void()> made_;
    Guarded<std::map<TemplateName, Attempts>> attempts_;
};

}  // namespace warmd
