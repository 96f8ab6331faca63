#pragma once

#include <string>

#include "daemon/base/json.h"

namespace warmd::test {

/// api/openapi.yaml, as a judge of what the daemon answers.
class OpenApi {
public:
    OpenApi();

    /// Empty if the document allows this answer to this request, otherwise what is wrong with it. Paths are
    /// without their query. Of a stream of JSON lines each line is judged.
    [[nodiscard]] std::string check(const std::string& method, const std::string& path, int status,
                                    const std::string& content_type, const std::string& body) const;

    /// The whole document.
    [[nodiscard]] const Json& document() const { return document_; }
    /// Empty if `document` is as `schema`, a part of this document, says. Formats of strings are not looked at.
    [[nodiscard]] std::string check_schema(const Json& schema, const Json& document) const;

private:
    [[nodiscard]] const Json* operation(const std::string& method, const std::string& path) const;
    [[nodiscard]] const Json& resolve(const Json& node) const;

    Json document_;
    Json without_formats_;
};

}  // namespace warmd::test
