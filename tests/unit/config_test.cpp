#include "daemon/config/config.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/support/temp_dir.h"
#include "tests/unit/expect_error.h"

namespace warmd {
namespace {

using namespace std::chrono_literals;
using test::contains;
using test::TempDir;
using test::write_file;

class ConfigTest : public ::testing::Test {
protected:
    void daemon(std::string_view text) const { write_file(directory / "warmd.toml", text); }
    void add_template(const std::string& name, std::string_view text) const
    {
        write_file(directory.path() / "templates.d" / (name + ".toml"), text);
    }

    Config load()
    {
        problems.clear();
        return load_config(directory.path(), problems);
    }

    /// The only template, which must be without a problem.
    Template load_template(std::string_view text)
    {
        add_template("octave", text);
        const Config config = load();
        EXPECT_TRUE(problems.empty()) << all_problems();
        return config.templates.at(TemplateName{"octave"});
    }

    [[nodiscard]] std::string all_problems() const
    {
        std::string text;
        for (const ConfigProblem& problem : problems) text += problem.where + ": " + problem.message + "\n";
        return text;
    }

    /// True when a problem in `file` at `line` begins with `message`.
    [[nodiscard]] bool reported(const std::string& file, int line, const std::string& message) const
    {
        const std::string where = (directory / file).string() + ":" + std::to_string(line);
        return std::any_of(problems.begin(), problems.end(), [&](const ConfigProblem& problem) {
            return problem.where == where && problem.message.starts_with(message);
        });
    }

    TempDir directory;
    std::vector<ConfigProblem> problems;
};

TEST_F(ConfigTest, AnEmptyDirectoryGivesTheDefaults)
{
    const Config config = load();
    EXPECT_TRUE(problems.empty()) << all_problems();
    EXPECT_EQ(config.socket, Config{}.socket);
    EXPECT_EQ(config.podman_timeout, 30s);
    EXPECT_EQ(config.history, 1000);
    EXPECT_TRUE(config.templates.empty());
}

TEST_F(ConfigTest, ReadsWhoMayDoWhat)
{
    const std::string sum(64, 'A');
    daemon(R"([api]
group = "daemon"
tcp = "[::1]:8642"
hosts = ["Build7.example"]
origins = ["https://Dash.example:8443", "http://[::1]"]
[access]
read = ["nobody", "@nogroup", "1234"]
exec = ["@4321"]
[tokens.ci]
role = "exec"
sha256 = ")" +
           sum + R"("
)");
    const Config config = load();
    EXPECT_TRUE(problems.empty()) << all_problems();
    EXPECT_EQ(config.tcp, "[::1]:8642");
    EXPECT_EQ(config.access.hosts, (std::vector<std::string>{"[::1]", "build7.example"}));
    EXPECT_EQ(config.access.origins, (std::vector<std::string>{"https://dash.example:8443", "http://[::1]"}));
    EXPECT_EQ(config.access.callers.at(Role::read).users, (std::vector<uid_t>{65534, 1234}));
    EXPECT_EQ(config.access.callers.at(Role::read).groups, (std::vector<gid_t>{65534}));
    EXPECT_EQ(config.access.callers.at(Role::exec).groups, (std::vector<gid_t>{4321}));
    EXPECT_EQ(config.access.callers.at(Role::admin).groups, (std::vector<gid_t>{1}));  // daemon's
    ASSERT_EQ(config.access.tokens.size(), 1U);
    EXPECT_EQ(config.access.tokens[0].name, "ci");
    EXPECT_EQ(config.access.tokens[0].role, Role::exec);
    EXPECT_EQ(config.access.tokens[0].sha256, std::string(64, 'a'));
    EXPECT_TRUE(config.socket_for_everybody);
}

TEST_F(ConfigTest, TheSocketIsItsGroupsUnlessOthersHaveRoles)
{
    daemon("[api]\ngroup = \"daemon\"\n");
    EXPECT_FALSE(load().socket_for_everybody);
    daemon("[api]\ngroup = \"daemon\"\n[access]\nread = [\"@daemon\", \"root\"]\n");
    EXPECT_FALSE(load().socket_for_everybody);
    daemon("[api]\ngroup = \"daemon\"\n[access]\nread = [\"@nogroup\"]\n");
    EXPECT_TRUE(load().socket_for_everybody);
    daemon("[api]\ngroup = \"daemon\"\n[access]\nexec = [\"nobody\"]\n");
    EXPECT_TRUE(load().socket_for_everybody);
    // Who says admin, says all of it.
    daemon("[api]\ngroup = \"daemon\"\n[access]\nadmin = []\n");
    EXPECT_TRUE(load().access.callers.at(Role::admin).groups.empty());
    // A group that is only the default need not exist.
    daemon("[api]\ngroup = \"no-such-group\"\n");
    EXPECT_TRUE(load().access.callers.empty());
    EXPECT_TRUE(problems.empty()) << all_problems();
}

TEST_F(ConfigTest, ReportsWhatIsWrongWithAccess)
{
    daemon(R"([access]
read = ["no-such-user"]
exec = ["@no-such-group",
        "root"]
admin = "root"
write = []
[tokens.a]
role = "none"
sha256 = "12"
[tokens.b]
sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
[tokens.c]
role = "read"
sha256 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
token = "secret"
[tokens.d]
role = "read"
sha256 = "AAAAaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
[tokens."A b"]
role = "read"
sha256 = "bbbbaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
)");
    load();
    EXPECT_TRUE(reported("warmd.toml", 2, "access.read names the user \"no-such-user\"")) << all_problems();
    EXPECT_TRUE(reported("warmd.toml", 3, "access.exec names the group \"no-such-group\"")) << all_problems();
    EXPECT_TRUE(reported("warmd.toml", 5, "access.admin must be an array of strings")) << all_problems();
    EXPECT_TRUE(reported("warmd.toml", 6, "access.write is not a known key")) << all_problems();
    EXPECT_TRUE(reported("warmd.toml", 8, "tokens.a.role must be")) << all_problems();
    EXPECT_TRUE(reported("warmd.toml", 9, "tokens.a.sha256 must be 64")) << all_problems();
    EXPECT_TRUE(reported("warmd.toml", 10, "tokens.b.role must be")) << all_problems();
    EXPECT_TRUE(reported("warmd.toml", 11, "tokens.b.sha256 is that of no token")) << all_problems();
    EXPECT_TRUE(reported("warmd.toml", 15, "tokens.c.token is not a known key")) << all_problems();
    EXPECT_TRUE(reported("warmd.toml", 18, "tokens.d.sha256 is another token's")) << all_problems();
    EXPECT_TRUE(reported("warmd.toml", 19, "tokens.A b must be a name")) << all_problems();
    EXPECT_EQ(problems.size(), 11U) << all_problems();
}

TEST_F(ConfigTest, TcpIsOnLoopbackAndWantsAToken)
{
    const std::string token = "[tokens.ci]\nrole = \"read\"\nsha256 = \"" + std::string(64, 'a') + "\"\n";
    for (const char* const good : {"127.0.0.1:8642", "127.1.2.3:1", "[::1]:65535"}) {
        daemon("[api]\ntcp = \"" + std::string{good} + "\"\n" + token);
        EXPECT_EQ(load().tcp, good);
        EXPECT_TRUE(problems.empty()) << all_problems();
    }
    for (const char* const wrong :
         {"0.0.0.0:8642", "192.168.1.1:8642", "[::]:8642", "::1:8642", "localhost:8642", "127.0.0.1",
          "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:http", "8642"}) {
        daemon("[api]\ntcp = \"" + std::string{wrong} + "\"\n" + token);
        load();
        EXPECT_TRUE(reported("warmd.toml", 2, "api.tcp must be a loopback address")) << wrong << all_problems();
    }
    daemon("[api]\ntcp = \"127.0.0.1:8642\"\n");
    load();
    EXPECT_TRUE(reported("warmd.toml", 2, "api.tcp needs a token")) << all_problems();
    for (const char* const wrong : {"build7:80", "", "a b", "*", "http://a"}) {
        daemon("[api]\nhosts = [\"" + std::string{wrong} + "\"]\n");
        load();
        EXPECT_TRUE(reported("warmd.toml", 2, "api.hosts must be")) << wrong << all_problems();
    }
    for (const char* const wrong :
         {"*", "dash.example", "https://dash.example/", "https://", "ftp://a", "https://a:0", "null"}) {
        daemon("[api]\norigins = [\"" + std::string{wrong} + "\"]\n");
        load();
        EXPECT_TRUE(reported("warmd.toml", 2, "api.origins must be")) << wrong << all_problems();
    }
}

TEST_F(ConfigTest, ReadsEveryKeyOfTheDaemon)
{
    daemon(R"([log]
level = "debug"
[api]
socket = "/tmp/w.sock"
group = "admins"
threads = 12
streams = 40
connections = 100
[store]
directory = "/srv/warmd"
history = 20
[integrity]
verify_every = "2d"
[podman]
socket = "/tmp/p.sock"
timeout = "90s"
[operations]
workers = 2
queue = 3
[pools]
fills = 5
[retention]
max_count = 20
max_total_bytes = "100G"
ttl = "720h"
min_free_bytes = "5G"
)");
    const Config config = load();
    EXPECT_TRUE(problems.empty()) << all_problems();
    EXPECT_EQ(config.log_level, "debug");
    EXPECT_EQ(config.socket, "/tmp/w.sock");
    EXPECT_EQ(config.socket_group, "admins");
    EXPECT_EQ(config.http_threads, 12);
    EXPECT_EQ(config.http_streams, 40);
    EXPECT_EQ(config.http_connections, 100);
    EXPECT_EQ(config.state_directory, "/srv/warmd");
    EXPECT_EQ(config.history, 20);
    EXPECT_EQ(config.verify_every, 48h);
    EXPECT_EQ(config.podman_socket, "/tmp/p.sock");
    EXPECT_EQ(config.podman_timeout, 90s);
    EXPECT_EQ(config.operation_workers, 2);
    EXPECT_EQ(config.operation_queue, 3);
    EXPECT_EQ(config.pool_fills, 5);
    EXPECT_EQ(config.retention.max_count, 20);
    EXPECT_EQ(config.retention.max_total_bytes, std::uint64_t{100} << 30U);
    EXPECT_EQ(config.retention.ttl, 720h);
    EXPECT_EQ(config.min_free_bytes, std::uint64_t{5} << 30U);
}

TEST_F(ConfigTest, CheckpointsAreVerifiedOnceAWeekUnlessThatIsOff)
{
    EXPECT_EQ(load().verify_every, 168h);
    daemon("[integrity]\nverify_every = \"off\"\n");
    EXPECT_EQ(load().verify_every, Duration::zero());
    EXPECT_TRUE(problems.empty()) << all_problems();
    daemon("[integrity]\nverify_every = \"1s\"\n");
    load();
    EXPECT_TRUE(reported("warmd.toml", 2, "integrity.verify_every must be \"1m\" at least")) << all_problems();
    daemon("[integrity]\nverify_every = \"weekly\"\n");
    load();
    EXPECT_TRUE(reported("warmd.toml", 2, "integrity.verify_every must be a duration")) << all_problems();
}

TEST_F(ConfigTest, ACanaryHasNewCheckpointsTriedOut)
{
    const Template plain = load_template("image = \"x\"\n");
    EXPECT_FALSE(plain.verify.restore);
    EXPECT_FALSE(plain.verify.canary);
    const Template with = load_template("image = \"x\"\n[verify]\nexec = [\"ls\", \"/\"]\ntimeout = \"5s\"\n");
    EXPECT_TRUE(with.verify.restore);
    ASSERT_TRUE(with.verify.canary);
    EXPECT_EQ(with.verify.canary->command, (std::vector<std::string>{"ls", "/"}));
    EXPECT_EQ(with.verify.canary->timeout, 5s);
    EXPECT_NE(with.digest, plain.digest);  // it runs in what is dumped
    EXPECT_EQ(*load_template("image = \"x\"\n[verify]\ncode = \"1\"\n").verify.canary->code, "1");
    const Template without = load_template("image = \"x\"\n[verify]\nrestore = true\n");
    EXPECT_TRUE(without.verify.restore);
    EXPECT_FALSE(without.verify.canary);
    EXPECT_EQ(without.digest, plain.digest);
}

TEST_F(ConfigTest, RefusesACanaryThatIsNone)
{
    add_template("octave", "image = \"x\"\n[verify]\nexec = [\"ls\"]\ncode = \"1\"\n");
    load();
    EXPECT_TRUE(reported("templates.d/octave.toml", 3, "verify.exec and code cannot both be")) << all_problems();
    add_template("octave", "image = \"x\"\n[verify]\nrestore = false\ncode = \"1\"\nwhy = 1\n");
    load();
    EXPECT_TRUE(reported("templates.d/octave.toml", 3, "verify.restore must not be false")) << all_problems();
    EXPECT_EQ(problems.size(), 2U) << all_problems();
}

TEST_F(ConfigTest, ReadsEveryKeyOfATemplate)
{
    const Template t = load_template(R"(description = "GNU Octave"
image = "localhost/octave:6.4"
command = ["octave-cli", "--eval", "serve"]
workdir = "/work"
user = "1000:1000"
hostname = "calc"
network = "bridge"
[env]
LC_ALL = "C"
HOME = "/root"
[[mounts]]
source = "/srv/data"
target = "/data"
[[mounts]]
source = "/srv/out"
target = "/out"
read_only = false
[limits]
memory = "2G"
cpus = 1.5
pids = 128
[warm]
tcp_quiescence = false
quiet_for = "300ms"
poll_interval = "10ms"
[warm.started]
file = "/run/started"
[warm.initialised]
exec = ["test", "-e", "/run/up"]
timeout = "4m"
[warm.ready]
file = "/run/ready"
timeout = "1h"
[checkpoint]
timeout = "20m"
rewarm = "never"
[restore]
timeout = "6m"
[exec]
timeout = "2h"
)");
    EXPECT_EQ(t.name, TemplateName{"octave"});
    EXPECT_EQ(t.description, "GNU Octave");
    EXPECT_EQ(t.image, "localhost/octave:6.4");
    EXPECT_EQ(t.command, (std::vector<std::string>{"octave-cli", "--eval", "serve"}));
    EXPECT_EQ(t.workdir, "/work");
    EXPECT_EQ(t.user, "1000:1000");
    EXPECT_EQ(t.hostname, "calc");
    EXPECT_EQ(t.network, Network::bridge);
    EXPECT_EQ(t.env, (std::map<std::string, std::string>{{"LC_ALL", "C"}, {"HOME", "/root"}}));
    ASSERT_EQ(t.mounts.size(), 2U);
    EXPECT_EQ(t.mounts[0].source, "/srv/data");
    EXPECT_EQ(t.mounts[0].target, "/data");
    EXPECT_TRUE(t.mounts[0].read_only);
    EXPECT_FALSE(t.mounts[1].read_only);
    EXPECT_EQ(t.limits.memory_bytes, std::uint64_t{2} << 30U);
    EXPECT_EQ(t.limits.cpus, 1.5);
    EXPECT_EQ(t.limits.pids, 128);
    EXPECT_FALSE(t.warm_up.tcp_quiescence);
    EXPECT_EQ(t.warm_up.quiet_for, 300ms);
    EXPECT_EQ(t.warm_up.poll_interval, 10ms);
    EXPECT_EQ(t.warm_up.started.file, "/run/started");
    EXPECT_EQ(t.warm_up.started.timeout, 2min);
    EXPECT_EQ(t.warm_up.initialised.exec, (std::vector<std::string>{"test", "-e", "/run/up"}));
    EXPECT_EQ(t.warm_up.initialised.timeout, 4min);
    EXPECT_EQ(t.warm_up.ready.file, "/run/ready");
    EXPECT_EQ(t.warm_up.ready.timeout, 1h);
    EXPECT_EQ(t.checkpoint_timeout, 20min);
    EXPECT_EQ(t.rewarm, RewarmPolicy::never);
    EXPECT_EQ(t.restore_timeout, 6min);
    EXPECT_EQ(t.exec_timeout, 2h);
}

TEST_F(ConfigTest, ReportsEveryProblemAtOnceWithItsFileAndLine)
{
    daemon(R"([api]
threads = 0
sokcet = "/tmp/x"
[podman]
timeout = 30
socket = "relative/p.sock"
[operations]
workers = "four"
)");
    add_template("octave", R"(image = "x"
network = "host"
[limits]
memory = "lots"
pids = 0
[warm.ready]
file = "run/ready"
timeout = "soon"
[checkpoint]
rewarm = "always"
)");
    load();
    EXPECT_EQ(problems.size(), 11U) << all_problems();
    EXPECT_TRUE(reported("warmd.toml", 2, "api.threads must be between 1 and 256")) << all_problems();
    EXPECT_TRUE(reported("warmd.toml", 3, "api.sokcet is not a known key")) << all_problems();
    EXPECT_TRUE(reported("warmd.toml", 5, "podman.timeout must be a duration")) << all_problems();
    EXPECT_TRUE(reported("warmd.toml", 6, "podman.socket must be an absolute path")) << all_problems();
    EXPECT_TRUE(reported("warmd.toml", 8, "operations.workers must be a whole number")) << all_problems();
    EXPECT_TRUE(reported("templates.d/octave.toml", 2, "network must be")) << all_problems();
    EXPECT_TRUE(reported("templates.d/octave.toml", 4, "limits.memory must be a number of bytes")) << all_problems();
    EXPECT_TRUE(reported("templates.d/octave.toml", 5, "limits.pids must be positive")) << all_problems();
    EXPECT_TRUE(reported("templates.d/octave.toml", 7, "warm.ready.file must be an absolute path")) << all_problems();
    EXPECT_TRUE(reported("templates.d/octave.toml", 8, "warm.ready.timeout not a duration")) << all_problems();
    EXPECT_TRUE(reported("templates.d/octave.toml", 10, "checkpoint.rewarm must be \"auto\" or \"never\""))
        << all_problems();
}

TEST_F(ConfigTest, ReportsBrokenTomlWithItsLineAndGoesOnWithTheOtherFiles)
{
    daemon("[api\nthreads = 8\n");
    add_template("bad", "image = \"x\"\ncommand = [\n");
    add_template("good", "image = \"x\"\n");
    const Config config = load();
    ASSERT_EQ(problems.size(), 2U) << all_problems();
    EXPECT_TRUE(contains(problems[0].where, "warmd.toml:1")) << all_problems();
    EXPECT_TRUE(contains(problems[1].where, "bad.toml:")) << all_problems();
    EXPECT_TRUE(config.templates.contains(TemplateName{"good"}));
    EXPECT_FALSE(config.templates.contains(TemplateName{"bad"}));
}

TEST_F(ConfigTest, ReportsUnknownTablesAndKeysAtEveryLevel)
{
    daemon("[web]\nport = 80\n");
    add_template("octave", R"(image = "x"
imgae = "y"
[warm]
redy = { file = "/x" }
[warm.started]
files = "/x"
[[mounts]]
source = "/a"
target = "/b"
readonly = true
)");
    load();
    EXPECT_EQ(problems.size(), 5U) << all_problems();
    EXPECT_TRUE(reported("warmd.toml", 1, "web is not a known key")) << all_problems();
    EXPECT_TRUE(reported("templates.d/octave.toml", 2, "imgae is not a known key")) << all_problems();
    EXPECT_TRUE(reported("templates.d/octave.toml", 4, "warm.redy is not a known key")) << all_problems();
    EXPECT_TRUE(reported("templates.d/octave.toml", 6, "warm.started.files is not a known key")) << all_problems();
    EXPECT_TRUE(reported("templates.d/octave.toml", 10, "mounts.readonly is not a known key")) << all_problems();
}

TEST_F(ConfigTest, ReportsWrongTypes)
{
    daemon("log = \"debug\"\n");
    add_template("octave", R"(image = "x"
command = "octave"
mounts = "/a"
[env]
LEVEL = 5
[limits]
cpus = "two"
pids = 1.5
[warm]
tcp_quiescence = "yes"
)");
    load();
    EXPECT_EQ(problems.size(), 7U) << all_problems();
    EXPECT_TRUE(reported("warmd.toml", 1, "log must be a table")) << all_problems();
    EXPECT_TRUE(reported("templates.d/octave.toml", 2, "command must be an array of strings")) << all_problems();
    EXPECT_TRUE(reported("templates.d/octave.toml", 3, "mounts must be an array of tables")) << all_problems();
    EXPECT_TRUE(reported("templates.d/octave.toml", 5, "env.LEVEL must be a string")) << all_problems();
    EXPECT_TRUE(reported("templates.d/octave.toml", 7, "limits.cpus must be a number from 0.01 to 10000"))
        << all_problems();
    EXPECT_TRUE(reported("templates.d/octave.toml", 8, "limits.pids must be a whole number")) << all_problems();
    EXPECT_TRUE(reported("templates.d/octave.toml", 10, "warm.tcp_quiescence must be true or false")) << all_problems();
}

TEST_F(ConfigTest, ATemplateNeedsAnImageAndAMountItsTwoPaths)
{
    add_template("octave", "description = \"x\"\n[[mounts]]\nread_only = true\n");
    load();
    ASSERT_EQ(problems.size(), 3U) << all_problems();
    EXPECT_TRUE(contains(all_problems(), "octave.toml")) << all_problems();
    EXPECT_TRUE(contains(all_problems(), "image is missing")) << all_problems();
    EXPECT_TRUE(contains(all_problems(), "mounts.source is missing")) << all_problems();
    EXPECT_TRUE(contains(all_problems(), "mounts.target is missing")) << all_problems();
}

TEST_F(ConfigTest, ReadsHooksAndSecrets)
{
    const Template read = load_template(R"(
image = "x"
[[hooks.before_checkpoint]]
code = "close all"
timeout = "5s"
[[hooks.before_checkpoint]]
command = ["sync"]
[[hooks.after_restore]]
code = "hello"
[secrets.MLM_LICENSE_TOKEN]
credential = "mlm-license-token"
[secrets.FROM_FILE]
file = "/etc/token"
deliver = ["exec"]
[secrets.FROM_ENVIRONMENT]
environment = "TOKEN"
deliver = ["warm", "exec"]
)");
    ASSERT_EQ(read.before_checkpoint.size(), 2U);
    EXPECT_EQ(read.before_checkpoint[0].code, "close all");
    EXPECT_EQ(read.before_checkpoint[0].timeout, 5s);
    EXPECT_EQ(read.before_checkpoint[1].command, std::vector<std::string>{"sync"});
    EXPECT_EQ(read.before_checkpoint[1].timeout, 30s);
    ASSERT_EQ(read.after_restore.size(), 1U);
    EXPECT_EQ(read.after_restore[0].code, "hello");
    ASSERT_EQ(read.secrets.size(), 3U);
    const Secret& credential = read.secrets.at("MLM_LICENSE_TOKEN");
    EXPECT_EQ(credential.source, Secret::Source::credential);
    EXPECT_EQ(credential.name, "mlm-license-token");
    EXPECT_TRUE(credential.to_warm && !credential.to_exec);
    const Secret& file = read.secrets.at("FROM_FILE");
    EXPECT_EQ(file.source, Secret::Source::file);
    EXPECT_EQ(file.name, "/etc/token");
    EXPECT_TRUE(!file.to_warm && file.to_exec);
    const Secret& environment = read.secrets.at("FROM_ENVIRONMENT");
    EXPECT_EQ(environment.source, Secret::Source::environment);
    EXPECT_TRUE(environment.to_warm && environment.to_exec);
}

TEST_F(ConfigTest, RefusesHooksAndSecretsThatAreNone)
{
    add_template("octave", R"(image = "x"
env = { BOTH = "1" }
[[hooks.before_checkpoint]]
timeout = "5s"
[[hooks.after_restore]]
command = ["a"]
code = "b"
[secrets.NONE]
[secrets.TWO]
file = "/a"
environment = "A"
[secrets.BOTH]
credential = "../up"
deliver = ["never"]
)");
    load();
    for (const char* const words :
         {"hooks.before_checkpoint.command or code is needed", "hooks.after_restore.command or code is needed",
          "secrets.NONE.credential or file or environment is needed",
          "secrets.TWO.credential or file or environment is needed", "secrets.BOTH.credential must be a name",
          "secrets.BOTH.deliver must hold", "env and secrets both set BOTH"}) {
        EXPECT_TRUE(contains(all_problems(), words)) << words << "\n" << all_problems();
    }
}

TEST_F(ConfigTest, ReadsPools)
{
    const PoolPolicy none = load_template("image = \"x\"\n").pool;
    EXPECT_EQ(none.min_idle, 0);
    EXPECT_EQ(none.max_size, PoolPolicy{}.max_size);
    EXPECT_FALSE(none.frozen);
    const PoolPolicy pool = load_template(R"(image = "x"
[pool]
min_idle = 3
max_size = 7
idle_ttl = "0s"
max_lifetime = "90m"
frozen = true
)")
                                .pool;
    EXPECT_EQ(pool.min_idle, 3);
    EXPECT_EQ(pool.max_size, 7);
    EXPECT_EQ(pool.idle_ttl, 0s);
    EXPECT_EQ(pool.max_lifetime, 90min);
    EXPECT_TRUE(pool.frozen);
}

TEST_F(ConfigTest, RefusesPoolsThatAreNone)
{
    daemon("[pools]\nfills = 0\nfill = 1\n");
    add_template("octave", R"(image = "x"
[pool]
min_idle = 5
max_size = 4
idle_ttl = "soon"
max_lifetime = 60
frozen = "yes"
size = 3
)");
    add_template("other", "image = \"x\"\n[pool]\nmin_idle = -1\nmax_size = 0\n");
    add_template("third", "image = \"x\"\n[pool]\nmin_idle = 5\n");
    load();
    EXPECT_TRUE(reported("warmd.toml", 2, "pools.fills")) << all_problems();
    EXPECT_TRUE(reported("warmd.toml", 3, "pools.fill is not a known key")) << all_problems();
    EXPECT_TRUE(reported("templates.d/octave.toml", 3, "pool.min_idle must not be above max_size")) << all_problems();
    EXPECT_TRUE(reported("templates.d/octave.toml", 5, "pool.idle_ttl")) << all_problems();
    EXPECT_TRUE(reported("templates.d/octave.toml", 6, "pool.max_lifetime")) << all_problems();
    EXPECT_TRUE(reported("templates.d/octave.toml", 7, "pool.frozen must be true or false")) << all_problems();
    EXPECT_TRUE(reported("templates.d/octave.toml", 8, "pool.size is not a known key")) << all_problems();
    EXPECT_TRUE(reported("templates.d/other.toml", 3, "pool.min_idle")) << all_problems();
    EXPECT_TRUE(reported("templates.d/other.toml", 4, "pool.max_size")) << all_problems();
    EXPECT_TRUE(reported("templates.d/third.toml", 3, "pool.min_idle must not be above max_size")) << all_problems();
    EXPECT_EQ(problems.size(), 10U) << all_problems();
}

TEST_F(ConfigTest, ReadsBoundsOfCheckpoints)
{
    EXPECT_FALSE(load_template("image = \"x\"\n").retention.bounds());
    EXPECT_FALSE(load().retention.bounds());
    EXPECT_FALSE(load().min_free_bytes);
    const RetentionPolicy policy = load_template(R"(image = "x"
[retention]
max_count = 3
max_total_bytes = 1000
ttl = "24h"
)")
                                       .retention;
    EXPECT_TRUE(policy.bounds());
    EXPECT_EQ(policy.max_count, 3);
    EXPECT_EQ(policy.max_total_bytes, 1000U);
    EXPECT_EQ(policy.ttl, 24h);
    for (const char* const none : {"0", "\"0\""}) {
        daemon(std::string{"[retention]\nmin_free_bytes = "} + none + "\n");
        EXPECT_EQ(load().min_free_bytes, 0U) << none;
        EXPECT_TRUE(problems.empty()) << all_problems();
    }
}

TEST_F(ConfigTest, RefusesBoundsOfCheckpointsThatAreNone)
{
    daemon("[retention]\nmax_count = 0\nmax_total_bytes = 0\nttl = \"soon\"\nmin_free_bytes = -1\nmax = 1\n");
    add_template("octave", "image = \"x\"\n[retention]\nmax_count = \"3\"\nttl = 5\nmin_free_bytes = 1\n");
    load();
    EXPECT_TRUE(reported("warmd.toml", 2, "retention.max_count must be between 1 and")) << all_problems();
    EXPECT_TRUE(reported("warmd.toml", 3, "retention.max_total_bytes must be a number of bytes")) << all_problems();
    EXPECT_TRUE(reported("warmd.toml", 4, "retention.ttl")) << all_problems();
    EXPECT_TRUE(reported("warmd.toml", 5, "retention.min_free_bytes must be a number of bytes")) << all_problems();
    EXPECT_TRUE(reported("warmd.toml", 6, "retention.max is not a known key")) << all_problems();
    EXPECT_TRUE(reported("templates.d/octave.toml", 3, "retention.max_count must be a whole number")) << all_problems();
    EXPECT_TRUE(reported("templates.d/octave.toml", 4, "retention.ttl must be a duration")) << all_problems();
    EXPECT_TRUE(reported("templates.d/octave.toml", 5, "retention.min_free_bytes is not a known key"))
        << all_problems();
    EXPECT_EQ(problems.size(), 8U) << all_problems();
}

TEST_F(ConfigTest, RefusesPathsThatClimb)
{
    add_template("octave", "image = \"x\"\n[[mounts]]\nsource = \"/srv/../etc\"\ntarget = \"/data/..\"\n");
    load();
    EXPECT_TRUE(reported("templates.d/octave.toml", 3, "mounts.source must be an absolute path without \"..\""))
        << all_problems();
    EXPECT_TRUE(reported("templates.d/octave.toml", 4, "mounts.target must be an absolute path without \"..\""))
        << all_problems();
}

TEST_F(ConfigTest, ReadsByteSizes)
{
    const auto memory = [this](const std::string& value) {
        return load_template("image = \"x\"\n[limits]\nmemory = " + value + "\n").limits.memory_bytes;
    };
    EXPECT_EQ(memory("\"512M\""), std::uint64_t{512} << 20U);
    EXPECT_EQ(memory("\"4G\""), std::uint64_t{4} << 30U);
    EXPECT_EQ(memory("\"1K\""), 1024U);
    EXPECT_EQ(memory("\"1\""), 1U);
    EXPECT_EQ(memory("1048576"), 1048576U);
    EXPECT_EQ(memory("\"8589934591G\""), std::uint64_t{8589934591} << 30U);
}

TEST_F(ConfigTest, RefusesWhatIsNoByteSize)
{
    for (const char* const value : {"\"\"", "\"0\"", "0", "-1", "\"-1M\"", "\"1T\"", "\"1MB\"", "\"1.5G\"", "\" 1M\"",
                                    "\"8589934592G\"", "\"99999999999999999999\"", "1.5", "true"}) {
        add_template("octave", std::string{"image = \"x\"\n[limits]\nmemory = "} + value + "\n");
        load();
        EXPECT_TRUE(reported("templates.d/octave.toml", 3, "limits.memory must be a number of bytes"))
            << value << "\n"
            << all_problems();
    }
}

TEST_F(ConfigTest, TakesAWholeNumberOfProcessors)
{
    EXPECT_EQ(load_template("image = \"x\"\n[limits]\ncpus = 2\n").limits.cpus, 2.0);
}

TEST_F(ConfigTest, RefusesProcessorsThatAreNoFinitePositiveNumber)
{
    for (const char* const value : {"0", "-1", "0.0", "nan", "inf"}) {
        add_template("octave", std::string{"image = \"x\"\n[limits]\ncpus = "} + value + "\n");
        load();
        EXPECT_TRUE(reported("templates.d/octave.toml", 3, "limits.cpus must be a number from 0.01 to 10000"))
            << value << "\n"
            << all_problems();
    }
}

TEST_F(ConfigTest, RefusesAPollIntervalThatWouldSpin)
{
    add_template("octave", "image = \"x\"\n[warm]\npoll_interval = \"0ms\"\n");
    load();
    EXPECT_TRUE(reported("templates.d/octave.toml", 3, "warm.poll_interval must be at least 1ms")) << all_problems();
}

TEST_F(ConfigTest, TemplatesAreNamedAfterTheirFiles)
{
    add_template("octave", "image = \"x\"\n");
    add_template("maxima-5.45", "image = \"y\"\n");
    write_file(directory / "templates.d/notes.txt", "not a template");
    write_file(directory / "templates.d/octave.toml~", "an editor's backup");
    const Config config = load();
    EXPECT_TRUE(problems.empty()) << all_problems();
    ASSERT_EQ(config.templates.size(), 2U);
    EXPECT_EQ(config.templates.at(TemplateName{"maxima-5.45"}).image, "y");
}

TEST_F(ConfigTest, RefusesFileNamesThatAreNoTemplateNames)
{
    for (const char* const name : {"Octave", "a b", "-x", "inst-a", "ckpt-1"}) add_template(name, "image = \"x\"\n");
    add_template(std::string(64, 'a'), "image = \"x\"\n");
    const Config config = load();
    EXPECT_TRUE(config.templates.empty());
    EXPECT_EQ(problems.size(), 6U) << all_problems();
    EXPECT_TRUE(contains(all_problems(), (directory / "templates.d/inst-a.toml").string())) << all_problems();
}

class TemplateDigestTest : public ConfigTest {
protected:
    std::string digest(const std::string& text) { return load_template(text).digest; }
};

TEST_F(TemplateDigestTest, IsTheSameForTheSameTemplate)
{
    const std::string text = "image = \"x\"\ncommand = [\"a\", \"b\"]\n[env]\nK = \"v\"\nA = \"b\"\n";
    EXPECT_EQ(digest(text), digest(text));
    EXPECT_EQ(digest(text).size(), 64U);
    EXPECT_EQ(digest(text), digest("command = [\"a\", \"b\"]\nimage = \"x\"\n[env]\nA = \"b\"\nK = \"v\"\n"));
}

TEST_F(TemplateDigestTest, DoesNotDependOnTheDescriptionTheTimesAllowedOrThePool)
{
    const std::string plain = digest("image = \"x\"\n");
    EXPECT_EQ(digest("image = \"x\"\ndescription = \"words\"\n"), plain);
    EXPECT_EQ(digest("image = \"x\"\n[checkpoint]\ntimeout = \"1s\"\n[restore]\ntimeout = \"1s\"\n"
                     "[exec]\ntimeout = \"1s\"\n[warm.ready]\ntimeout = \"1s\"\n"),
              plain);
    EXPECT_EQ(digest("image = \"x\"\n[pool]\nmin_idle = 1\nfrozen = true\n"), plain);
    EXPECT_EQ(digest("image = \"x\"\n[retention]\nmax_count = 1\n"), plain);
}

TEST_F(TemplateDigestTest, ChangesWithAllThatShapesTheProcess)
{
    std::vector<std::string> digests;
    for (const char* const text : {"image = \"x\"\n",
                                   "image = \"y\"\n",
                                   "image = \"x\"\ncommand = [\"a\"]\n",
                                   "image = \"x\"\ncommand = [\"a\", \"\"]\n",
                                   "image = \"x\"\nworkdir = \"/w\"\n",
                                   "image = \"x\"\nuser = \"/w\"\n",
                                   "image = \"x\"\nhostname = \"/w\"\n",
                                   "image = \"x\"\nnetwork = \"bridge\"\n",
                                   "image = \"x\"\n[env]\nK = \"v\"\n",
                                   "image = \"x\"\n[env]\nK = \"w\"\n",
                                   "image = \"x\"\n[[mounts]]\nsource = \"/a\"\ntarget = \"/b\"\n",
                                   "image = \"x\"\n[[mounts]]\nsource = \"/a\"\ntarget = \"/b\"\nread_only = false\n",
                                   "image = \"x\"\n[limits]\nmemory = 4096\n",
                                   "image = \"x\"\n[limits]\npids = 4096\n",
                                   "image = \"x\"\n[limits]\ncpus = 2\n",
                                   "image = \"x\"\n[warm.started]\nfile = \"/f\"\n",
                                   "image = \"x\"\n[warm.initialised]\nfile = \"/f\"\n",
                                   "image = \"x\"\n[warm.ready]\nfile = \"/f\"\n",
                                   "image = \"x\"\n[warm.ready]\nexec = [\"/f\"]\n",
                                   "image = \"x\"\n[[hooks.before_checkpoint]]\ncode = \"a\"\n",
                                   "image = \"x\"\n[[hooks.before_checkpoint]]\ncommand = [\"a\"]\n",
                                   "image = \"x\"\n[secrets.A]\nfile = \"/a\"\n",
                                   "image = \"x\"\n[warm]\ntcp_quiescence = false\n"}) {
        digests.push_back(digest(text));
    }
    std::sort(digests.begin(), digests.end());
    EXPECT_EQ(std::adjacent_find(digests.begin(), digests.end()), digests.end()) << "two of them are the same";
}

TEST_F(TemplateDigestTest, TellsArgumentsApartThatReadTheSameWhenJoined)
{
    EXPECT_NE(digest("image = \"x\"\ncommand = [\"a b\"]\n"), digest("image = \"x\"\ncommand = [\"a\", \"b\"]\n"));
    EXPECT_NE(digest("image = \"x\"\ncommand = [\"a\\ncommand=1:b\"]\n"),
              digest("image = \"x\"\ncommand = [\"a\", \"b\"]\n"));
}

}  // namespace
}  // namespace warmd
