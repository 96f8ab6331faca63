#pragma once

#include <map>
#include <utility>

#include "daemon/base/error.h"
#include "daemon/model/template.h"

namespace warmd {

/// The templates of this run of the daemon. Immutable, hence thread-safe.
class Templates {
public:
    explicit Templates(std::map<TemplateName, Template> all) : all_{std::move(all)} {}

    [[nodiscard]] const std::map<TemplateName, Template>& all() const { return all_; }

    /// Throws Error{not_found}.
    [[nodiscard]] const Template& get(const TemplateName& name) const
    {
        const auto found = all_.find(name);
        if (found != all_.end()) return found->second;
        throw Error{ErrorCode::not_found, "no template \"" + name.value() + "\""}.with_hint(
            "GET /v1/templates lists them; they are files in /etc/warmd/templates.d, read when warmd starts");
    }

    /// For an instance or checkpoint that may have outlived its template: the defaults then.
    [[nodiscard]] Template get_or_defaults(const TemplateName& name) const
    {
        const auto found = all_.find(name);
        return found != all_.end() ? found->second : Template{};
    }

private:
    std::map<TemplateName, Template> all_;
};

}  // namespace warmd
