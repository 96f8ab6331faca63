#pragma once

#include <memory>
#include <string>
#include <string_view>

// Ed25519 (RFC 8032) by OpenSSL. Keys are PEM, as `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout`
// write them.

namespace warmd {

/// What tells a public key from others: SHA-256 of its DER (SubjectPublicKeyInfo), 64 hexadecimal digits.
using KeyId = std::string;

class VerifyingKey {
public:
    /// Throws Error{invalid_argument} for anything but the PEM of an Ed25519 public key.
    static VerifyingKey from_pem(std::string_view pem);

    /// Whether `signature` (64 bytes) is this key's for `message`.
    [[nodiscard]] bool verifies(std::string_view message, std::string_view signature) const;
    [[nodiscard]] const KeyId& id() const { return id_; }

private:
    struct Key;
    VerifyingKey(std::shared_ptr<const Key> key, KeyId id);
    std::shared_ptr<const Key> key_;
    KeyId id_;
};

class SigningKey {
public:
    /// Throws Error{invalid_argument} for anything but the PEM of an Ed25519 private key without a pass phrase.
    static SigningKey from_pem(std::string_view pem);

    /// 64 bytes.
    [[nodiscard]] std::string sign(std::string_view message) const;
    /// Of the public key that belongs to it.
    [[nodiscard]] const KeyId& id() const { return id_; }

private:
    struct Key;
    SigningKey(std::shared_ptr<const Key> key, KeyId id);
    std::shared_ptr<const Key> key_;
    KeyId id_;
};

}  // namespace warmd
