#include "daemon/service/transfer.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <memory>
#include <utility>
#include <vector>

#include "daemon/base/error.h"
#include "daemon/base/file_io.h"
#include "daemon/base/sha256.h"
#include "daemon/base/text.h"
#include "daemon/service/restore.h"
#include "daemon/store/archive_validator.h"
#include "daemon/store/container_documents.h"
#include "daemon/store/envelope.h"
#include "daemon/store/manifest.h"

namespace warmd {

namespace {

constexpr std::size_t kMaxName = 128;

bool is_name(const std::string& name)
{
    return !name.empty() && name.size() <= kMaxName && name.front() != '.' && name.front() != '-' &&
           std::all_of(name.begin(), name.end(), [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                      c == '_' || c == '-';
           });
}

/// That only root, or we ourselves, can change what the descriptor refers to.
void require_safe(const UniqueFd& file, const std::string& path, bool directory)
{
    struct stat status {};
    if (::fstat(file.get(), &status) != 0) throw system_error("look at " + path, errno);
    if (directory ? !S_ISDIR(status.st_mode) : !S_ISREG(status.st_mode)) {
        throw Error{ErrorCode::forbidden, path + " is not a " + (directory ? "directory" : "file")};
    }
    if ((status.st_uid == 0 || status.st_uid == ::geteuid()) && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0) return;
    throw Error{ErrorCode::forbidden, path + " could be changed by others than root"}.with_hint("chown root " + path +
                                                                                                "; chmod go-w " + path);
}

UniqueFd open_in(const UniqueFd& directory, const std::string& path, const std::string& name)
{
    open_how how{};
    how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
    UniqueFd file{static_cast<int>(::syscall(SYS_openat2, directory.get(), name.c_str(), &how, sizeof how))};
    if (!file.valid()) {
        const ErrorCode code = errno == ENOENT                     ? ErrorCode::not_found
                               : errno == ELOOP || errno == EACCES ? ErrorCode::forbidden
                                                                   : ErrorCode::internal;
        throw system_error("open " + path + "/" + name, errno, code)
            .with_hint("a checkpoint comes as two files, NAME.tar and NAME.manifest.json, neither of them a link");
    }
    require_safe(file, path + "/" + name, false);
    return file;
}

/// Up to `size` bytes, fewer at the end of the file.
std::size_t read_import(const UniqueFd& file, char* buffer, std::size_t size)
{
    return read_some(file, {buffer, size}, "read what is imported");
}

std::string read_all(const UniqueFd& file, std::size_t limit)
{
    std::string text(limit + 1, '\0');
    std::size_t size = 0;
    while (const std::size_t count = read_import(file, text.data() + size, text.size() - size)) size += count;
    text.resize(size);
    return text;
}

Checkpoint read_manifest(const OpenedManifest& opened)
{
    try {
        Checkpoint checkpoint = decode_manifest(opened.manifest);
        checkpoint.environment["signed_by"] = opened.signer;
        return checkpoint;
    } catch (const Error& error) {
        throw Error{ErrorCode::invalid_argument, std::string{"the manifest cannot be read: "} + error.what()}
            .with_cause(error.cause())
            .with_hint("it may be a newer warmd's");
    }
}

}  // namespace

Outgoing Transfer::open(const CheckpointId& id) const
{
    Checkpoint checkpoint = catalog_.get(id);
    Restore::require_available(checkpoint);
    UniqueFd tarball = store_.open(id, checkpoint.size_bytes);
    return {.checkpoint = std::move(checkpoint), .tarball = std::move(tarball)};
}

std::string Transfer::signed_manifest(const CheckpointId& id) const
{
    const Checkpoint checkpoint = catalog_.get(id);
    Restore::require_available(checkpoint);
    if (trust_.key) return seal_manifest(encode_manifest(checkpoint), *trust_.key);
    throw Error{ErrorCode::conflict, "this host has no key to sign with"}.with_hint(
        "openssl genpkey -algorithm ed25519 -out FILE makes one: name it as key under [trust] in warmd.toml");
}

Incoming Transfer::receive(const std::string& name) const
{
    if (trust_.import_directory.empty()) {
        throw Error{ErrorCode::untrusted, "this host imports no checkpoints"}.with_hint(
            "name import_directory and keys under [trust] in warmd.toml");
    }
    if (!is_name(name)) {
        throw Error{ErrorCode::invalid_argument, "name must be of letters, digits, dots, dashes and underscores"}
            .with_field("name")
            .with_hint("it names two files in the directory for imports: NAME.tar and NAME.manifest.json");
    }
    const std::string path = trust_.import_directory.string();
    const UniqueFd directory{::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!directory.valid()) {
        throw system_error("open " + path, errno, errno == ENOENT ? ErrorCode::not_found : ErrorCode::internal)
            .with_hint("it is import_directory under [trust] in warmd.toml");
    }
    require_safe(directory, path, true);
    const UniqueFd manifest = open_in(directory, path, name + ".manifest.json");
    Checkpoint checkpoint = admit(read_all(manifest, kMaxEnvelope));
    const auto tarball = std::make_shared<const UniqueFd>(open_in(directory, path, name + ".tar"));
    return {.checkpoint = std::move(checkpoint),
            .read = [tarball](char* buffer, std::size_t size) { return read_import(*tarball, buffer, size); }};
}

Checkpoint Transfer::admit(std::string_view envelope) const
{
    Checkpoint checkpoint = read_manifest(open_manifest(envelope, trust_.keys));
    const auto here = catalog_.find(checkpoint.id);
    if (here && is_being_made(here->state)) {
        throw Error{ErrorCode::conflict, "checkpoint " + checkpoint.id.value() + " is being made or imported"};
    }
    if (here && here->state != CheckpointState::failed && here->sha256 == checkpoint.sha256) {
        throw Error{ErrorCode::conflict, "checkpoint " + checkpoint.id.value() + " is here already"};
    }
    if (here && here->state != CheckpointState::failed) checkpoint.id = CheckpointId{new_id(kCheckpointPrefix)};
    return checkpoint;
}

Checkpoint Transfer::take_in(const Incoming& incoming, OperationRun& run)
{
    Checkpoint checkpoint = incoming.checkpoint;
    checkpoint.state = CheckpointState::pending;
    checkpoint.sha256.clear();
    checkpoint.size_bytes = 0;
    checkpoint.available_at.reset();
    const auto room = retention_.reserve(checkpoint.template_name, incoming.checkpoint.size_bytes);
    run.set_checkpoint(checkpoint.id);  // first: what has no operation is taken for failed
    catalog_.save(checkpoint);
    try {
        copy(incoming, checkpoint, *room, run);
    } catch (const std::exception& error) {
        set_failed(checkpoint, error.what());
        catalog_.save(checkpoint);
        throw;
    }
    retention_.enforce();
    return checkpoint;
}

void Transfer::copy(const Incoming& incoming, Checkpoint& checkpoint, SpaceLedger::Reservation& room, OperationRun& run)
{
    const Checkpoint& promised = incoming.checkpoint;
    StagedTarball staged = store_.stage(checkpoint.id, &room);
    checkpoint.state = CheckpointState::dumping;
    catalog_.save(checkpoint);
    run.phase("copy", [&] {
        ArchiveValidator validator{ArchiveOrigin::foreign, {.bytes = promised.size_bytes}};
        Sha256 sum;
        std::uint64_t size = 0;
        std::vector<char> buffer(std::size_t{256} * 1024);
        while (const std::size_t count = incoming.read(buffer.data(), buffer.size())) {
            run.check();
            const std::string_view bytes{buffer.data(), count};
            size += count;
            sum.update(bytes);
            validator.write(bytes);
            staged.write(bytes);
        }
        validator.finish();
        if (const std::string found = sum.hex_digest(); size != promised.size_bytes || found != promised.sha256) {
            throw Error{ErrorCode::invalid_archive, "the tarball is not the one that the manifest is of"}
                .with_cause("it has " + std::to_string(size) + " bytes and the SHA-256 " + found + ", not " +
                            std::to_string(promised.size_bytes) + " and " + promised.sha256)
                .with_hint("it was changed on its way: export the checkpoint again");
        }
        require_no_more_than(templates_.get_or_defaults(checkpoint.template_name), checkpoint.image_id,
                             {.config_dump = validator.config_dump(), .spec_dump = validator.spec_dump()});
    });
    checkpoint.available_at = clock_.now();
    run.phase("publish", [&] { staged.publish(checkpoint); });
    checkpoint.state = CheckpointState::available;
    try {
        catalog_.save(checkpoint);
    } catch (...) {
        store_.remove(checkpoint.id);
        throw;
    }
}

}  // namespace warmd
