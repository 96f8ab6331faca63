#pragma once

#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace warmd {

/// One repository of an OCI registry. Everything blocks until the registry has answered, or `stop` is requested
/// (Error{cancelled}). Throws Error{unavailable} when it cannot be reached, Error{forbidden} when it wants other
/// credentials. Thread-safe.
class Registry {
public:
    virtual ~Registry() = default;

    /// "registry.example.org/warmd", for people.
    [[nodiscard]] virtual std::string name() const = 0;

    /// All tags; empty when there is no such repository yet.
    virtual std::vector<std::string> tags(const std::stop_token& stop) = 0;

    /// The manifest that the tag stands for now, as it is; nothing when there is none.
    virtual std::optional<std::string> manifest(const std::string& tag, const std::stop_token& stop) = 0;

    /// Copies what the OCI layout knows as `reference` to the tag. Blobs that the repository has are not sent, and need
    /// not be in the layout; those that are in neither are an Error{not_found}. The tag is moved last, at once.
    virtual void push(const std::filesystem::path& layout, const std::string& reference, const std::string& tag,
                      const std::stop_token& stop) = 0;

    /// Copies the artifact with this digest into the OCI layout, as `reference`. Blobs that are there are not fetched;
    /// each of the others appears as a whole, in any order, while this blocks.
    virtual void pull(const std::string& digest, const std::filesystem::path& layout, const std::string& reference,
                      const std::stop_token& stop) = 0;
};

}  // namespace warmd
