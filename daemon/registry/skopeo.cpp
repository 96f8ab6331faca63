#include "daemon/registry/skopeo.h"

#include <algorithm>
#include <array>

#include "daemon/base/error.h"
#include "daemon/base/json.h"
#include "daemon/base/text.h"
#include "daemon/registry/oci_layout.h"

namespace warmd {

namespace {

bool says(const ProgramResult& result, const std::vector<std::string_view>& words)
{
    return std::any_of(words.begin(), words.end(),
                       [&result](std::string_view word) { return result.errors.find(word) != std::string::npos; });
}

/// Of the registry's answer: "manifest unknown", "repository name not known to registry" (NAME_UNKNOWN).
bool is_missing(const ProgramResult& result)
{
    return says(result,
                {"manifest unknown", "name unknown", "not known to registry", "NAME_UNKNOWN", "MANIFEST_UNKNOWN"});
}

/// Its last line: `time="..." level=fatal msg="..."`.
std::string last_words(const ProgramResult& result)
{
    std::string_view text{result.errors};
    while (text.ends_with('\n')) text.remove_suffix(1);
    if (const std::size_t line = text.rfind('\n'); line != std::string_view::npos) text.remove_prefix(line + 1);
    return printable(text);
}

[[noreturn]] void refuse(const std::string& what, const std::string& registry, const ProgramResult& result)
{
    const std::string failure = "cannot " + what + " " + registry;
    if (says(result, {"unauthorized", "authentication required", "denied", "forbidden"})) {
        throw Error{ErrorCode::forbidden, failure + ": it wants other credentials"}
            .with_cause(last_words(result))
            .with_hint("skopeo login --authfile FILE " + registry + ", and name FILE as auth_file under [registry]");
    }
    if (is_missing(result) || says(result, {"no such file or directory", "blob unknown"})) {
        throw Error{ErrorCode::not_found, failure + ": something is not there"}.with_cause(last_words(result));
    }
    if (says(result, {"did not match", "unexpected EOF"})) {
        throw Error{ErrorCode::invalid_archive, failure + ": something is not what it should be"}.with_cause(
            last_words(result));
    }
    if (says(result, {"no space left on device", "disk quota exceeded"})) {
        throw Error{ErrorCode::no_space, failure + ": the disk is full"}.with_cause(last_words(result));
    }
    const bool forbidden = says(result, {"address family not supported", "operation not permitted"});
    throw Error{ErrorCode::unavailable, failure}
        .with_cause(last_words(result))
        .with_hint(forbidden ? "the service may not reach the network: RestrictAddressFamilies=AF_INET AF_INET6 and "
                               "IPAddressAllow=, by systemctl edit warmd"
                             : "skopeo list-tags docker://" + registry + " tries it by hand");
}

}  // namespace

std::string Skopeo::remote(const std::string& suffix) const { return "docker://" + options_.repository + suffix; }

ProgramResult Skopeo::call(std::vector<std::string> words, const std::string& prefix,
                           const std::vector<std::string>& what, const std::stop_token& stop)
{
    // Signatures are warmd's own; skopeo's policy is one of images.
    std::vector<std::string> command{"skopeo", "--insecure-policy"};
    command.insert(command.end(), words.begin(), words.end());
    if (!options_.auth_file.empty()) command.push_back("--authfile=" + options_.auth_file.string());
    if (!options_.certificate_directory.empty()) {
        command.push_back("--" + prefix + "cert-dir=" + options_.certificate_directory.string());
    }
    if (options_.plain_http) command.push_back("--" + prefix + "tls-verify=false");
    command.insert(command.end(), what.begin(), what.end());
    try {
        return run_(command, kMaxArtifact, stop);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::not_found) throw;
        throw Error{ErrorCode::unavailable, "there is no program skopeo"}.with_hint("apt-get install skopeo");
    }
}

std::vector<std::string> Skopeo::tags(const std::stop_token& stop)
{
    const ProgramResult result = call({"list-tags"}, "", {remote("")}, stop);
    if (result.exit_status != 0) {
        if (is_missing(result)) return {};
        refuse("list what is in", name(), result);
    }
    const Json answer = parse_json(result.out);
    return JsonObject{answer}.texts("Tags");
}

std::optional<std::string> Skopeo::manifest(const std::string& tag, const std::stop_token& stop)
{
    const ProgramResult result = call({"inspect", "--raw"}, "", {remote(":" + tag)}, stop);
    if (result.exit_status == 0) return result.out;
    if (is_missing(result)) return std::nullopt;
    refuse("look at " + tag + " in", name(), result);
}

void Skopeo::push(const std::filesystem::path& layout, const std::string& reference, const std::string& tag,
                  const std::stop_token& stop)
{
    const ProgramResult result = call({"copy", "--quiet", "--preserve-digests"}, "dest-",
                                      {"oci:" + layout.string() + ":" + reference, remote(":" + tag)}, stop);
    if (result.exit_status != 0) refuse("push to", name(), result);
}

void Skopeo::pull(const std::string& digest, const std::filesystem::path& layout, const std::string& reference,
                  const std::stop_token& stop)
{
    const ProgramResult result = call({"copy", "--quiet", "--preserve-digests"}, "src-",
                                      {remote("@" + digest), "oci:" + layout.string() + ":" + reference}, stop);
    if (result.exit_status != 0) refuse("pull from", name(), result);
}

}  // namespace warmd
