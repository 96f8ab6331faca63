#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "client/commands/commands.h"
#include "daemon/base/file_io.h"
#include "daemon/base/sha256.h"
#include "daemon/base/text.h"
#include "daemon/base/unique_fd.h"

namespace warmd::client {

namespace {

namespace fs = std::filesystem;

/// A new file for its owner alone, removed again unless it is finished.
class NewFile {
public:
    explicit NewFile(fs::path path)
        : path_{std::move(path)}, file_{::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)}
    {
        if (!file_.valid()) throw system_error("create " + path_.string(), errno, ErrorCode::invalid_argument);
    }
    ~NewFile()
    {
        if (!path_.empty()) ::unlink(path_.c_str());
    }
    NewFile(const NewFile&) = delete;
    NewFile& operator=(const NewFile&) = delete;

    void write(std::string_view bytes) { write_all(file_, bytes, "write " + path_.string()); }
    void sync() const
    {
        if (::fsync(file_.get()) != 0) throw system_error("sync " + path_.string(), errno);
    }
    void keep() noexcept { path_.clear(); }

private:
    fs::path path_;
    UniqueFd file_;
};

/// The tarball's SHA-256 as the envelope's manifest has it. Whoever imports it checks the signature.
std::string promised_sum(const std::string& envelope)
{
    const Json json = parse_json(envelope);
    const Json manifest = parse_json(base64_decode(JsonObject{json}.text("payload")));
    return JsonObject{manifest}.text("sha256");
}

void export_checkpoint(const Context& context, const std::string& id, const std::string& directory)
{
    const ApiClient api = context.api();
    const std::string path = "/v1/checkpoints/" + percent_encode(id);
    // First: without a key there is nothing to carry anywhere.
    const std::string envelope = api.get_text(path + "/manifest");
    const fs::path tarball_path = fs::path{directory} / (id + ".tar");
    const fs::path manifest_path = fs::path{directory} / (id + ".manifest.json");
    NewFile tarball{tarball_path};
    NewFile manifest{manifest_path};
    Sha256 sum;
    api.download(path + "/archive", [&](std::string_view bytes) {
        sum.update(bytes);
        tarball.write(bytes);
    });
    if (sum.hex_digest() != promised_sum(envelope)) {
        throw Error{ErrorCode::corrupt, "the tarball of " + id + " is not the one that its manifest is of"}.with_hint(
            "it is damaged: make another checkpoint");
    }
    manifest.write(envelope);
    tarball.sync();
    manifest.sync();
    tarball.keep();
    manifest.keep();
    if (context.output.json) {
        context.output.print_json({{"tarball", tarball_path.string()}, {"manifest", manifest_path.string()}});
        return;
    }
    context.output.print_line(tarball_path.string());
    context.output.print_line(manifest_path.string());
}

void import_checkpoint(const Context& context, std::string name, bool wait)
{
    constexpr std::string_view kSuffix = ".tar";
    if (name.ends_with(kSuffix)) name.resize(name.size() - kSuffix.size());
    if (name.find('/') != std::string::npos) {
        throw Error{ErrorCode::invalid_argument, "FILE must be a name without a directory"}.with_hint(
            "the daemon looks for it in import_directory under [trust] of its warmd.toml, and nowhere else");
    }
    start_operation(
        context, "POST", "/v1/checkpoints/import", wait,
        [](const Operation& operation) { return operation.checkpoint.value(); }, Json{{"name", name}});
}

/// The checkpoint's id is what is printed.
void share(const Context& context, const std::string& path, bool wait)
{
    start_operation(context, "POST", path, wait,
                    [](const Operation& operation) { return operation.checkpoint.value(); });
}

}  // namespace

void add_transfer_commands(CLI::App& command, Context& context)
{
    CLI::App* const out = command.add_subcommand("export", "Write a checkpoint and its signed manifest to a directory");
    out->footer("Writes ID.tar and ID.manifest.json, which another host imports if it trusts this one's key.\n"
                "The tarball holds the memory of processes: it is as secret as they are.\n"
                "Example: warmctl checkpoint export ckpt-... /mnt/usb");
    const auto id = std::make_shared<std::string>();
    const auto directory = std::make_shared<std::string>();
    out->add_option("CHECKPOINT", *id, "Its id")->required();
    out->add_option("DIRECTORY", *directory, "Where the two files are written")->required();
    out->callback([&context, id, directory] { export_checkpoint(context, *id, *directory); });

    CLI::App* const in = command.add_subcommand("import", "Take a checkpoint in that another host has exported");
    in->footer("Its two files lie in the directory that warmd.toml names as import_directory under [trust].\n"
               "Prints the checkpoint's id.\n"
               "Example: warmctl checkpoint import ckpt-....tar");
    const auto name = std::make_shared<std::string>();
    in->add_option("FILE", *name, "The tarball's name there")->required();
    const auto no_wait = add_no_wait(*in);
    in->callback([&context, name, no_wait] { import_checkpoint(context, *name, !*no_wait); });

    CLI::App* const push = command.add_subcommand("push", "Send a checkpoint to the registry");
    push->footer("To the repository under [registry] in warmd.toml, signed with the key under [trust].\n"
                 "Example: warmctl checkpoint push ckpt-...");
    const auto pushed = std::make_shared<std::string>();
    push->add_option("CHECKPOINT", *pushed, "Its id")->required();
    const auto push_no_wait = add_no_wait(*push);
    push->callback([&context, pushed, push_no_wait] {
        share(context, "/v1/checkpoints/" + percent_encode(*pushed) + "/push", !*push_no_wait);
    });

    CLI::App* const pull = command.add_subcommand("pull", "Take the newest checkpoint that fits from the registry");
    pull->footer(
        "Of the template as it is here, and signed by a key that this host trusts. Prints the checkpoint's id.\n"
        "Example: warmctl checkpoint pull octave");
    const auto pulled = std::make_shared<std::string>();
    pull->add_option("TEMPLATE", *pulled, "Its name")->required();
    const auto pull_no_wait = add_no_wait(*pull);
    pull->callback([&context, pulled, pull_no_wait] {
        share(context, "/v1/templates/" + percent_encode(*pulled) + "/pull", !*pull_no_wait);
    });
}

}  // namespace warmd::client
