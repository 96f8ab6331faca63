#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/base/tar_header.h"

namespace warmd::test {

/// Writes tar archives that no library would write.
class RawTar {
public:
    struct Member {
        std::string name;
        std::string content{};
        char type = '0';
        std::string link{};
        /// Changes the header before its checksum is computed.
        std::function<void(std::string& block)> twist{};
    };

    RawTar& add(const Member& member)
    {
        std::string block(tar::kBlock, '\0');
        put(block, tar::kName, member.name);
        octal(block, tar::kMode, member.type == '5' ? 0700 : 0600);
        octal(block, tar::kUid, 0);
        octal(block, tar::kGid, 0);
        octal(block, tar::kSize, member.content.size());
        octal(block, tar::kMtime, 1'700'000'000);
        block[tar::kType] = member.type;
        put(block, tar::kLink, member.link);
        put(block, tar::kMagic,
            std::string_view{"ustar\0"
                             "00",
                             8});
        if (member.twist) member.twist(block);
        seal(block);
        bytes_ += block + member.content + std::string(tar::padding(member.content.size()), '\0');
        return *this;
    }
    RawTar& add(std::string name, std::string content)
    {
        return add(Member{.name = std::move(name), .content = std::move(content)});
    }
    /// A pax header with these records ("path=x"), for the member that follows.
    RawTar& pax(const std::vector<std::string>& records)
    {
        std::string content;
        for (const std::string& record : records) {
            std::size_t length = record.size() + 3;
            while (std::to_string(length).size() + record.size() + 2 != length) ++length;
            content += std::to_string(length) + " " + record + "\n";
        }
        return add(Member{.name = "PaxHeaders/x", .content = content, .type = 'x'});
    }
    RawTar& directory(std::string name) { return add(Member{.name = std::move(name), .type = '5'}); }
    RawTar& link(std::string name, std::string target)
    {
        return add(Member{.name = std::move(name), .type = '2', .link = std::move(target)});
    }

    /// With an end mark.
    [[nodiscard]] std::string end() const { return bytes_ + std::string(2 * tar::kBlock, '\0'); }
    [[nodiscard]] const std::string& bytes() const { return bytes_; }

    static void put(std::string& block, tar::Field at, std::string_view value)
    {
        block.replace(at.offset, value.substr(0, at.length).size(), value.substr(0, at.length));
    }
    static void octal(std::string& block, tar::Field at, std::uint64_t value)
    {
        char digits[32];
        std::snprintf(digits, sizeof digits, "%0*llo", static_cast<int>(at.length - 1),
                      static_cast<unsigned long long>(value));
        put(block, at, digits);
    }
    static void seal(std::string& block)
    {
        octal(block, {tar::kChecksum.offset, 7}, tar::checksum(block));
        block[tar::kChecksum.offset + 6] = '\0';
        block[tar::kChecksum.offset + 7] = ' ';
    }

private:
    std::string bytes_;
};

}  // namespace warmd::test
