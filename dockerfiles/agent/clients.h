#pragma once

#include <string>
#include <vector>

// The commands that the agent's program is under other names (links to it in the image): thin clients of its
// socket. Each returns the exit status.

namespace warmd::agent {

/// matlab-bs -batch CODE: as `matlab -batch`, in the warm session.
int matlab_bs(const std::vector<std::string>& arguments);
/// matlab-bs-wait [-wait-start | -wait-init | -wait-ready].
int matlab_bs_wait(const std::vector<std::string>& arguments);
/// warm-exec CODE: evaluates code in the session, whatever its language.
int warm_exec(const std::vector<std::string>& arguments);

}  // namespace warmd::agent
