#!/bin/bash
# The tarball in the catalog is a plain Podman export: Podman alone restores it, and the state goes on.
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "$(dirname "$0")/lib.bash"
use_templates counter "$sh_template"

warm=$(warmctl -q warm octave)
exec_in "$warm" matlab-bs -batch 'kept = 41;'
checkpoint=$(warmctl -q checkpoint "$warm")
podman container restore --import "/var/lib/warmd/checkpoints/$checkpoint.tar" --name by-hand > /dev/null
expect_equal "$(podman exec by-hand matlab-bs -batch 'disp(kept + 1)')" 42
podman rm -f -t 0 by-hand > /dev/null

# A counter in memory goes on from where it was.
source=$(warmctl -q warm counter)
before=$(exec_in "$source" cat /run/count)
checkpoint=$(warmctl -q checkpoint "$source")
podman container restore --import "/var/lib/warmd/checkpoints/$checkpoint.tar" --name by-hand > /dev/null
count() { podman exec by-hand cat /run/count; }
at_once=$(count)
[ "$at_once" -ge "$before" ] || fail "the counter started again: $before, then $at_once"
moved_on() { [ "$(count)" -gt "$at_once" ]; }
wait_until 10 moved_on

# It still carries warmd's labels, but not warmd's name: the sweep at a start leaves it alone.
restart_warmd
expect_equal "$(podman inspect by-hand --format '{{.State.Status}}')" running
podman rm -f -t 0 by-hand > /dev/null
clean_up
finish
