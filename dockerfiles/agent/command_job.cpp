#include "dockerfiles/agent/command_job.h"

#include <signal.h>

#include <chrono>
#include <string>
#include <utility>

#include "daemon/base/process.h"

namespace warmd::agent {

CommandJob::CommandJob(Reactor& reactor, const ExecSpec& spec, Environment env, JobClient& client)
    : reactor_{reactor}, client_{client}, began_{std::chrono::steady_clock::now()}
{
    for (const auto& [name, value] : spec.env) env[name] = value;
    Pipe in;
    if (spec.input) in = make_pipe();
    Pipe out = make_pipe();
    Pipe err = make_pipe();
    const Spawned child = spawn({.command = spec.command,
                                 .env = std::move(env),
                                 .workdir = spec.workdir,
                                 .in = in.read.get(),
                                 .out = out.write.get(),
                                 .err = err.write.get()});
    if (child.pid == 0) {
        client_.output(FrameType::err, child.failure + "\n");
        client_.finished({.exit_status = child.failure_status});
        return;
    }
    pid_ = child.pid;
    if (spec.input) in_.emplace(reactor_, std::move(in.write));
    const auto reader = [this](Pipe& pipe, FrameType stream) {
        return std::make_unique<PipeReader>(reactor_, std::move(pipe.read), [this, stream](std::string_view bytes) {
            client_.output(stream, bytes);
            if (client_.congested()) {
                out_->pause(true);
                err_->pause(true);
            }
        });
    };
    out_ = reader(out, FrameType::out);
    err_ = reader(err, FrameType::err);
    if (spec.timeout) {
        deadline_ = reactor_.at(began_ + *spec.timeout, [this] {
            timed_out_ = true;
            kill();
        });
    }
}

CommandJob::~CommandJob()
{
    if (deadline_) reactor_.cancel(*deadline_);
    kill();
}

void CommandJob::ended(int wait_status)
{
    pid_ = 0;
    if (deadline_) reactor_.cancel(*std::exchange(deadline_, std::nullopt));  // a slow client keeps the job for longer
    // What the command itself wrote is in the pipes by now. What it left behind may hold them open for ever, and must
    // not write after the end.
    out_->drain();
    err_->drain();
    out_.reset();
    err_.reset();
    client_.finished({.exit_status = timed_out_ ? kStatusTimeout : exit_status_of(wait_status),
                      .timed_out = timed_out_,
                      .elapsed = elapsed_since(began_)});
}

void CommandJob::input(std::string_view bytes)
{
    if (in_) in_->write(bytes);
}

void CommandJob::end_input()
{
    if (in_) in_->finish();
}

void CommandJob::signal(int number)
{
    if (pid_ != 0) ::kill(-pid_, number);
}

void CommandJob::resume_output()
{
    if (out_) out_->pause(false);
    if (err_) err_->pause(false);
}

void CommandJob::kill()
{
    kill_process_tree(pid_, [](int pid) { return pid != 1; });
}

}  // namespace warmd::agent
