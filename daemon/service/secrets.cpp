#include "daemon/service/secrets.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>

#include "daemon/base/error.h"
#include "daemon/base/unique_fd.h"

namespace warmd {

namespace {

constexpr std::size_t kLongest = 64 * 1024;

Error missing(const std::string& variable, const std::string& why)
{
    return Error{ErrorCode::not_ready, "the secret " + variable + " cannot be read: " + why}
        .with_field("secrets." + variable)
        .with_hint("docs/templates.md, \"Secrets\", tells where a secret may be kept");
}

std::string read_file(const std::string& variable, const std::string& path)
{
    const UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    if (!file.valid()) throw missing(variable, system_error("open " + path, errno).what());
    std::string value;
    std::array<char, 4096> buffer{};
    ssize_t count = 0;
    while ((count = ::read(file.get(), buffer.data(), buffer.size())) > 0 && value.size() <= kLongest) {
        value.append(buffer.data(), static_cast<std::size_t>(count));
    }
    if (count < 0) throw missing(variable, system_error("read " + path, errno).what());
    if (value.size() > kLongest) throw missing(variable, path + " is longer than 64 KiB");
    // Editors and echo end a file with a line feed that is no part of the secret.
    if (!value.empty() && value.back() == '\n') value.pop_back();
    if (value.find('\0') != std::string::npos) throw missing(variable, path + " holds a NUL");
    return value;
}

std::string read_environment(const std::string& variable, const std::string& name)
{
    const char* const value = std::getenv(name.c_str());
    if (value == nullptr) throw missing(variable, "warmd's environment has no " + name);
    return value;
}

std::string read_secret(const std::string& variable, const Secret& secret)
{
    switch (secret.source) {
    case Secret::Source::file: return read_file(variable, secret.name);
    case Secret::Source::environment: return read_environment(variable, secret.name);
    case Secret::Source::credential: break;
    }
    const char* const directory = std::getenv("CREDENTIALS_DIRECTORY");
    if (directory == nullptr) {
        throw missing(variable,
                      "systemd has given warmd no credentials: the unit has no LoadCredential=" + secret.name);
    }
    return read_file(variable, std::string{directory} + "/" + secret.name);
}

}  // namespace

std::map<std::string, std::string> read_secrets(const Template& from, SecretUse use)
{
    std::map<std::string, std::string> values;
    for (const auto& [variable, secret] : from.secrets) {
        if (use == SecretUse::warm ? secret.to_warm : secret.to_exec) values[variable] = read_secret(variable, secret);
    }
    return values;
}

}  // namespace warmd
