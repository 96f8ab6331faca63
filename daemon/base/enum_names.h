#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>

namespace warmd {

/// The names of an enumeration's values, one table for both directions.
template <typename Enum, std::size_t Count>
struct EnumNames {
    std::array<std::pair<Enum, std::string_view>, Count> entries;

    [[nodiscard]] constexpr std::string_view name(Enum value) const
    {
        for (const auto& [entry, text] : entries) {
            if (entry == value) return text;
        }
        return "unknown";
    }

    [[nodiscard]] constexpr std::optional<Enum> value(std::string_view text) const
    {
        for (const auto& [entry, name] : entries) {
            if (name == text) return entry;
        }
        return std::nullopt;
    }
};

}  // namespace warmd
