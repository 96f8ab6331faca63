#pragma once

#include <stop_token>
#include <string>

#include "daemon/model/checkpoint.h"
#include "daemon/model/instance.h"
#include "daemon/model/template.h"
#include "daemon/service/exec.h"

namespace warmd {

/// What the template's canary answers in the instance, whatever the instance's state: its exit status, and of its
/// standard output the size and the sum. Not the output itself, which may hold what the catalog must not. Throws
/// Error{not_ready} when it takes too long, and what an exec throws. The template must have a canary.
std::string ask_canary(Exec& exec, const Template& from, const Instance& instance, std::stop_token stop);

/// Asks it in a restored copy and throws Error{corrupt} when the answer is not the one from before the dump. Does
/// nothing where there is no such answer, or the template is not the one any more that the checkpoint was made of.
void require_same_answer(Exec& exec, const Template& from, const Checkpoint& checkpoint, const Instance& copy,
                         std::stop_token stop);

}  // namespace warmd
