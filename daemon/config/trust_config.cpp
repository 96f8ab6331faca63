#include "daemon/config/trust_config.h"

#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <vector>

#include "daemon/base/error.h"
#include "daemon/base/unique_fd.h"

namespace warmd {

namespace {

constexpr std::size_t kMaxKey = 4096;  // bytes of PEM

/// Throws Error for what cannot be read, or could be changed by others than its owner and root.
std::string read_key_file(const std::string& path, bool secret)
{
    const UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    struct stat status {};
    if (!file.valid() || ::fstat(file.get(), &status) != 0) throw system_error(path, errno);
    if (!S_ISREG(status.st_mode)) throw Error{ErrorCode::invalid_argument, path + " is not a file"};
    const mode_t wrong = secret ? 077U : 022U;
    if ((status.st_uid != 0 && status.st_uid != ::geteuid()) || (status.st_mode & wrong) != 0) {
        throw Error{ErrorCode::invalid_argument,
                    path + (secret ? " must be root's, and nobody else may read it: chown root FILE; chmod 600 FILE"
                                   : " must be root's, and nobody else may write it: chown root FILE; chmod 644 FILE")};
    }
    std::array<char, kMaxKey> buffer{};
    const ssize_t count = ::read(file.get(), buffer.data(), buffer.size());
    if (count < 0) throw system_error(path, errno);
    return {buffer.data(), static_cast<std::size_t>(count)};
}

/// The files that a pattern stands for; the pattern itself when it is none.
std::vector<std::string> expand(const std::string& pattern)
{
    if (pattern.find_first_of("*?[") == std::string::npos) return {pattern};
    glob_t found{};
    std::vector<std::string> paths;
    if (::glob(pattern.c_str(), 0, nullptr, &found) == 0) {
        paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
    }
    ::globfree(&found);
    return paths;
}

}  // namespace

void read_trust(TomlTable& root, Config& config)
{
    auto trust = root.table("trust");
    if (!trust) return;
    std::optional<std::string> key;
    std::vector<std::string> patterns;
    std::optional<std::string> directory;
    trust->read_absolute("key", key);
    trust->read("keys", patterns);
    trust->read_absolute("import_directory", directory);
    trust->finish();
    if (directory) config.trust.import_directory = *directory;
    const auto take = [&trust](const char* name, const std::string& path, auto&& with) {
        try {
            with();
        } catch (const Error& error) {
            const std::string words = error.what();
            trust->report(name, words.find(path) == std::string::npos ? path + ": " + words : words);
        }
    };
    if (key) {
        take("key", *key, [&] { config.trust.key = SigningKey::from_pem(read_key_file(*key, true)); });
    }
    for (const std::string& pattern : patterns) {
        if (!pattern.starts_with('/')) trust->report("keys", "\"" + pattern + "\" is not an absolute path");
        else {
            for (const std::string& path : expand(pattern)) {
                take("keys", path,
                     [&] { config.trust.keys.push_back(VerifyingKey::from_pem(read_key_file(path, false))); });
            }
        }
    }
}

}  // namespace warmd
