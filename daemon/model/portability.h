#pragma once

#include <map>
#include <string>
#include <vector>

#include "daemon/model/difference.h"

// Whether what was dumped on one host can be restored on another. CRIU restores registers, system call results and
// addresses as they were: the application goes on as if it had never left its host, with what it had found out about
// that one when it started, above all which instructions the processor has.
//
// Blocking is what makes a restore fail for certain, or succeed and go wrong later:
//  - another architecture; instructions that the processor lacks (SIGILL, at any time after the restore); a smaller
//    XSAVE area (the kernel then drops the upper halves of the vector registers without a word);
//  - images of a newer CRIU: it reads those of older ones, and fails on fields that it does not know;
//  - another runtime: crun and runc describe mounts and namespaces to CRIU in ways of their own;
//  - a kernel with a CRIU that is known not to get along with it.
// Everything else is told and blocks nothing. In particular the kernel: CRIU restores from one release to another, and
// hosts get a new one every few weeks.

namespace warmd {

/// By the names of Checkpoint::environment.
using Environment = std::map<std::string, std::string>;

/// In which ways `here` is not what was `recorded`. What one of them does not know is no difference: records of earlier
/// versions have fewer members.
std::vector<Difference> compare_hosts(const Environment& recorded, const Environment& here);

/// Of the flags of a processor, separated by spaces, those that `compare_hosts` asks for: without the words for what
/// only kernels use. In their order.
std::vector<std::string> flags_that_count(const std::string& flags);

}  // namespace warmd
