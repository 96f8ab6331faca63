#include "daemon/config/access_config.h"

#include <arpa/inet.h>
#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "daemon/base/id.h"
#include "daemon/base/sha256.h"
#include "daemon/base/text.h"

namespace warmd {

namespace {

template <typename Number>
std::optional<Number> number_from(std::string_view text)
{
    Number number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return number;
}

// Neither function is thread-safe: the configuration is read before there are threads.

std::optional<uid_t> user_id(const std::string& name)
{
    if (const auto number = number_from<uid_t>(name)) return number;
    const struct passwd* const user = ::getpwnam(name.c_str());
    return user == nullptr ? std::nullopt : std::optional<uid_t>{user->pw_uid};
}

std::optional<gid_t> group_id(const std::string& name)
{
    if (const auto number = number_from<gid_t>(name)) return number;
    const struct group* const group = ::getgrnam(name.c_str());
    return group == nullptr ? std::nullopt : std::optional<gid_t>{group->gr_gid};
}

bool is_port(std::string_view text)
{
    const auto port = number_from<unsigned>(text);
    return port && *port >= 1 && *port <= 65535;
}

/// "127.0.0.1" or "[::1]", as it stands in an address with a port.
bool is_loopback(const std::string& host)
{
    in_addr v4{};
    in6_addr v6{};
    if (::inet_pton(AF_INET, host.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24U == 127;
    if (!host.starts_with('[') || !host.ends_with(']')) return false;
    return ::inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/// A name or an IPv4 address, or an IPv6 address in brackets.
bool is_host(std::string_view text)
{
    const bool bracketed = text.size() > 2 && text.starts_with('[') && text.ends_with(']');
    if (bracketed) text = text.substr(1, text.size() - 2);
    const std::string_view allowed = bracketed ? "0123456789abcdef:." : "abcdefghijklmnopqrstuvwxyz0123456789-._";
    return !text.empty() && text.find_first_not_of(allowed) == std::string_view::npos;
}

bool is_origin(std::string_view text)
{
    for (const std::string_view scheme : {"http://", "https://"}) {
        if (!text.starts_with(scheme)) continue;
        const std::string_view authority = text.substr(scheme.size());
        const std::size_t colon = authority.ends_with(']') ? std::string_view::npos : authority.rfind(':');
        if (colon == std::string_view::npos) return is_host(authority);
        return is_host(authority.substr(0, colon)) && is_port(authority.substr(colon + 1));
    }
    return false;
}

Callers read_callers(TomlTable& table, Role role)
{
    const std::string key{to_string(role)};
    std::vector<std::string> names;
    table.read(key, names);
    Callers callers;
    for (const std::string& name : names) {
        const bool is_group = name.starts_with('@');
        bool known = false;
        if (is_group) {
            if (const auto id = group_id(name.substr(1))) {
                known = true;
                callers.groups.push_back(*id);
            }
        } else if (const auto id = user_id(name)) {
            known = true;
            callers.users.push_back(*id);
        }
        if (!known) {
            table.report(key, std::string{"names the "} + (is_group ? "group" : "user") + " \"" +
                                  printable(is_group ? name.substr(1) : name, 80) +
                                  "\", which this machine does not have");
        }
    }
    return callers;
}

}  // namespace

void read_tokens(TomlTable& root, Config& config)
{
    auto table = root.table("tokens");
    if (!table) return;
    std::set<std::string> sums;
    for (const std::string& name : table->keys()) {
        auto entry = table->table(name);
        if (!entry) continue;
        if (!is_valid_name(name)) table->report(name, "must be a name: [a-z0-9][a-z0-9._-]{0,62}");
        Token token{.name = name, .role = Role::none, .sha256 = {}};
        std::string role;
        entry->read("role", role);
        token.role = role_from_string(role).value_or(Role::none);
        if (token.role == Role::none) entry->report("role", "must be \"read\", \"exec\" or \"admin\"");
        entry->read("sha256", token.sha256);
        token.sha256 = lower_case(token.sha256);
        if (token.sha256.size() != 64 || token.sha256.find_first_not_of("0123456789abcdef") != std::string::npos) {
            entry->report("sha256", "must be 64 hexadecimal digits: printf %s \"$token\" | sha256sum");
        } else if (token.sha256 == sha256_hex("") || token.sha256 == sha256_hex("\n")) {
            entry->report("sha256", "is that of no token at all");
        } else if (!sums.insert(token.sha256).second) {
            entry->report("sha256", "is another token's, too");
        }
        entry->finish();
        config.access.tokens.push_back(std::move(token));
    }
}

void read_tcp(TomlTable& api, Config& config)
{
    api.read("tcp", config.tcp);
    if (!config.tcp.empty()) {
        const std::size_t colon = std::min(config.tcp.rfind(':'), config.tcp.size());
        const std::string host = config.tcp.substr(0, colon);
        if (!is_loopback(host) || colon == config.tcp.size() || !is_port(config.tcp.substr(colon + 1))) {
            api.report("tcp", "must be a loopback address with a port, such as \"127.0.0.1:8642\" or \"[::1]:8642\"");
        }
        if (config.access.tokens.empty()) api.report("tcp", "needs a token that callers show: [tokens.NAME]");
        config.access.hosts.push_back(host);
    }
    std::vector<std::string> hosts;
    api.read("hosts", hosts);
    for (const std::string& host : hosts) {
        config.access.hosts.push_back(lower_case(host));
        if (!is_host(config.access.hosts.back())) {
            api.report("hosts", "must be names or addresses without a port; \"" + printable(host, 80) + "\" is not");
        }
    }
    std::vector<std::string> origins;
    api.read("origins", origins);
    for (const std::string& origin : origins) {
        config.access.origins.push_back(lower_case(origin));
        if (!is_origin(config.access.origins.back())) {
            api.report("origins", "must be like \"https://dash.example\", a scheme and a host without a path; \"" +
                                      printable(origin, 80) + "\" is not");
        }
    }
}

void read_access(TomlTable& root, Config& config)
{
    std::optional<gid_t> socket_group;
    if (!config.socket_group.empty()) socket_group = group_id(config.socket_group);
    auto& callers = config.access.callers;
    bool admin_given = false;
    if (auto table = root.table("access")) {
        const auto keys = table->keys();
        admin_given = std::find(keys.begin(), keys.end(), "admin") != keys.end();
        for (const Role role : {Role::read, Role::exec, Role::admin}) callers[role] = read_callers(*table, role);
        table->finish();
    }
    // Who gives the socket's group less does not mean that it keeps everything.
    const bool restricted = socket_group && std::any_of(callers.begin(), callers.end(), [&](const auto& entry) {
                                const auto& groups = entry.second.groups;
                                return std::find(groups.begin(), groups.end(), *socket_group) != groups.end();
                            });
    if (!admin_given && socket_group && !restricted) callers[Role::admin].groups.push_back(*socket_group);
    for (const auto& [role, named] : callers) {
        const auto is_root = [](uid_t user) { return user == 0; };
        const auto is_own = [&socket_group](gid_t group) { return group == socket_group; };
        if (!std::all_of(named.users.begin(), named.users.end(), is_root) ||
            !std::all_of(named.groups.begin(), named.groups.end(), is_own)) {
            config.socket_for_everybody = true;
        }
    }
}

}  // namespace warmd
