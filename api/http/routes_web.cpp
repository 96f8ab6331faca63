#include <algorithm>

#include "api/http/routes.h"
#include "api/http/web_files.h"
#include "daemon/base/error.h"
#include "daemon/base/text.h"

namespace warmd::http {

namespace {

// Scripts, styles and requests of this origin alone, and nothing inline: what a name or a reason may smuggle into the
// page cannot run. uPlot sets styles through the object model, which the policy does not cover.
constexpr const char* kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

bool holds(const std::string& if_none_match, std::string_view etag)
{
    return if_none_match == "*" || if_none_match.find(etag) != std::string::npos;
}

Response answer(const Request& request, std::string_view name)
{
    request.allow_query({});
    const auto files = web_files();
    const auto file = std::find_if(files.begin(), files.end(), [&](const WebFile& each) { return each.name == name; });
    if (file == files.end()) {
        throw Error{ErrorCode::not_found, "the dashboard has no file " + printable(name, 80)}.with_hint(
            "it begins at /");
    }
    Response response;
    response.content_type = file->content_type;
    response.headers = {{"Cache-Control", "no-cache"},  // kept, but asked for again: a new version shows at once
                        {"ETag", std::string{file->etag}},
                        {"Content-Security-Policy", kPolicy},
                        {"X-Frame-Options", "DENY"},
                        {"Referrer-Policy", "no-referrer"},
                        {"Cross-Origin-Opener-Policy", "same-origin"},
                        {"Cross-Origin-Resource-Policy", "same-origin"}};
    if (holds(request.header("if-none-match"), file->etag)) {
        response.status = 304;
        response.content_type.clear();
    } else {
        response.body = file->bytes;
    }
    return response;
}

}  // namespace

void add_web_routes(Router& router)
{
    router.get("/", [](const Request& request) { return answer(request, "index.html"); }, {.role = Role::none});
    router.get("/web/{file}", [](const Request& request) { return answer(request, request.params.at("file")); },
               {.role = Role::none});
}

}  // namespace warmd::http
