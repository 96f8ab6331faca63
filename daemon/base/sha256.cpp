#include "daemon/base/sha256.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <array>

#include "daemon/base/error.h"

namespace warmd {

struct Sha256::Context {
    std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> md{EVP_MD_CTX_new(), &EVP_MD_CTX_free};
};

namespace {

void require(int result)
{
    if (result != 1) throw Error{ErrorCode::internal, "libcrypto cannot compute SHA-256"};
}

}  // namespace

Sha256::Sha256() : context_{std::make_unique<Context>()}
{
    require(EVP_DigestInit_ex(context_->md.get(), EVP_sha256(), nullptr));
}

Sha256::~Sha256() = default;

void Sha256::update(std::string_view bytes)
{
    require(EVP_DigestUpdate(context_->md.get(), bytes.data(), bytes.size()));
}

std::string Sha256::hex_digest()
{
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned size = 0;
    require(EVP_DigestFinal_ex(context_->md.get(), digest.data(), &size));
    std::string text;
    for (unsigned i = 0; i < size; ++i) {
        text += "0123456789abcdef"[digest[i] >> 4U];
        text += "0123456789abcdef"[digest[i] & 15U];
    }
    return text;
}

std::string sha256_hex(std::string_view bytes)
{
    Sha256 hash;
    hash.update(bytes);
    return hash.hex_digest();
}

bool equal_in_constant_time(std::string_view left, std::string_view right)
{
    return left.size() == right.size() && CRYPTO_memcmp(left.data(), right.data(), left.size()) == 0;
}

}  // namespace warmd
