#pragma once

#include "daemon/model/finding.h"
#include "daemon/model/portability.h"

namespace warmd {

/// What the doctor says of a machine.
struct DoctorReport {
    Findings findings;
    Environment environment;  // what a checkpoint that is made there records; empty while Podman does not answer
};

}  // namespace warmd
