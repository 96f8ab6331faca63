#include "daemon/config/config.h"

#include <algorithm>
#include <optional>
#include <sstream>
#include <system_error>
#include <utility>

#include "daemon/base/error.h"
#include "daemon/base/sha256.h"
#include "daemon/base/text.h"
#include "daemon/config/access_config.h"
#include "daemon/config/registry_config.h"
#include "daemon/config/toml_table.h"
#include "daemon/config/trust_config.h"

namespace warmd {

namespace fs = std::filesystem;

namespace {

std::optional<toml::table> parse_file(const fs::path& path, std::vector<ConfigProblem>& problems)
{
    try {
        return toml::parse_file(path.string());
    } catch (const toml::parse_error& error) {
        problems.push_back({.where = path.string() + ":" + std::to_string(error.source().begin.line),
                            .message = std::string{error.description()}});
        return std::nullopt;
    }
}

constexpr int kMostKept = 100'000;

void read_policy(TomlTable& retention, RetentionPolicy& policy)
{
    retention.read("max_count", policy.max_count, 1, kMostKept);
    retention.read_bytes("max_total_bytes", policy.max_total_bytes);
    retention.read("ttl", policy.ttl);
}

void read_daemon(const toml::table& root, const std::string& file, std::vector<ConfigProblem>& problems, Config& config)
{
    TomlTable table{root, {}, file, problems};
    read_tokens(table, config);
    if (auto log = table.table("log")) {
        log->read("level", config.log_level);
        log->finish();
    }
    if (auto api = table.table("api")) {
        api->read("socket", config.socket);
        api->read("group", config.socket_group);
        api->read("threads", config.http_threads, 1, 256);
        api->read("streams", config.http_streams, 4, 4096);
        api->read("connections", config.http_connections, 16, 100'000);
        read_tcp(*api, config);
        api->finish();
    }
    read_access(table, config);
    read_trust(table, config);
    read_registry(table, config);
    if (auto store = table.table("store")) {
        store->read("directory", config.state_directory);
        store->read("history", config.history, 10, 1'000'000);
        store->finish();
    }
    if (auto integrity = table.table("integrity")) {
        std::string every = format_duration(config.verify_every);
        integrity->read("verify_every", every);
        try {
            config.verify_every = every == "off" ? Duration::zero() : parse_duration(every);
            if (every != "off" && config.verify_every < std::chrono::minutes{1}) {
                integrity->report("verify_every", "must be \"1m\" at least, or \"off\"");
            }
        } catch (const Error&) {
            integrity->report("verify_every", "must be a duration (\"7d\") or \"off\"");
        }
        integrity->finish();
    }
    if (auto podman = table.table("podman")) {
        podman->read("socket", config.podman_socket);
        podman->read("timeout", config.podman_timeout);
        podman->finish();
    }
    if (auto operations = table.table("operations")) {
        operations->read("workers", config.operation_workers, 1, 64);
        operations->read("queue", config.operation_queue, 1, 10'000);
        operations->finish();
    }
    if (auto pools = table.table("pools")) {
        pools->read("fills", config.pool_fills, 1, 64);
        pools->finish();
    }
    if (auto retention = table.table("retention")) {
        read_policy(*retention, config.retention);
        retention->read_bytes_or_none("min_free_bytes", config.min_free_bytes);
        retention->finish();
    }
    table.finish();
}

void read_condition(TomlTable& warm, std::string_view key, Condition& condition)
{
    auto table = warm.table(key);
    if (!table) return;
    table->read_absolute("file", condition.file);
    table->read("exec", condition.exec);
    table->read("timeout", condition.timeout);
    table->finish();
}

Verification read_verification(TomlTable& table)
{
    Verification result;
    Hook canary;
    table.read("exec", canary.command);
    table.read("code", canary.code);
    table.read("timeout", canary.timeout);
    if (!canary.command.empty() && canary.code) table.report("exec", "and code cannot both be the canary");
    const bool asked = !canary.command.empty() || canary.code;
    result.restore = asked;
    table.read("restore", result.restore);
    if (asked && !result.restore) table.report("restore", "must not be false: the canary is asked in a restored copy");
    if (asked) result.canary = std::move(canary);
    table.finish();
    return result;
}

std::vector<Hook> read_hooks(TomlTable& hooks, std::string_view moment)
{
    std::vector<Hook> result;
    for (TomlTable& entry : hooks.tables(moment)) {
        Hook hook;
        entry.read("command", hook.command);
        entry.read("code", hook.code);
        entry.read("timeout", hook.timeout);
        if (hook.command.empty() == !hook.code) entry.report("command", "or code is needed, and not both");
        entry.finish();
        result.push_back(std::move(hook));
    }
    return result;
}

Secret read_secret(TomlTable& table)
{
    Secret secret;
    std::optional<std::string> credential;
    std::optional<std::string> file;
    std::optional<std::string> environment;
    table.read("credential", credential);
    table.read_absolute("file", file);
    table.read("environment", environment);
    if (credential.has_value() + file.has_value() + environment.has_value() != 1) {
        table.report("credential", "or file or environment is needed, and one of them only");
    } else if (credential) {
        secret.name = *credential;
        if (!is_valid_name(secret.name)) table.report("credential", "must be a name: [a-z0-9][a-z0-9._-]{0,62}");
    } else if (file) {
        secret.source = Secret::Source::file;
        secret.name = *file;
    } else {
        secret.source = Secret::Source::environment;
        secret.name = *environment;
    }
    std::vector<std::string> deliver{"warm"};
    table.read("deliver", deliver);
    const auto has = [&deliver](const char* use) {
        return std::find(deliver.begin(), deliver.end(), use) != deliver.end();
    };
    secret.to_warm = has("warm");
    secret.to_exec = has("exec");
    if (deliver.empty() || deliver.size() != static_cast<std::size_t>(secret.to_warm + secret.to_exec)) {
        table.report("deliver", "must hold \"warm\", \"exec\" or both");
    }
    table.finish();
    return secret;
}

void read_secrets(TomlTable& root, std::map<std::string, Secret>& secrets)
{
    auto table = root.table("secrets");
    if (!table) return;
    for (const std::string& variable : table->keys()) {
        if (auto entry = table->table(variable)) secrets[variable] = read_secret(*entry);
        if (variable.empty() || variable.find('=') != std::string::npos)
            table->report(variable, "cannot name a variable");
    }
}

/// Everything that shapes the warmed process, in a fixed order: not the description, not the times allowed.
std::string digest_of(const Template& t)
{
    std::ostringstream text;
    const auto put = [&text](std::string_view name, std::string_view value) {
        text << name << '=' << value.size() << ':' << value << '\n';
    };
    put("image", t.image);
    for (const std::string& argument : t.command) put("command", argument);
    for (const auto& [name, value] : t.env) put("env", name + "=" + value);
    put("workdir", t.workdir);
    put("user", t.user);
    put("hostname", t.hostname);
    for (const BindMount& mount : t.mounts) {
        put("mount", mount.source + ":" + mount.target + (mount.read_only ? ":ro" : ":rw"));
    }
    put("network", to_string(t.network));
    put("memory", t.limits.memory_bytes ? std::to_string(*t.limits.memory_bytes) : "");
    put("cpus", t.limits.cpus ? std::to_string(*t.limits.cpus) : "");
    put("pids", t.limits.pids ? std::to_string(*t.limits.pids) : "");
    for (const Condition* const condition : {&t.warm_up.started, &t.warm_up.initialised, &t.warm_up.ready}) {
        put("file", condition->file.value_or(""));
        for (const std::string& argument : condition->exec) put("exec", argument);
    }
    put("tcp_quiescence", t.warm_up.tcp_quiescence ? "1" : "0");
    for (const Hook& hook : t.before_checkpoint) {
        for (const std::string& argument : hook.command) put("before_checkpoint", argument);
        put("before_checkpoint", hook.code.value_or(""));
    }
    for (const auto& [variable, secret] : t.secrets) {
        if (secret.to_warm) put("secret", variable);
    }
    if (t.verify.canary) {  // it runs in the warm instance
        for (const std::string& argument : t.verify.canary->command) put("canary", argument);
        put("canary", t.verify.canary->code.value_or(""));
    }
    return sha256_hex(text.str());
}

Template read_template(const toml::table& root, const std::string& file, const TemplateName& name,
                       std::vector<ConfigProblem>& problems)
{
    Template result;
    result.name = name;
    TomlTable table{root, {}, file, problems};
    table.read("description", result.description);
    table.read("image", result.image);
    if (result.image.empty()) table.report("image", "is missing: the image that the application is in");
    table.read("command", result.command);
    table.read("env", result.env);
    table.read("workdir", result.workdir);
    table.read("user", result.user);
    table.read("hostname", result.hostname);
    std::string network{to_string(result.network)};
    table.read("network", network);
    if (const auto known = network_from_string(network)) result.network = *known;
    else table.report("network", "must be \"none\" or \"bridge\"");
    for (TomlTable& entry : table.tables("mounts")) {
        std::optional<std::string> source;
        std::optional<std::string> target;
        BindMount mount;
        entry.read_absolute("source", source);
        entry.read_absolute("target", target);
        entry.read("read_only", mount.read_only);
        if (!source) entry.report("source", "is missing: the absolute path on the host");
        if (!target) entry.report("target", "is missing: the absolute path in the container");
        mount.source = source.value_or("");
        mount.target = target.value_or("");
        result.mounts.push_back(std::move(mount));
        entry.finish();
    }
    if (auto limits = table.table("limits")) {
        limits->read_bytes("memory", result.limits.memory_bytes);
        limits->read("cpus", result.limits.cpus);
        limits->read("pids", result.limits.pids);
        limits->finish();
    }
    if (auto warm = table.table("warm")) {
        read_condition(*warm, "started", result.warm_up.started);
        read_condition(*warm, "initialised", result.warm_up.initialised);
        read_condition(*warm, "ready", result.warm_up.ready);
        warm->read("tcp_quiescence", result.warm_up.tcp_quiescence);
        warm->read("quiet_for", result.warm_up.quiet_for, Duration::zero());
        warm->read("poll_interval", result.warm_up.poll_interval);
        warm->finish();
    }
    if (auto hooks = table.table("hooks")) {
        result.before_checkpoint = read_hooks(*hooks, "before_checkpoint");
        result.after_restore = read_hooks(*hooks, "after_restore");
        hooks->finish();
    }
    read_secrets(table, result.secrets);
    for (const auto& [variable, secret] : result.secrets) {
        if (result.env.contains(variable)) table.report("env", "and secrets both set " + variable);
    }
    if (auto checkpoint = table.table("checkpoint")) {
        checkpoint->read("timeout", result.checkpoint_timeout);
        std::string rewarm{to_string(result.rewarm)};
        checkpoint->read("rewarm", rewarm);
        if (const auto known = rewarm_policy_from_string(rewarm)) result.rewarm = *known;
        else checkpoint->report("rewarm", "must be \"auto\" or \"never\"");
        std::string distribute{to_string(result.distribute)};
        checkpoint->read("distribute", distribute);
        if (const auto known = distribute_from_string(distribute)) result.distribute = *known;
        else checkpoint->report("distribute", "must be \"none\", \"push\", \"pull\" or \"both\"");
        checkpoint->finish();
    }
    if (auto verify = table.table("verify")) result.verify = read_verification(*verify);
    if (auto restore = table.table("restore")) {
        restore->read("timeout", result.restore_timeout);
        restore->finish();
    }
    if (auto exec = table.table("exec")) {
        exec->read("timeout", result.exec_timeout);
        exec->finish();
    }
    if (auto pool = table.table("pool")) {
        pool->read("min_idle", result.pool.min_idle, 0, 1000);
        pool->read("max_size", result.pool.max_size, 1, 1000);
        pool->read("idle_ttl", result.pool.idle_ttl, Duration::zero());
        pool->read("max_lifetime", result.pool.max_lifetime, Duration::zero());
        pool->read("frozen", result.pool.frozen);
        if (result.pool.min_idle > result.pool.max_size) pool->report("min_idle", "must not be above max_size");
        pool->finish();
    }
    if (auto retention = table.table("retention")) {
        read_policy(*retention, result.retention);
        retention->finish();
    }
    table.finish();
    result.digest = digest_of(result);
    return result;
}

void read_templates(const fs::path& directory, std::vector<ConfigProblem>& problems, Config& config)
{
    std::error_code error;
    std::vector<fs::path> files;
    for (const fs::directory_entry& entry : fs::directory_iterator{directory, error}) {
        if (entry.path().extension() == ".toml") files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    for (const fs::path& file : files) {
        const TemplateName name{file.stem().string()};
        const bool taken_for_id = name.value().starts_with(kInstancePrefix) ||
                                  name.value().starts_with(kCheckpointPrefix);
        if (!is_valid_name(name.value()) || taken_for_id) {
            problems.push_back({.where = file.string(),
                                .message = "the file's name is the template's: [a-z0-9][a-z0-9._-]{0,62}, and not "
                                           "beginning with inst- or ckpt-"});
            continue;
        }
        if (const auto table = parse_file(file, problems)) {
            config.templates.emplace(name, read_template(*table, file.string(), name, problems));
        }
    }
}

}  // namespace

Config load_config(const fs::path& directory, std::vector<ConfigProblem>& problems)
{
    Config config;
    if (!fs::is_directory(directory)) {
        problems.push_back({.where = directory.string(), .message = "is not a directory"});
        return config;
    }
    const fs::path file = directory / "warmd.toml";
    if (fs::exists(file)) {
        if (const auto table = parse_file(file, problems)) read_daemon(*table, file.string(), problems, config);
    } else {
        read_daemon({}, file.string(), problems, config);  // some defaults are looked up
    }
    read_templates(directory / "templates.d", problems, config);
    check_distribution(config, problems);
    return config;
}

}  // namespace warmd
