#include "api/http/conditional.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/base/error.h"
#include "daemon/base/sha256.h"
#include "daemon/base/text.h"

namespace warmd::http {

namespace {

constexpr std::size_t kEtagDigits = 32;

struct EntityTag {
    bool weak = false;
    std::string_view value;  // with its quotes
};

/// What If-Match and If-None-Match hold.
struct EntityTags {
    bool any = false;  // *
    std::vector<EntityTag> tags;
};

bool is_etag_character(char c)
{
    const auto byte = static_cast<unsigned char>(c);
    return byte == 0x21 || (byte >= 0x23 && byte != 0x7f);
}

std::string_view trimmed(std::string_view text)
{
    const std::size_t first = text.find_first_not_of(" \t");
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// Takes one tag off the front of `rest`. False when there is none.
bool take_tag(std::string_view& rest, EntityTag& tag)
{
    std::string_view text = rest;
    tag.weak = text.starts_with("W/");
    if (tag.weak) text.remove_prefix(2);
    if (!text.starts_with('"')) return false;
    std::size_t end = 1;
    while (end < text.size() && is_etag_character(text[end])) ++end;
    if (end == text.size() || text[end] != '"') return false;
    tag.value = text.substr(0, end + 1);
    rest = trimmed(text.substr(end + 1));
    return true;
}

EntityTags parse(const char* name, std::string_view text)
{
    EntityTags result;
    std::string_view rest = trimmed(text);
    result.any = rest == "*";
    bool good = !rest.empty();
    while (good && !result.any && !rest.empty()) {
        if (rest.front() == ',') {  // also empty elements (RFC 9110, 5.6.1)
            rest = trimmed(rest.substr(1));
            continue;
        }
        EntityTag tag;
        good = take_tag(rest, tag) && (rest.empty() || rest.front() == ',');
        if (good) result.tags.push_back(tag);
    }
    if (good && (result.any || !result.tags.empty())) return result;
    throw Error{ErrorCode::invalid_argument, std::string{name} + " is not a list of entity tags"}
        .with_field(name)
        .with_hint("send the ETag of an answer as it was, in its quotes, several with commas between, or *");
}

/// `strongly`: a weak tag is like no other.
bool contains(const EntityTags& list, const std::string& etag, bool strongly)
{
    return list.any || std::any_of(list.tags.begin(), list.tags.end(),
                                   [&](const EntityTag& tag) { return tag.value == etag && !(strongly && tag.weak); });
}

std::string etag_of(const Response& response) { return '"' + sha256_hex(response.body).substr(0, kEtagDigits) + '"'; }

bool reads(const Request& request) { return request.method == "GET" || request.method == "HEAD"; }

}  // namespace

Response with_etag(const Request& request, Response response)
{
    if (!reads(request) || response.status != 200 || response.stream || response.content_type != "application/json") {
        return response;
    }
    const std::string etag = etag_of(response);
    response.headers["ETag"] = etag;
    response.headers["Cache-Control"] = "no-cache";  // keep it, and ask each time whether it still holds
    const auto known = request.headers.find("if-none-match");
    if (known == request.headers.end() || !contains(parse("If-None-Match", known->second), etag, false)) {
        return response;
    }
    response.status = 304;
    response.body.clear();
    response.content_type.clear();
    return response;
}

bool is_conditional_change(const Request& request)
{
    return !reads(request) && (request.headers.contains("if-match") || request.headers.contains("if-none-match"));
}

void check_preconditions(const Request& request, const Response& representation, const std::string& path)
{
    const std::string etag = etag_of(representation);
    const auto wanted = request.headers.find("if-match");
    const auto unwanted = request.headers.find("if-none-match");
    const bool holds = (wanted == request.headers.end() || contains(parse("If-Match", wanted->second), etag, true)) &&
                       (unwanted == request.headers.end() ||
                        !contains(parse("If-None-Match", unwanted->second), etag, false));
    if (holds) return;
    throw Error{ErrorCode::precondition, printable(path, 200) + " is not as the request says it should be"}
        .with_field(wanted == request.headers.end() ? "If-None-Match" : "If-Match")
        .with_hint("GET " + printable(path, 200) +
                   " again, look whether the change is still wanted, and send its ETag");
}

}  // namespace warmd::http
