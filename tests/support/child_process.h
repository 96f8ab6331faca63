#pragma once

#include <map>
#include <stop_token>
#include <string>
#include <vector>

#include "daemon/model/exec.h"

namespace warmd::test {

/// Starts `command` in `directory` as the leader of a new session, its output appended to `log`. Returns its
/// pid; 0 when it cannot be started.
int start_process(const std::vector<std::string>& command, const std::map<std::string, std::string>& env,
                  const std::string& directory, const std::string& log);

/// Runs `command` in `directory` as ContainerEngine::exec does in a container.
ExecResult run_process(const ExecRequest& command, const std::string& directory, Duration timeout,
                       const ExecOutput& output, std::stop_token stop);

}  // namespace warmd::test
