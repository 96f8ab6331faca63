#include "daemon/base/process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>

#include "daemon/base/error.h"
#include "daemon/base/unique_fd.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/expect_error.h"

namespace warmd {
namespace {

namespace fs = std::filesystem;
using test::expect_error;
using test::write_file;

/// A child process that has run `set_up` and waits for its end.
class Child {
public:
    explicit Child(const std::function<bool()>& set_up)
    {
        std::array<int, 2> ends{};
        if (::pipe(ends.data()) != 0) return;
        pid_ = ::fork();
        if (pid_ == 0) {
            const char verdict = set_up() ? 'y' : 'n';
            if (::write(ends[1], &verdict, 1) != 1) ::_exit(1);
            for (;;) ::pause();
        }
        ::close(ends[1]);
        char verdict = 'n';
        ready_ = ::read(ends[0], &verdict, 1) == 1 && verdict == 'y';
        ::close(ends[0]);
    }
    ~Child() { end(); }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;

    void end()
    {
        if (pid_ > 0) ::kill(pid_, SIGKILL);
        if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
        ended_ = pid_;
        pid_ = -1;
    }

    [[nodiscard]] bool ready() const { return ready_; }
    [[nodiscard]] int pid() const { return pid_ > 0 ? pid_ : ended_; }

private:
    int pid_ = -1;
    int ended_ = -1;
    bool ready_ = false;
};

/// Two ends of a TCP connection over loopback, and the socket that accepted it.
struct Connection {
    explicit Connection(bool connect_too = true)
    {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* const where = reinterpret_cast<sockaddr*>(&address);
        good = ::bind(listener.get(), where, size) == 0 && ::listen(listener.get(), 1) == 0 &&
               ::getsockname(listener.get(), where, &size) == 0;
        if (!good || !connect_too) return;
        good = ::connect(client.get(), where, size) == 0;
        accepted = UniqueFd{::accept(listener.get(), nullptr, nullptr)};
        good = good && accepted.valid();
    }

    UniqueFd listener{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    UniqueFd client{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    UniqueFd accepted;
    bool good = false;
};

/// Into a network namespace of its own, with a loopback interface that is up.
bool enter_empty_network()
{
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0 && ::unshare(CLONE_NEWNET) != 0) return false;
    const UniqueFd socket{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    ifreq request{};
    std::memcpy(request.ifr_name, "lo", 3);
    request.ifr_flags = IFF_UP;
    return ::ioctl(socket.get(), SIOCSIFFLAGS, &request) == 0;
}

bool exists_in_root(int pid, const std::string& path) { return open_in_root(pid, path, O_PATH).valid(); }

constexpr const char* kNoNamespaces = "needs root or user namespaces for a network or a root of its own";

TEST(OpenTcpConnections, CountsBothEndsOfAConnection)
{
    const Connection connection;
    ASSERT_TRUE(connection.good) << std::strerror(errno);
    EXPECT_GE(open_tcp_connections_of(::getpid()), 2);
}

TEST(OpenTcpConnections, IsExactInANetworkOfItsOwn)
{
    const Child child{[] {
        static const Connection* connection = nullptr;
        if (!enter_empty_network()) return false;
        connection = new Connection;
        return connection->good;
    }};
    if (!child.ready()) GTEST_SKIP() << kNoNamespaces;
    EXPECT_EQ(open_tcp_connections_of(child.pid()), 2);
}

TEST(OpenTcpConnections, DoesNotCountListeningSockets)
{
    const Child child{[] {
        static const Connection* connection = nullptr;
        if (!enter_empty_network()) return false;
        connection = new Connection{false};
        return connection->good;
    }};
    if (!child.ready()) GTEST_SKIP() << kNoNamespaces;
    EXPECT_EQ(open_tcp_connections_of(child.pid()), 0);
}

TEST(OpenTcpConnections, OfAProcessThatHasEndedIsAConflict)
{
    Child child{[] { return true; }};
    ASSERT_TRUE(child.ready());
    child.end();
    expect_error(ErrorCode::conflict, [&child] { open_tcp_connections_of(child.pid()); });
}

TEST(OpenInRoot, FindsFilesDirectoriesAndLinks)
{
    const test::TempDir directory;
    write_file(directory / "file", "");
    fs::create_symlink(directory / "file", directory / "link");
    const auto exists = [](const fs::path& path) { return exists_in_root(::getpid(), path.string()); };
    EXPECT_TRUE(exists(directory / "file"));
    EXPECT_TRUE(exists(directory.path()));
    EXPECT_TRUE(exists(directory / "link"));
    EXPECT_TRUE(exists("/"));
}

TEST(OpenInRoot, DoesNotFindWhatIsNotThere)
{
    const test::TempDir directory;
    write_file(directory / "file", "");
    fs::create_symlink("nowhere", directory / "dangling");
    fs::create_symlink("loop", directory / "loop");
    const auto exists = [](const fs::path& path) { return exists_in_root(::getpid(), path.string()); };
    EXPECT_FALSE(exists(directory / "missing"));
    EXPECT_FALSE(exists(directory / "missing/below"));
    EXPECT_FALSE(exists(directory / "file/below"));
    EXPECT_FALSE(exists(directory / "dangling"));
    EXPECT_FALSE(exists(directory / "loop"));
}

TEST(OpenInRoot, DoesNotFollowTheKernelsMagicLinks) { EXPECT_FALSE(exists_in_root(::getpid(), "/proc/self/root/etc")); }

TEST(OpenInRoot, ResolvesLinksInsideTheRootOfTheProcess)
{
    const test::TempDir directory;
    write_file(directory / "outside", "");
    write_file(directory / "root/inside", "");
    fs::create_symlink("/inside", directory / "root/absolute");
    fs::create_symlink("../../inside", directory / "root/climbing");
    fs::create_symlink("../outside", directory / "root/escape");
    fs::create_symlink(directory / "outside", directory / "root/host");
    const std::string root = (directory / "root").string();
    const Child child{[&root] {
        const bool may = ::chroot(root.c_str()) == 0 || (::unshare(CLONE_NEWUSER) == 0 && ::chroot(root.c_str()) == 0);
        return may && ::chdir("/") == 0;
    }};
    if (!child.ready()) GTEST_SKIP() << kNoNamespaces;
    const auto exists = [&child](const char* path) { return exists_in_root(child.pid(), path); };
    EXPECT_TRUE(exists("/inside"));
    EXPECT_TRUE(exists("/absolute"));
    EXPECT_TRUE(exists("/climbing"));
    EXPECT_TRUE(exists("/../../inside"));
    EXPECT_FALSE(exists("/escape"));
    EXPECT_FALSE(exists("/host"));
    EXPECT_FALSE(exists("/../outside"));
}

TEST(OpenInRoot, OfAProcessThatHasEndedIsAConflict)
{
    Child child{[] { return true; }};
    ASSERT_TRUE(child.ready());
    child.end();
    expect_error(ErrorCode::conflict, [&child] { exists_in_root(child.pid(), "/"); });
}

TEST(InControlGroup, IsTrueForAPartOfItsPathAndFalseForAnother)
{
    EXPECT_TRUE(in_control_group(::getpid(), "/"));
    EXPECT_FALSE(in_control_group(::getpid(), std::string(64, 'a')));
}

TEST(InControlGroup, IsFalseForAProcessThatHasEnded)
{
    Child child{[] { return true; }};
    ASSERT_TRUE(child.ready());
    child.end();
    EXPECT_FALSE(in_control_group(child.pid(), "/"));
}

TEST(MemoryOfControlGroup, OfAProcessThatHasEndedIsAConflict)
{
    Child child{[] { return true; }};
    ASSERT_TRUE(child.ready());
    child.end();
    expect_error(ErrorCode::conflict, [&child] { memory_of_control_group(child.pid()); });
}

TEST(KillProcessTree, SparesAProcessThatMayNotBeKilled)
{
    const Child child{[] { return true; }};
    ASSERT_TRUE(child.ready());
    kill_process_tree(child.pid(), [](int) { return false; });
    EXPECT_EQ(::waitpid(child.pid(), nullptr, WNOHANG), 0);
}

TEST(KillProcessTree, OfNoProcessAsksForNone)
{
    bool asked = false;
    kill_process_tree(0, [&asked](int) {
        asked = true;
        return false;
    });
    EXPECT_FALSE(asked);
}

TEST(KillProcessTree, KillsAProcess)
{
    const Child child{[] { return true; }};
    ASSERT_TRUE(child.ready());
    kill_process_tree(child.pid(), [](int) { return true; });
    int status = 0;
    EXPECT_EQ(::waitpid(child.pid(), &status, 0), child.pid());
    EXPECT_EQ(WTERMSIG(status), SIGKILL);
}

}  // namespace
}  // namespace warmd
