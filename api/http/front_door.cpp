#include "api/http/front_door.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <list>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <utility>

#include "api/http/error_response.h"
#include "daemon/base/error.h"
#include "daemon/base/guarded.h"
#include "daemon/base/id.h"
#include "daemon/base/scope_exit.h"
#include "daemon/base/text.h"

namespace warmd::http {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kSweep{250};        // how exact deadlines are
constexpr std::chrono::milliseconds kAcceptPause{100};  // where accept failed for want of something
constexpr std::chrono::milliseconds kLinger{1000};      // for a refused client to read why
constexpr std::chrono::milliseconds kLastWord{1000};    // for who has connected to a server that stops, to say what for
constexpr std::size_t kReadSize = 16U * 1024U;          // bytes
constexpr std::uint64_t kWake = 0;                      // epoll's name for the eventfd; listeners follow
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

std::string_view phrase(int status)
{
    switch (status) {
    case 400: return "Bad Request";
    case 408: return "Request Timeout";
    case 411: return "Length Required";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 431: return "Request Header Fields Too Large";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: return "Refused";
    }
}

std::string busy(const std::string& what, bool close)
{
    return raw_response(error_response(Error{ErrorCode::busy, what}.with_hint("try again later"), new_id("req-")),
                        close);
}

std::vector<gid_t> groups_of(int socket)
{
    std::vector<gid_t> groups(64);
    while (true) {
        auto size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
        const int result = ::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size);
        if (result != 0 && errno == ERANGE && size / sizeof(gid_t) > groups.size()) {
            groups.resize(size / sizeof(gid_t));
            continue;
        }
        groups.resize(result == 0 ? size / sizeof(gid_t) : 0);
        return groups;
    }
}

/// Nothing where the kernel does not say who it is: such a connection cannot be trusted with anything.
std::optional<Peer> peer_of(int socket)
{
    Peer peer;
    sockaddr_storage address{};
    socklen_t size = sizeof(address);
    // NOLINTNEXTLINE(*-reinterpret-cast): the way of the sockets API
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    if (::getsockname(socket, generic, &size) != 0) return std::nullopt;
    if (address.ss_family == AF_UNIX) {
        ucred credentials{};
        size = sizeof(credentials);
        if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return std::nullopt;
        peer.uid = credentials.uid;
        peer.gid = credentials.gid;
        peer.groups = groups_of(socket);
        return peer;
    }
    size = sizeof(address);
    std::array<char, NI_MAXHOST> host{};
    if (::getpeername(socket, generic, &size) != 0 ||
        ::getnameinfo(generic, size, host.data(), host.size(), nullptr, 0, NI_NUMERICHOST) != 0) {
        return std::nullopt;
    }
    peer.via = Peer::Via::tcp;
    peer.address = host.data();
    const int yes = 1;
    ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    return peer;
}

/// Client connections above the 1,024 descriptors that select(2) can handle, which the HTTP library uses for its own
/// connections to Podman.
int out_of_the_way(int socket)
{
    const int high = ::fcntl(socket, F_DUPFD_CLOEXEC, FD_SETSIZE);
    if (high < 0) return socket;
    ::close(socket);
    return high;
}

/// Writes all, waiting for the client up to `patience` whenever it does not read.
bool write_all(int socket, std::string_view bytes, std::chrono::milliseconds patience)
{
    while (!bytes.empty()) {
        const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent > 0) {
            bytes.remove_prefix(static_cast<std::size_t>(sent));
            continue;
        }
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno != EAGAIN) return false;
        pollfd ready{.fd = socket, .events = POLLOUT, .revents = 0};
        const int count = ::poll(&ready, 1, static_cast<int>(patience.count()));
        if (count == 0 || (count < 0 && errno != EINTR)) return false;
    }
    return true;
}

/// Numbers of connections by user.
class Census {
public:
    int enter(const Peer& peer) { return ++counts_[key(peer)]; }
    void leave(const Peer& peer)
    {
        const auto entry = counts_.find(key(peer));
        if (--entry->second == 0) counts_.erase(entry);
    }

private:
    static std::int64_t key(const Peer& peer) { return peer.via == Peer::Via::tcp ? -1 : std::int64_t{peer.uid}; }
    std::unordered_map<std::int64_t, int> counts_;
};

}  // namespace

std::string raw_response(const Response& response, bool close)
{
    std::string text = "HTTP/1.1 " + std::to_string(response.status) + " " + std::string{phrase(response.status)} +
                       "\r\n";
    const auto put = [&text](std::string_view name, std::string_view value) {
        text.append(name).append(": ").append(value).append("\r\n");
    };
    for (const auto& [name, value] : response.headers) put(name, value);
    put("Content-Type", response.content_type);
    put("Content-Length", std::to_string(response.body.size()));
    put("Cache-Control", "no-store");
    if (close) put("Connection", "close");
    return text + "\r\n" + response.body;
}

class FrontDoor::Loop {
public:
    Loop(std::vector<UniqueFd> listeners, FrontDoorOptions options, PaceOf pace_of, Serve serve);
    ~Loop();
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;

    void run();
    void wait_for_turn();
    void turn_away();
    void stop();

private:
    enum class State { reading, working, writing, lingering };

    struct Connection {
        std::uint64_t id = 0;
        UniqueFd socket;
        Peer peer;
        State state = State::reading;
        std::string in;
        std::optional<RequestHead> head;  // of the request that `in` begins with
        bool continued = false;           // its client was asked for the body
        bool used = false;                // a request came over it
        std::string out;
        std::size_t written = 0;  // of `out`
        bool close_after = false;
        std::stop_source stop;  // of the request in progress
        Clock::time_point deadline;
    };

    struct Job {
        std::uint64_t connection = 0;
        int socket = -1;  // owned by the connection, which outlives the job
        Exchange exchange;
        std::string out;
    };

    struct Completion {
        std::uint64_t connection = 0;
        std::string out;
        bool keep = false;
        std::optional<std::list<std::jthread>::iterator> thread;  // of a lengthy request
    };

    void watch(std::uint64_t name, int fd, std::uint32_t events, int operation) const;
    void accept_all(const UniqueFd& listener);
    void admit(UniqueFd socket);
    void set_listening(bool listening);
    void read_from(Connection& connection);
    void advance(Connection& connection);
    void begin(Connection& connection);
    void begin_lengthy(Connection& connection, std::shared_ptr<Job> job);
    void answer(Connection& connection, std::string out, bool close);
    void refuse(Connection& connection, int status, const Error& error);
    void write_to(Connection& connection);
    void linger(Connection& connection);
    void hang_up(Connection& connection);
    void close(Connection& connection);
    void handle(std::uint64_t name, std::uint32_t events);
    void sweep();
    void settle();
    static bool expects_answer(const Connection& connection);
    bool wind_down();

    void work();
    bool serve(Job& job) noexcept;
    void complete(Completion completion);

    const FrontDoorOptions options_;
    const PaceOf pace_of_;
    const Serve serve_;
    std::vector<UniqueFd> listeners_;
    UniqueFd epoll_;
    UniqueFd wake_;

    // Of the epoll thread alone.
    std::unordered_map<std::uint64_t, std::unique_ptr<Connection>> connections_;
    std::vector<std::unique_ptr<Connection>> closed_;  // until the events at hand are handled
    Census census_;
    std::uint64_t next_id_;
    std::size_t buffered_ = 0;
    bool listening_ = true;
    bool winding_down_ = false;
    Clock::time_point listen_again_{};
    Clock::time_point end_{};  // of winding down
    Clock::time_point next_sweep_{};
    std::list<std::jthread> threads_;

    std::atomic<bool> accepting_ = true;
    std::atomic<bool> stopping_ = false;
    std::atomic<bool> running_ = false;
    std::atomic<unsigned> turns_ = 0;
    Guarded<std::vector<Completion>> completions_;

    std::mutex mutex_;
    std::condition_variable changed_;
    // State below is protected by mutex_.
    std::deque<std::shared_ptr<Job>> queue_;
    bool workers_end_ = false;

    std::vector<std::jthread> workers_;
};

FrontDoor::Loop::Loop(std::vector<UniqueFd> listeners, FrontDoorOptions options, PaceOf pace_of, Serve serve)
    : options_{options},
      pace_of_{std::move(pace_of)},
      serve_{std::move(serve)},
      listeners_{std::move(listeners)},
      epoll_{::epoll_create1(EPOLL_CLOEXEC)},
      wake_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)},
      next_id_{1 + listeners_.size()}
{
    if (!epoll_.valid() || !wake_.valid()) throw system_error("make an epoll", errno);
    watch(kWake, wake_.get(), EPOLLIN, EPOLL_CTL_ADD);
    for (std::size_t i = 0; i < listeners_.size(); ++i) watch(1 + i, listeners_[i].get(), EPOLLIN, EPOLL_CTL_ADD);
    for (int i = 0; i < options_.workers; ++i) workers_.emplace_back([this] { work(); });
}

FrontDoor::Loop::~Loop()
{
    {
        const std::scoped_lock lock{mutex_};
        workers_end_ = true;
    }
    changed_.notify_all();
    for (const auto& [id, connection] : connections_) connection->stop.request_stop();
    threads_.clear();
    workers_.clear();
}

void FrontDoor::Loop::watch(std::uint64_t name, int fd, std::uint32_t events, int operation) const
{
    epoll_event event{};
    event.events = events;
    event.data.u64 = name;
    if (::epoll_ctl(epoll_.get(), operation, fd, &event) != 0) throw system_error("watch a connection", errno);
}

void FrontDoor::Loop::set_listening(bool listening)
{
    if (listening_ == listening) return;
    listening_ = listening;
    for (std::size_t i = 0; i < listeners_.size(); ++i) {
        watch(1 + i, listeners_[i].get(), listening ? EPOLLIN : 0U, EPOLL_CTL_MOD);
    }
}

void FrontDoor::Loop::accept_all(const UniqueFd& listener)
{
    constexpr int kAtOnce = 64;  // then those that are connected have their turn
    for (int i = 0; i < kAtOnce; ++i) {
        const int socket = ::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (socket >= 0) {
            admit(UniqueFd{out_of_the_way(socket)});
            continue;
        }
        if (errno == EAGAIN) return;
        if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO) continue;
        spdlog::warn("cannot accept a connection: {}", std::generic_category().message(errno));
        set_listening(false);
        listen_again_ = Clock::now() + kAcceptPause;
        next_sweep_ = listen_again_;
        return;
    }
}

void FrontDoor::Loop::admit(UniqueFd socket)
{
    auto connection = std::make_unique<Connection>();
    connection->id = next_id_++;
    connection->socket = std::move(socket);
    const std::optional<Peer> peer = peer_of(connection->socket.get());
    if (!peer) return;
    connection->peer = *peer;
    connection->deadline = Clock::now() + options_.idle;
    watch(connection->id, connection->socket.get(), EPOLLIN, EPOLL_CTL_ADD);
    Connection& entered = *connections_.emplace(connection->id, std::move(connection)).first->second;
    const int of_peer = census_.enter(entered.peer);
    const bool root = entered.peer.via == Peer::Via::socket && entered.peer.uid == 0;
    const auto total = static_cast<int>(connections_.size());
    if (total > options_.connections || (!root && of_peer > options_.connections / 2)) {
        answer(entered, busy("there are too many connections", true), true);
    }
}

void FrontDoor::Loop::read_from(Connection& connection)
{
    std::array<char, kReadSize> bytes{};
    const ssize_t count = ::recv(connection.socket.get(), bytes.data(), bytes.size(), 0);
    if (count < 0) {
        if (errno != EAGAIN && errno != EINTR) close(connection);
        return;
    }
    if (count == 0) return close(connection);
    if (connection.state == State::lingering) return;
    if (connection.in.empty()) connection.deadline = Clock::now() + options_.complete_within;
    connection.in.append(bytes.data(), static_cast<std::size_t>(count));
    buffered_ += static_cast<std::size_t>(count);
    if (buffered_ > options_.memory) {
        return refuse(connection, 503, Error{ErrorCode::busy, "too many requests are being sent at once"});
    }
    advance(connection);
}

/// Goes on with what has been read.
void FrontDoor::Loop::advance(Connection& connection)
{
    try {
        if (!connection.head) connection.head = read_head(connection.in);
    } catch (const Refusal& refusal) {
        return refuse(connection, refusal.status(), refusal);
    }
    if (!connection.head) return;
    if (connection.in.size() >= connection.head->size + connection.head->body) return begin(connection);
    if (connection.head->awaits_continue && !std::exchange(connection.continued, true)) {
        // Lost where the socket has no room, which a client that waits for it survives: it sends the body anyway.
        static_cast<void>(::send(connection.socket.get(), kContinue.data(), kContinue.size(), MSG_NOSIGNAL));
    }
}

/// Hands a complete request on.
void FrontDoor::Loop::begin(Connection& connection)
{
    auto job = std::make_shared<Job>();
    const std::size_t size = connection.head->size + connection.head->body;
    job->connection = connection.id;
    job->socket = connection.socket.get();
    job->exchange.body = connection.in.substr(connection.head->size, connection.head->body);
    job->exchange.head = std::move(*connection.head);
    job->exchange.peer = connection.peer;
    connection.in.erase(0, size);
    if (connection.in.empty()) connection.in.shrink_to_fit();
    buffered_ -= size;
    connection.head.reset();
    connection.continued = false;
    connection.used = true;
    connection.stop = std::stop_source{};
    if (winding_down_) connection.stop.request_stop();
    job->exchange.stop = connection.stop.get_token();
    connection.state = State::working;
    // What comes next stays in the kernel. That the client is gone is told: with a Unix socket it then is in both
    // directions, with TCP one cannot know, and no client of HTTP ends its side alone.
    watch(connection.id, connection.socket.get(), connection.peer.via == Peer::Via::tcp ? EPOLLRDHUP : 0U,
          EPOLL_CTL_MOD);

    if (pace_of_(job->exchange.head) == Pace::lengthy) return begin_lengthy(connection, std::move(job));
    bool room = false;
    {
        const std::scoped_lock lock{mutex_};
        room = queue_.size() < options_.waiting;
        if (room) queue_.push_back(std::move(job));
    }
    if (room) changed_.notify_one();
    else answer(connection, busy("too many requests wait for their turn", false), false);
}

void FrontDoor::Loop::begin_lengthy(Connection& connection, std::shared_ptr<Job> job)
{
    if (static_cast<int>(threads_.size()) >= options_.streams) {
        return answer(connection,
                      busy("there are " + std::to_string(options_.streams) + " requests that stream or wait", false),
                      false);
    }
    const auto thread = threads_.emplace(threads_.end());
    try {
        *thread = std::jthread{[this, job = std::move(job), thread] {
            job->exchange.write = [this, socket = job->socket](std::string_view bytes) {
                return write_all(socket, bytes, options_.read_within);
            };
            const bool keep = serve(*job);
            complete({.connection = job->connection, .out = {}, .keep = keep, .thread = thread});
        }};
    } catch (const std::system_error& error) {
        threads_.erase(thread);
        spdlog::error("cannot start a thread: {}", error.what());
        answer(connection, busy("there are too many threads", false), false);
    }
}

void FrontDoor::Loop::answer(Connection& connection, std::string out, bool close)
{
    connection.out = std::move(out);
    connection.written = 0;
    connection.close_after = close;
    connection.state = State::writing;
    connection.deadline = Clock::now() + options_.read_within;
    write_to(connection);
}

void FrontDoor::Loop::refuse(Connection& connection, int status, const Error& error)
{
    Response response = error_response(error, new_id("req-"), status);
    spdlog::debug("request_id={} refused: {} {}", response.headers["X-Request-Id"], status, printable(error.what()));
    answer(connection, raw_response(response, true), true);
}

void FrontDoor::Loop::write_to(Connection& connection)
{
    while (connection.written < connection.out.size()) {
        const ssize_t sent = ::send(connection.socket.get(), connection.out.data() + connection.written,
                                    connection.out.size() - connection.written, MSG_NOSIGNAL);
        if (sent > 0) {
            connection.written += static_cast<std::size_t>(sent);
        } else if (errno == EAGAIN) {
            return watch(connection.id, connection.socket.get(), EPOLLOUT, EPOLL_CTL_MOD);
        } else if (errno != EINTR) {
            return close(connection);
        }
    }
    connection.out = {};
    if (connection.close_after || winding_down_) return linger(connection);
    connection.state = State::reading;
    connection.deadline = Clock::now() + (connection.in.empty() ? options_.idle : options_.complete_within);
    watch(connection.id, connection.socket.get(), EPOLLIN, EPOLL_CTL_MOD);
    if (!connection.in.empty()) advance(connection);  // requests may be sent without waiting for answers
}

/// Closes once the client has, or soon: closing at once with unread bytes would take the answer away from it.
void FrontDoor::Loop::linger(Connection& connection)
{
    ::shutdown(connection.socket.get(), SHUT_WR);
    connection.state = State::lingering;
    connection.deadline = Clock::now() + kLinger;
    watch(connection.id, connection.socket.get(), EPOLLIN, EPOLL_CTL_MOD);
}

/// The client of a request in progress is gone: the connection is closed when the request has ended.
void FrontDoor::Loop::hang_up(Connection& connection)
{
    connection.stop.request_stop();
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, connection.socket.get(), nullptr);
    connection.close_after = true;
}

void FrontDoor::Loop::close(Connection& connection)
{
    buffered_ -= connection.in.size();
    census_.leave(connection.peer);
    const auto entry = connections_.find(connection.id);
    connection.socket.reset();
    // Callers up the stack still hold a reference.
    closed_.push_back(std::move(entry->second));
    connections_.erase(entry);
}

void FrontDoor::Loop::handle(std::uint64_t name, std::uint32_t events)
{
    if (name == kWake) {
        eventfd_t ignored = 0;
        ::eventfd_read(wake_.get(), &ignored);
        if (!accepting_) set_listening(false);
        return;
    }
    if (name <= listeners_.size()) {
        if (listening_) accept_all(listeners_[name - 1]);
        return;
    }
    const auto entry = connections_.find(name);
    if (entry == connections_.end()) return;
    Connection& connection = *entry->second;
    switch (connection.state) {
    case State::working: return hang_up(connection);
    case State::writing: return write_to(connection);
    case State::reading:
    case State::lingering:
        if ((events & EPOLLIN) != 0) read_from(connection);
        else close(connection);
    }
}

/// What is over time.
void FrontDoor::Loop::sweep()
{
    const Clock::time_point now = Clock::now();
    if (now < next_sweep_) return;
    next_sweep_ = now + (listening_ ? kSweep : kAcceptPause);
    if (!listening_ && accepting_ && now >= listen_again_) set_listening(true);
    std::vector<Connection*> late;
    for (const auto& [id, connection] : connections_) {
        if (connection->state != State::working && now >= connection->deadline) late.push_back(connection.get());
    }
    for (Connection* const connection : late) {
        if (connection->state == State::reading && !connection->in.empty()) {
            refuse(*connection, 408,
                   Error{ErrorCode::timeout, "the request was not complete in time"}.with_hint(
                       "send it as a whole within 5 seconds"));
        } else {
            close(*connection);
        }
    }
}

/// Takes the answers that the workers have finished.
void FrontDoor::Loop::settle()
{
    for (Completion& completion : completions_.with([](auto& list) { return std::exchange(list, {}); })) {
        if (completion.thread) threads_.erase(*completion.thread);  // it has nothing left to do but end
        const auto entry = connections_.find(completion.connection);
        if (entry == connections_.end()) continue;
        Connection& connection = *entry->second;
        if (connection.close_after) close(connection);  // hung up
        else answer(connection, std::move(completion.out), !completion.keep);
    }
}

/// A client that has begun a request, or has just connected in order to: it would take a closed connection for a
/// failure. One between two requests knows that a server may close.
bool FrontDoor::Loop::expects_answer(const Connection& connection)
{
    char byte = 0;
    return !connection.used || !connection.in.empty() ||
           ::recv(connection.socket.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/// True when nothing is left to be done.
bool FrontDoor::Loop::wind_down()
{
    const Clock::time_point now = Clock::now();
    if (!winding_down_) {
        winding_down_ = true;
        end_ = now + options_.complete_within;
        std::vector<Connection*> idle;
        for (const auto& [id, connection] : connections_) {
            if (connection->state != State::reading) connection->stop.request_stop();
            else if (!expects_answer(*connection)) idle.push_back(connection.get());
            else if (connection->in.empty()) connection->deadline = std::min(connection->deadline, now + kLastWord);
        }
        for (Connection* const connection : idle) close(*connection);
    }
    // What is still being read has a deadline of its own, after which `sweep` ends it.
    return std::none_of(connections_.begin(), connections_.end(), [this, now](const auto& entry) {
        const State state = entry.second->state;
        return state == State::working || (now < end_ && (state == State::writing || state == State::reading));
    });
}

void FrontDoor::Loop::run()
{
    running_ = true;
    const ScopeExit ended{[this] {
        running_ = false;
        running_.notify_all();
        ++turns_;
        turns_.notify_all();
    }};
    std::array<epoll_event, 256> events{};
    while (!stopping_ || !wind_down()) {
        const bool timed = !connections_.empty() || !listening_;
        const auto pause = static_cast<int>((listening_ ? kSweep : kAcceptPause).count());
        const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                                       timed ? pause : -1);
        for (int i = 0; i < count; ++i) {
            const epoll_event& event = events.at(static_cast<std::size_t>(i));
            handle(event.data.u64, event.events);
        }
        settle();
        sweep();
        closed_.clear();
        ++turns_;
        turns_.notify_all();
    }
}

void FrontDoor::Loop::wait_for_turn()
{
    const unsigned now = turns_;
    if (!running_) return;
    ::eventfd_write(wake_.get(), 1);
    turns_.wait(now);
}

void FrontDoor::Loop::turn_away()
{
    accepting_ = false;
    ::eventfd_write(wake_.get(), 1);
}

void FrontDoor::Loop::stop()
{
    stopping_ = true;
    turn_away();
    running_.wait(true);
}

void FrontDoor::Loop::work()
{
    while (true) {
        std::shared_ptr<Job> job;
        {
            std::unique_lock lock{mutex_};
            changed_.wait(lock, [this] { return workers_end_ || !queue_.empty(); });
            if (queue_.empty()) return;
            job = std::move(queue_.front());
            queue_.pop_front();
        }
        job->exchange.write = [&out = job->out](std::string_view bytes) {
            out += bytes;
            return true;
        };
        const bool keep = serve(*job);
        complete({.connection = job->connection, .out = std::move(job->out), .keep = keep, .thread = {}});
    }
}

bool FrontDoor::Loop::serve(Job& job) noexcept
{
    try {
        return serve_(job.exchange);
    } catch (const std::exception& error) {
        spdlog::error("{} {}: {}", job.exchange.head.method, printable(job.exchange.head.target, 200),
                      printable(error.what()));
        return false;
    }
}

void FrontDoor::Loop::complete(Completion completion)
{
    completions_.with([&completion](auto& list) { list.push_back(std::move(completion)); });
    ::eventfd_write(wake_.get(), 1);
}

FrontDoor::FrontDoor(std::vector<UniqueFd> listeners, FrontDoorOptions options, PaceOf pace_of, Serve serve)
    : loop_{std::make_unique<Loop>(std::move(listeners), options, std::move(pace_of), std::move(serve))}
{
}
FrontDoor::~FrontDoor() { stop(); }
void FrontDoor::run() { loop_->run(); }
void FrontDoor::wait_for_turn() { loop_->wait_for_turn(); }
void FrontDoor::turn_away() { loop_->turn_away(); }
void FrontDoor::stop() { loop_->stop(); }

}  // namespace warmd::http
