#include "daemon/store/archive_validator.h"

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <optional>
#include <unordered_set>
#include <utility>
#include <vector>

#include "daemon/base/error.h"
#include "daemon/base/json.h"
#include "daemon/base/text.h"
#include "daemon/store/tar_scanner.h"

namespace warmd {

namespace {

constexpr std::size_t kMaxPath = 4096;
constexpr std::size_t kMaxComponent = 255;
constexpr std::size_t kShownName = 200;

using Names = std::unordered_set<std::string>;

[[noreturn]] void refuse(std::string_view where, const std::string& problem)
{
    throw Error{ErrorCode::invalid_archive, std::string{where} + ": " + problem};
}

std::string shown(std::string_view name) { return printable(name, kShownName); }

/// What is wrong with a path below the root of an archive; nothing when it stays there, however it is read.
std::optional<std::string> fault_of(std::string_view path)
{
    if (path.empty() || path.size() > kMaxPath) return "is empty or too long";
    if (path.front() == '/') return "is absolute";
    if (path.find('\0') != std::string_view::npos) return "has a NUL in it";
    while (!path.empty()) {
        const std::string_view component = path.substr(0, path.find('/'));
        if (component == "..") return "has .. in it";
        if (component.empty() || component == ".") return "has an empty component or . in it";
        if (component.size() > kMaxComponent) return "has a component that is too long";
        path.remove_prefix(std::min(path.size(), component.size() + 1));
    }
    return std::nullopt;
}

/// The nearest directory above `path` that is one of `links`.
std::optional<std::string> link_above(std::string_view path, const Names& links)
{
    if (links.empty()) return std::nullopt;
    for (std::size_t slash = path.find('/'); slash != std::string_view::npos; slash = path.find('/', slash + 1)) {
        std::string above{path.substr(0, slash)};
        if (links.contains(above)) return above;
    }
    return std::nullopt;
}

/// Podman's archives begin names with "./" or with nothing, and end those of directories with a slash.
std::string plain_name(const TarEntry& entry)
{
    std::string_view name{entry.name};
    if (entry.type == TarType::directory && name.ends_with('/')) name.remove_suffix(1);
    if (name.starts_with("./")) name.remove_prefix(2);
    return std::string{name};
}

/// An archive in the tarball whose members will be unpacked over a directory of the new container.
class NestedArchive {
public:
    NestedArchive(std::string name, const ArchiveLimits& limits)
        : name_{std::move(name)}, limits_{limits}, scanner_{name_, {.begin = [this](const TarEntry& entry) {
                                                                take(entry);
                                                            }}}
    {
    }
    NestedArchive(const NestedArchive&) = delete;
    NestedArchive& operator=(const NestedArchive&) = delete;

    void write(std::string_view bytes) { scanner_.write(bytes); }
    void finish() const { scanner_.finish(); }
    /// The symbolic links that it brings along.
    [[nodiscard]] const Names& links() const { return links_; }
    /// The directories that its members lie in, and those above.
    [[nodiscard]] const Names& directories() const { return directories_; }

private:
    void take(const TarEntry& entry)
    {
        if (++members_ > limits_.nested_members) refuse(name_, "it has too many members");
        const std::string name = plain_name(entry);
        if (entry.type == TarType::directory && (name == "." || name.empty())) return;  // the root itself
        if (const auto fault = fault_of(name)) refuse(name_, "the name " + shown(entry.name) + " " + *fault);
        if (const auto link = link_above(name, links_)) {
            refuse(name_, shown(name) + " leads through the symbolic link " + shown(*link));
        }
        // What has been a link stays one, though the archive itself puts something else there later.
        if (links_.contains(name) && entry.type != TarType::symbolic_link) {
            refuse(name_, shown(name) + " is a symbolic link first and something else later");
        }
        remember_directories(name);
        switch (entry.type) {
        case TarType::device: refuse(name_, shown(name) + " is a device");
        case TarType::hard_link: check_hard_link(name, entry.link); break;
        case TarType::symbolic_link: remember(links_, name); break;
        case TarType::file: remember(files_, name); break;
        case TarType::directory:
        case TarType::fifo: break;
        }
        if (entry.type == TarType::symbolic_link && files_.contains(name)) {
            refuse(name_, shown(name) + " is a file first and a symbolic link later");
        }
    }

    void check_hard_link(const std::string& name, const std::string& target)
    {
        std::string_view to{target};
        if (to.starts_with("./")) to.remove_prefix(2);
        if (const auto fault = fault_of(to)) {
            refuse(name_, "the target " + shown(target) + " of the hard link " + shown(name) + " " + *fault);
        }
        // Podman writes the first name of a file as a file, and the others as links to it.
        if (!files_.contains(std::string{to})) {
            refuse(name_, shown(name) + " is a hard link to " + shown(target) + ", which is no file of this archive");
        }
    }

    void remember_directories(const std::string& name)
    {
        for (std::size_t slash = name.rfind('/'); slash != std::string::npos && slash > 0;
             slash = name.rfind('/', slash - 1)) {
            const std::string above = name.substr(0, slash);
            if (directories_.contains(above)) return;
            remember(directories_, above);
        }
    }

    void remember(Names& names, const std::string& name)
    {
        if (!names.insert(name).second) return;
        name_bytes_ += name.size();
        if (name_bytes_ > limits_.name_bytes) refuse(name_, "its names are too many");
    }

    const std::string name_;
    const ArchiveLimits& limits_;
    TarScanner scanner_;
    std::uint64_t members_ = 0;
    std::uint64_t name_bytes_ = 0;
    Names links_;
    Names files_;
    Names directories_;
};

constexpr const char* kConfig = "config.dump";
constexpr const char* kSpec = "spec.dump";
constexpr const char* kDeleted = "deleted.files";
constexpr const char* kRootfsDiff = "rootfs-diff.tar";
constexpr const char* kInventory = "checkpoint/inventory.img";
constexpr std::array<std::string_view, 3> kDirectories{"artifacts", "checkpoint", "volumes"};
constexpr std::array<std::string_view, 3> kOpaque{"stats-dump", "ctr.log", "dump.log"};

/// A name that is one file in a directory, of harmless characters.
bool is_leaf(std::string_view name)
{
    return !name.empty() && name.size() <= kMaxComponent && name.front() != '.' && name.front() != '-' &&
           std::all_of(name.begin(), name.end(), [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                      c == '_' || c == '-';
           });
}

/// What follows `directory` and a slash in `name`; nothing when it is not there.
std::optional<std::string_view> leaf_in(std::string_view name, std::string_view directory)
{
    if (!name.starts_with(directory) || name.size() <= directory.size() || name[directory.size()] != '/') return {};
    return name.substr(directory.size() + 1);
}

Json parse_document(const std::string& name, const std::string& text)
{
    try {
        return parse_json(text);
    } catch (const Error& error) {
        throw Error{ErrorCode::invalid_archive, name + ": " + error.what()}.with_cause(printable(error.cause()));
    }
}

}  // namespace

class ArchiveValidator::State {
public:
    State(ArchiveOrigin origin, const ArchiveLimits& limits)
        : origin_{origin},
          limits_{limits},
          scanner_{"the tarball",
                   {.begin = [this](const TarEntry& entry) { begin(entry); },
                    .content = [this](std::string_view bytes) { content(bytes); },
                    .end = [this] { end(); }}}
    {
    }
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    void write(std::string_view bytes)
    {
        bytes_ += bytes.size();
        if (bytes_ > limits_.bytes) refuse("the tarball", "it is too large");
        scanner_.write(bytes);
    }

    void finish()
    {
        scanner_.finish();
        for (const char* const name : {kConfig, kSpec}) {
            if (!documents_.contains(name)) refuse("the tarball", std::string{"it has no "} + name);
            if (!parse_document(name, documents_.at(name)).is_object()) refuse(name, "it is no JSON object");
        }
        if (!members_.contains(kInventory)) refuse("the tarball", std::string{"it has no "} + kInventory);
        if (const auto list = documents_.find(kDeleted); list != documents_.end()) check_deleted(list->second);
        if (const auto status = documents_.find("network.status"); status != documents_.end()) {
            (void)parse_document(status->first, status->second);
        }
    }

    [[nodiscard]] const std::string& document(const char* name) const { return documents_.at(name); }

private:
    void begin(const TarEntry& entry)
    {
        const std::string name = plain_name(entry);
        if (members_.size() >= limits_.members) refuse("the tarball", "it has too many members");
        if (entry.type == TarType::directory && (name.empty() || name == ".")) return;
        if (const auto fault = fault_of(name)) refuse("the tarball", "the name " + shown(entry.name) + " " + *fault);
        if (entry.type == TarType::directory) {
            if (std::find(kDirectories.begin(), kDirectories.end(), name) == kDirectories.end()) unknown(name);
        } else if (entry.type != TarType::file) {
            refuse("the tarball", shown(name) + " is neither a file nor a directory");
        } else {
            begin_file(name, entry.size);
        }
        if (!members_.insert(name).second) refuse("the tarball", shown(name) + " comes twice");
    }

    void begin_file(const std::string& name, std::uint64_t size)
    {
        if (name == kConfig || name == kSpec || name == "network.status") return collect(name, size);
        if (name == kDeleted) return collect(name, size, limits_.deleted_bytes);
        if (name == kRootfsDiff || name == "devshm-checkpoint.tar") return open_nested(name);
        if (std::find(kOpaque.begin(), kOpaque.end(), name) != kOpaque.end()) return;
        if (const auto leaf = leaf_in(name, "checkpoint"); leaf && is_leaf(*leaf)) {
            const bool usual = leaf->ends_with(".img") || *leaf == "descriptors.json";
            if (usual || origin_ == ArchiveOrigin::own) return;
        }
        if (const auto leaf = leaf_in(name, "artifacts"); leaf && is_leaf(*leaf)) {
            if (size > limits_.document_bytes) refuse(name, "it is too large");
            return;
        }
        // Volumes are directories of the host's, made or overwritten by a restore.
        if (const auto leaf = leaf_in(name, "volumes"); leaf && is_leaf(*leaf) && leaf->ends_with(".tar")) {
            if (origin_ == ArchiveOrigin::own) return open_nested(name);
            refuse(name, "a checkpoint from elsewhere may not bring volumes");
        }
        unknown(name);
    }

    [[noreturn]] static void unknown(const std::string& name)
    {
        refuse("the tarball", shown(name) + " is no part of a checkpoint");
    }

    void collect(const std::string& name, std::uint64_t size) { collect(name, size, limits_.document_bytes); }
    void collect(const std::string& name, std::uint64_t size, std::uint64_t limit)
    {
        if (size > limit) refuse(name, "it is too large");
        collected_ = &documents_[name];
    }

    void open_nested(const std::string& name)
    {
        nested_.emplace(shown(name), limits_);
        nested_is_rootfs_ = name == kRootfsDiff;
    }

    void content(std::string_view bytes)
    {
        if (collected_ != nullptr) collected_->append(bytes);
        else if (nested_) nested_->write(bytes);
    }

    void end()
    {
        collected_ = nullptr;
        if (!nested_) return;
        nested_->finish();
        if (nested_is_rootfs_) {
            rootfs_links_ = nested_->links();
            rootfs_directories_ = nested_->directories();
        }
        nested_.reset();
    }

    void check_deleted(const std::string& text) const
    {
        const Json list = parse_document(kDeleted, text);
        if (!list.is_array()) refuse(kDeleted, "it is no JSON array");
        for (const Json& item : list) {
            if (!item.is_string()) refuse(kDeleted, "it names something other than a path");
            const auto& path = item.get_ref<const std::string&>();
            if (!path.starts_with('/')) refuse(kDeleted, shown(path) + " is not an absolute path");
            const std::string_view below = std::string_view{path}.substr(1);
            if (const auto fault = fault_of(below)) refuse(kDeleted, shown(path) + " " + *fault);
            // Podman deletes after it has unpacked rootfs-diff.tar.
            if (const auto link = link_above(below, rootfs_links_)) {
                refuse(kDeleted, shown(path) + " leads through the symbolic link " + shown(*link));
            }
            // What is unpacked there first goes to where the image has a link to, if it has one.
            if (rootfs_directories_.contains(std::string{below})) {
                refuse(kDeleted, shown(path) + " is deleted, and rootfs-diff.tar has something in it");
            }
        }
    }

    const ArchiveOrigin origin_;
    const ArchiveLimits limits_;
    TarScanner scanner_;
    std::uint64_t bytes_ = 0;
    Names members_;
    std::map<std::string, std::string> documents_;  // the content of those that are looked at as a whole
    std::string* collected_ = nullptr;              // the one that is passing by
    std::optional<NestedArchive> nested_;           // the archive that is passing by
    bool nested_is_rootfs_ = false;
    Names rootfs_links_;
    Names rootfs_directories_;
};

ArchiveValidator::ArchiveValidator(ArchiveOrigin origin, const ArchiveLimits& limits)
    : state_{std::make_unique<State>(origin, limits)}
{
}

ArchiveValidator::~ArchiveValidator() = default;

void ArchiveValidator::write(std::string_view bytes) { state_->write(bytes); }

void ArchiveValidator::finish() { state_->finish(); }

const std::string& ArchiveValidator::config_dump() const { return state_->document(kConfig); }

const std::string& ArchiveValidator::spec_dump() const { return state_->document(kSpec); }

}  // namespace warmd
