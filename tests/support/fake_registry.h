#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "daemon/ports/registry.h"

namespace warmd::test {

/// A repository in memory, with what a real one does to a push: blobs that it has are not read. Thread-safe.
class FakeRegistry final : public Registry {
public:
    [[nodiscard]] std::string name() const override { return "registry.test/warmd"; }
    std::vector<std::string> tags(const std::stop_token& stop) override;
    std::optional<std::string> manifest(const std::string& tag, const std::stop_token& stop) override;
    void push(const std::filesystem::path& layout, const std::string& reference, const std::string& tag,
              const std::stop_token& stop) override;
    void pull(const std::string& digest, const std::filesystem::path& layout, const std::string& reference,
              const std::stop_token& stop) override;

    /// From now on nothing but Error{unavailable} comes; a pull ends so after that many blobs.
    void go_away(std::optional<int> after_blobs = 0);
    void come_back() { go_away(std::nullopt); }
    /// Changes one byte of the blob in the middle of the artifact that the tag stands for, keeping its name.
    void tamper(const std::string& tag, std::size_t layer);
    /// Forgets all blobs, and what refers to them stays.
    void lose_blobs();
    void untag(const std::string& tag);

    [[nodiscard]] std::uint64_t received_bytes() const;  // in pushes
    [[nodiscard]] std::uint64_t sent_bytes() const;      // in pulls

private:
    void require_here() const;

    mutable std::mutex mutex_;
    std::map<std::string, std::string> tags_;   // to digests
    std::map<std::string, std::string> blobs_;  // by digest, manifests among them
    std::optional<int> away_after_;
    std::uint64_t received_ = 0;
    std::uint64_t sent_ = 0;
};

}  // namespace warmd::test
