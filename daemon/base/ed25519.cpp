#include "daemon/base/ed25519.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cstddef>
#include <utility>

#include "daemon/base/error.h"
#include "daemon/base/sha256.h"

namespace warmd {

namespace {

using PKey = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Context = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;

constexpr std::size_t kSignatureBytes = 64;

const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

template <typename Read>
PKey read_pem(std::string_view pem, Read read, const char* kind)
{
    const std::unique_ptr<BIO, decltype(&BIO_free)> in{BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())),
                                                       &BIO_free};
    // A pass phrase is never asked for: there is no terminal.
    const auto nobody = [](char*, int, int, void*) { return -1; };
    PKey key{in ? read(in.get(), nullptr, nobody, nullptr) : nullptr, &EVP_PKEY_free};
    if (!key || EVP_PKEY_get_id(key.get()) != EVP_PKEY_ED25519) {
        throw Error{ErrorCode::invalid_argument, std::string{"it is not the PEM of an Ed25519 "} + kind + " key"};
    }
    return key;
}

KeyId id_of(EVP_PKEY* key)
{
    unsigned char* der = nullptr;
    const int size = i2d_PUBKEY(key, &der);
    if (size <= 0) throw Error{ErrorCode::internal, "a public key cannot be written as DER"};
    KeyId id = sha256_hex({reinterpret_cast<const char*>(der), static_cast<std::size_t>(size)});
    OPENSSL_free(der);
    return id;
}

}  // namespace

struct VerifyingKey::Key {
    PKey pkey;
};

struct SigningKey::Key {
    PKey pkey;
};

VerifyingKey::VerifyingKey(std::shared_ptr<const Key> key, KeyId id) : key_{std::move(key)}, id_{std::move(id)} {}

VerifyingKey VerifyingKey::from_pem(std::string_view pem)
{
    PKey key = read_pem(pem, &PEM_read_bio_PUBKEY, "public");
    KeyId id = id_of(key.get());
    return VerifyingKey{std::make_shared<const Key>(Key{std::move(key)}), std::move(id)};
}

bool VerifyingKey::verifies(std::string_view message, std::string_view signature) const
{
    if (signature.size() != kSignatureBytes) return false;
    const Context context{EVP_MD_CTX_new(), &EVP_MD_CTX_free};
    if (!context || EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key_->pkey.get()) != 1) {
        throw Error{ErrorCode::internal, "OpenSSL cannot verify with Ed25519"};
    }
    return EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(), bytes_of(message), message.size()) ==
           1;
}

SigningKey::SigningKey(std::shared_ptr<const Key> key, KeyId id) : key_{std::move(key)}, id_{std::move(id)} {}

SigningKey SigningKey::from_pem(std::string_view pem)
{
    PKey key = read_pem(pem, &PEM_read_bio_PrivateKey, "private");
    KeyId id = id_of(key.get());
    return SigningKey{std::make_shared<const Key>(Key{std::move(key)}), std::move(id)};
}

std::string SigningKey::sign(std::string_view message) const
{
    std::string signature(kSignatureBytes, '\0');
    std::size_t size = signature.size();
    const Context context{EVP_MD_CTX_new(), &EVP_MD_CTX_free};
    if (!context || EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key_->pkey.get()) != 1 ||
        EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, bytes_of(message),
                       message.size()) != 1 ||
        size != kSignatureBytes) {
        throw Error{ErrorCode::internal, "OpenSSL cannot sign with Ed25519"};
    }
    return signature;
}

}  // namespace warmd
