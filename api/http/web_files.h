#pragma once

#include <span>
#include <string_view>

namespace warmd::http {

/// A file of the dashboard (api/web), built into the program.
struct WebFile {
    std::string_view name;  // without a folder
    std::string_view content_type;
    std::string_view etag;  // of its bytes, with its quotes
    std::string_view bytes;
};

/// All of them. They live as long as the program.
std::span<const WebFile> web_files();

}  // namespace warmd::http
