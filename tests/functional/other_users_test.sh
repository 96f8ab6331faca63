#!/bin/bash
# Applications that are not root: what each capability of the sandbox that root in a container does not need is for.
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "$(dirname "$0")/lib.bash"
use_templates other 'image = "localhost/warmd/debian:13"
user = "nobody"
command = ["bash", "-c", "umask 077; mkdir /tmp/private; touch /tmp/private/initialised; while :; do sleep 0.2; done"]
[warm]
quiet_for = "50ms"
[warm.initialised]
file = "/tmp/private/initialised"
timeout = "10s"'

# A condition in a directory that is its user's alone: CAP_DAC_READ_SEARCH or CAP_DAC_OVERRIDE.
id=$(warmctl -q warm other) || fail "a file in a private directory is not seen"
expect_equal "$(exec_in "$id" id -un)" nobody

# A command of that user that is out of time: CAP_KILL.
warmctl exec --timeout 500ms "$id" -- sleep 4711 2> /dev/null
expect_equal $? 124
expect_equal "$(pgrep -f 'sleep 4711')" "" "the command lives on"
clean_up
finish
