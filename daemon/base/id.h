#pragma once

#include <compare>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>

namespace warmd {

/// A string that names one kind of thing, so that no id is passed where another kind belongs.
template <typename Tag>
class Id {
public:
    Id() = default;
    explicit Id(std::string value) : value_{std::move(value)} {}

    [[nodiscard]] const std::string& value() const noexcept { return value_; }
    [[nodiscard]] bool empty() const noexcept { return value_.empty(); }
    auto operator<=>(const Id&) const = default;

    friend std::ostream& operator<<(std::ostream& out, const Id& id) { return out << id.value_; }

private:
    std::string value_;
};

using TemplateName = Id<struct TemplateNameTag>;
using CheckpointId = Id<struct CheckpointIdTag>;
using InstanceId = Id<struct InstanceIdTag>;
using OperationId = Id<struct OperationIdTag>;
/// Podman's id of a container: 64 hexadecimal digits.
using ContainerId = Id<struct ContainerIdTag>;
using LeaseId = Id<struct LeaseIdTag>;
/// One running command; known only while it runs.
using ExecId = Id<struct ExecIdTag>;

constexpr std::string_view kInstancePrefix = "inst-";
constexpr std::string_view kCheckpointPrefix = "ckpt-";
constexpr std::string_view kOperationPrefix = "op-";
constexpr std::string_view kLeasePrefix = "lease-";
constexpr std::string_view kExecPrefix = "exec-";

/// `prefix` and sixteen characters of which the first nine grow with time, so that ids sort by age. Unique
/// by 35 random bits within a millisecond. Thread-safe.
std::string new_id(std::string_view prefix);

/// `digits` random hexadecimal digits from the kernel.
std::string random_hex(int digits);

/// True for what the API accepts as a name or an id: [a-z0-9][a-z0-9._-]{0,62}.
bool is_valid_name(std::string_view text);

}  // namespace warmd
