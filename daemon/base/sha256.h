#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace warmd {

/// SHA-256 of bytes that arrive in pieces.
class Sha256 {
public:
    Sha256();
    ~Sha256();
    Sha256(const Sha256&) = delete;
    Sha256& operator=(const Sha256&) = delete;

    void update(std::string_view bytes);
    /// 64 hexadecimal digits. Ends the computation: call once.
    std::string hex_digest();

private:
    struct Context;
    std::unique_ptr<Context> context_;
};

/// SHA-256 of `bytes` as 64 hexadecimal digits.
std::string sha256_hex(std::string_view bytes);

/// Takes as long for strings that differ in their first byte as for equal ones. Of unequal sizes: false, at once.
bool equal_in_constant_time(std::string_view left, std::string_view right);

}  // namespace warmd
