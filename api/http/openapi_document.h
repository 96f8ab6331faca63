#pragma once

#include <string_view>

namespace warmd::http {

/// api/openapi.yaml as JSON, in a source that the build makes (api/embed_openapi).
extern const std::string_view kOpenApiDocument;

}  // namespace warmd::http
