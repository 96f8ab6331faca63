#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace warmd {

/// What a caller may do; each includes those before it.
enum class Role {
    none,   // nobody in particular: even without a token
    read,   // look at everything
    exec,   // lease instances and run commands in them
    admin,  // warm, checkpoint, restore, delete
};

std::string_view to_string(Role role);
std::optional<Role> role_from_string(std::string_view text);

/// Local users, by what the kernel knows of them.
struct Callers {
    std::vector<uid_t> users;
    std::vector<gid_t> groups;
};

/// What callers of the TCP listener show. The token itself is nowhere in warmd.
struct Token {
    std::string name;
    Role role = Role::none;
    std::string sha256;  // 64 lower-case hexadecimal digits
};

/// Who may do what. Root may do everything on the Unix socket, and nobody else anything unless it is said here.
struct AccessOptions {
    std::map<Role, Callers> callers;   // of the Unix socket
    std::vector<Token> tokens;         // of TCP
    std::vector<std::string> hosts;    // more that the header Host may name on TCP, lower case, without a port
    std::vector<std::string> origins;  // whose pages may read: "https://dash.example", lower case
};

}  // namespace warmd
