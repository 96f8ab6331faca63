#pragma once

#include <filesystem>
#include <string>

namespace warmd {

/// Where this host shares checkpoints.
struct RegistryOptions {
    std::string repository;           // "registry.example.org/warmd"; empty: nowhere
    std::filesystem::path auth_file;  // as `skopeo login` writes it; empty: nobody in particular
    std::filesystem::path
        certificate_directory;  // *.crt of authorities, client.cert and client.key; empty: the system's
    bool plain_http = false;    // where the registry has no TLS
};

}  // namespace warmd
