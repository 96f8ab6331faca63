#pragma once

#include <functional>
#include <map>
#include <string>

#include "daemon/base/clock.h"
#include "daemon/base/guarded.h"
#include "daemon/catalog/catalog.h"
#include "daemon/model/template.h"
#include "daemon/service/checkpoint.h"
#include "daemon/service/distribution.h"
#include "daemon/service/operations.h"

namespace warmd {

/// Makes a new checkpoint of a template whose checkpoints no longer fit this host: by an ordinary operation, one at a
/// time for each template, and less and less often while that fails. Where the template says so, one that another host
/// has made is taken first. Thread-safe.
class Rewarm {
public:
    using Submit = std::function<Operation(Operation draft, Operations::Work work)>;

    struct Hooks {
        std::function<void(const Checkpoint&)> made;  // told of each new checkpoint that was made here
        std::function<void()> there;                  // and that there is another one, made here or not
    };

    Rewarm(const Catalog& catalog, Clock& clock, Checkpoints& checkpoints, Distribution& distribution, Submit submit,
           Hooks hooks)
        : catalog_{catalog},
          clock_{clock},
          checkpoints_{checkpoints},
          distribution_{distribution},
          submit_{std::move(submit)},
          hooks_{std::move(hooks)}
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

    void make(const Template& from, OperationRun& run);
    bool take(const TemplateName& name);
    void ended(const TemplateName& name, const std::string& failure);

    const Catalog& catalog_;
    Clock& clock_;
    Checkpoints& checkpoints_;
    Distribution& distribution_;
    const Submit submit_;
    const Hooks hooks_;
    Guarded<std::map<TemplateName, Attempts>> attempts_;
};

}  // namespace warmd
