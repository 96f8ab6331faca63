#include "dockerfiles/agent/connection.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

namespace warmd::agent {

namespace {
// What may wait for a slow client before the command has to.
constexpr std::size_t kCongestion = 256 * 1024;
}  // namespace

Connection::Connection(Agent& agent, UniqueFd fd) : agent_{agent}, fd_{std::move(fd)}
{
    agent_.reactor().watch(fd_.get(), POLLIN, [this](short events) { on_events(events); });
}

Connection::~Connection()
{
    if (deadline_) agent_.reactor().cancel(*deadline_);
    agent_.reactor().unwatch(fd_.get());
}

void Connection::on_events(short events)
{
    if ((events & POLLOUT) != 0) flush();
    if (!closed_ && (events & (POLLIN | POLLHUP | POLLERR)) != 0) read();
}

void Connection::read()
{
    std::array<char, kMaxData> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by recv
    const ssize_t count = ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) {
        close();
        return;
    }
    reader_.write({buffer.data(), static_cast<std::size_t>(count)});
    try {
        while (const auto frame = closed_ ? std::nullopt : reader_.next()) take(*frame);
    } catch (const Error& error) {
        refused(error);
    }
}

void Connection::take(const Frame& frame)
{
    switch (frame.type) {
    case FrameType::request:
        if (asked_) throw Error{ErrorCode::invalid_argument, "a connection takes one request"};
        asked_ = true;
        take_request(decode_request(frame.payload));
        return;
    case FrameType::input:
        if (job_ == nullptr) return;
        if (frame.payload.empty()) job_->end_input();
        else job_->input(frame.payload);
        return;
    case FrameType::signal:
        if (frame.payload.size() != 1) throw Error{ErrorCode::invalid_argument, "a signal is one byte"};
        if (job_ != nullptr) job_->signal(static_cast<unsigned char>(frame.payload.front()));
        return;
    case FrameType::out:
    case FrameType::err:
    case FrameType::reply: throw Error{ErrorCode::invalid_argument, "a frame that only the agent sends"};
    }
}

void Connection::take_request(const Request& request)
{
    switch (request.op) {
    case Op::ping: reply(encode(agent_.pong())); return;
    case Op::start:
        agent_.start(request.env);
        reply("{}");
        return;
    case Op::ready:
        awaited_ = request.until;
        if (request.timeout) {
            deadline_ = agent_.reactor().at(std::chrono::steady_clock::now() + *request.timeout, [this] {
                deadline_.reset();
                awaited_.reset();
                refused(Error{ErrorCode::timeout, "the application has not come so far in its time"});
            });
        }
        state_changed();
        return;
    case Op::exec: {
        // A command that cannot be run is finished before there is a job.
        std::unique_ptr<Job> job = agent_.begin(request.exec, *this);
        if (!replied_) job_ = std::move(job);
        return;
    }
    case Op::quiesce:
        agent_.quiesce(*this);
        reply("{}");
        return;
    case Op::resumed:
        agent_.resume(request.hostname, request.env, [self = std::weak_ptr{self_}](const std::string& tmpdir) {
            if (const auto connection = self.lock()) (*connection)->reply(encode_resumed(tmpdir));
        });
        return;
    }
}

void Connection::state_changed()
{
    if (!awaited_) return;
    const State state = agent_.pong().state;
    if (state == State::ended) {
        awaited_.reset();
        refused(Error{ErrorCode::not_ready, "the application has ended"});
    } else if (state == State::initialised || (state == State::starting && *awaited_ == Stage::start)) {
        awaited_.reset();
        reply("{}");
    }
}

void Connection::output(FrameType stream, std::string_view bytes)
{
    for (std::size_t at = 0; at < bytes.size(); at += kMaxData) send(stream, bytes.substr(at, kMaxData));
}

bool Connection::congested() const { return pending_.size() > kCongestion; }

void Connection::finished(const ExecOutcome& outcome) { reply(encode(outcome)); }

void Connection::refused(const Error& error) { reply(encode_error(error)); }

void Connection::reply(const std::string& payload)
{
    if (replied_) return;
    replied_ = true;
    send(FrameType::reply, payload);
}

void Connection::send(FrameType type, std::string_view payload)
{
    if (closed_) return;
    pending_ += encode_frame(type, payload);
    flush();
}

void Connection::flush()
{
    while (!pending_.empty()) {
        const ssize_t count = ::send(fd_.get(), pending_.data(), pending_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count > 0) pending_.erase(0, static_cast<std::size_t>(count));
        else if (errno == EAGAIN) break;
        else if (errno != EINTR) return close();
    }
    if (pending_.empty() && replied_) return close();
    agent_.reactor().set_events(fd_.get(), pending_.empty() ? short{POLLIN} : short{POLLIN | POLLOUT});
    if (job_ != nullptr && !congested()) job_->resume_output();
}

void Connection::close()
{
    if (closed_) return;
    closed_ = true;
    agent_.retire(*this);
}

}  // namespace warmd::agent
