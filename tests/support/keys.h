#pragma once

// Keys of tests, and of nothing else: `openssl genpkey -algorithm ed25519`, `openssl pkey -pubout`.

namespace warmd::test {

inline constexpr const char* kPrivateKey = "-----BEGIN PRIVATE KEY-----\n"
                                           "MC4CAQAwBQYDK2VwBCIEINN8mhocEUn+7vBarE4zQfJZ0rwFbMqi1uzmGV5hoaaq\n"
                                           "-----END PRIVATE KEY-----\n";
inline constexpr const char* kPublicKey = "-----BEGIN PUBLIC KEY-----\n"
                                          "MCowBQYDK2VwAyEA4na98lWAwq8PfVx293kiSd+b18QtWIqxJ/QbhW0oqCM=\n"
                                          "-----END PUBLIC KEY-----\n";
/// Of kPublicKey: openssl pkey -pubin -outform DER | sha256sum
inline constexpr const char* kKeyId = "9faa7155fb7c916d2b7fc4b78bddc24e60a6a24c6d12bf071a684d8c9ff5589c";
inline constexpr const char* kOtherPrivateKey = "-----BEGIN PRIVATE KEY-----\n"
                                                "MC4CAQAwBQYDK2VwBCIEIPZBLpt/sGD0ZX3V8kun2eg9sapIf5y0NqS0mn3Rfd4e\n"
                                                "-----END PRIVATE KEY-----\n";
inline constexpr const char* kOtherPublicKey = "-----BEGIN PUBLIC KEY-----\n"
                                               "MCowBQYDK2VwAyEAGcBN+YpjyqYgUHftpwUVKKOfIolgLGMpwKVfCjid1d0=\n"
                                               "-----END PUBLIC KEY-----\n";
/// X25519: for agreements, not for signatures.
inline constexpr const char* kUnfitKey = "-----BEGIN PRIVATE KEY-----\n"
                                         "MC4CAQAwBQYDK2VuBCIEIHjPCBgw4JpNinf0+eC/i9Dmy3OYdhSXPVDcWiXJ6Q5f\n"
                                         "-----END PRIVATE KEY-----\n";

}  // namespace warmd::test
