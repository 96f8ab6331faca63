#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "daemon/base/clock.h"
#include "daemon/catalog/catalog.h"
#include "daemon/model/checkpoint.h"
#include "daemon/model/template.h"
#include "daemon/ports/registry.h"
#include "daemon/registry/chunk_index.h"
#include "daemon/registry/oci_layout.h"
#include "daemon/service/host_view.h"
#include "daemon/service/operations.h"
#include "daemon/service/transfer.h"
#include "daemon/store/tarball_store.h"

namespace warmd {

/// Shares checkpoints with other hosts through a registry. A checkpoint is an artifact: its signed manifest, the index
/// of its tarball's chunks, and packs of chunks, those of earlier checkpoints of the template among them. It has two
/// tags: its id; and one of its template, the template's digest and the kind of host (`class_of`) that it was made on,
/// which the newest one has. Thread-safe.
class Distribution {
public:
    /// `registry`: null when this host shares nothing. `directory`: for the indexes of what was shared last, and the
    /// packs of what was pulled last: a cache.
    Distribution(Catalog& catalog, TarballStore& store, Clock& clock, HostView& host, Transfer& transfer,
                 Registry* registry, std::filesystem::path directory)
        : catalog_{catalog},
          store_{store},
          clock_{clock},
          host_{host},
          transfer_{transfer},
          registry_{registry},
          directory_{std::move(directory)}
    {
    }

    /// Throws Error{conflict} when this host shares nothing.
    void require_registry() const;

    /// Sends an available checkpoint. Throws Error{conflict} without a key to sign with, what the registry throws, and
    /// Error{corrupt} when the tarball is not what was stored.
    void push(const CheckpointId& id, OperationRun& run);

    /// Fetches the newest checkpoint of the template as it is here that fits this host. Throws Error: `not_found` when
    /// the registry has none; `untrusted`, `invalid_archive`, `no_space` as an import; what the registry throws. What
    /// breaks off leaves nothing but the failed row, and packs that the next attempt need not fetch.
    Checkpoint pull(const Template& from, OperationRun& run);

    /// As `pull`, before the template is warmed here. Where another host says that it is warming it for hosts like this
    /// one, waits for that, as long as warming may take. Nothing when this host is the one to warm it, which the others
    /// are then told; hosts that begin in the same moment may all do it, and the newest checkpoint counts.
    std::optional<Checkpoint> obtain(const Template& from, OperationRun& run);

private:
    struct Offer {
        std::string digest;  // of the artifact
        Artifact artifact;
        Checkpoint checkpoint;  // what its annotations say: nobody has signed them
    };

    std::optional<Offer> best_offer(const Template& from, const std::stop_token& stop);
    Checkpoint fetch(const Offer& offer, const Template& from, OperationRun& run);
    Artifact pack(const Checkpoint& checkpoint, OciLayout& layout, const ChunkIndex& base, OperationRun& run);
    void send(const Checkpoint& checkpoint, const ChunkIndex& base, OperationRun& run);
    bool claim(const Template& from, OperationRun& run);
    static void keep_packs(const OciLayout& layout, const Artifact& artifact);
    [[nodiscard]] std::filesystem::path index_path(const TemplateName& name) const;
    [[nodiscard]] ChunkIndex known_index(const TemplateName& name) const;
    void remember_index(const TemplateName& name, const std::string& blob) const noexcept;

    Catalog& catalog_;
    TarballStore& store_;
    Clock& clock_;
    HostView& host_;
    Transfer& transfer_;
    Registry* const registry_;
    const std::filesystem::path directory_;
    const std::string self_ = random_hex(16);  // what tells this warmd's claims from others'
};

/// Which hosts are alike for this: their processors, CRIU and runtime. 16 hexadecimal digits.
std::string class_of(const Environment& environment);

/// "octave.0123456789abcdef": what the tags of the template as it is begin with.
std::string tag_prefix(const TemplateName& name, const std::string& digest);

}  // namespace warmd
