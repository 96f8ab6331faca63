#!/bin/bash
# Warm, checkpoint, restore, exec with GNU Octave, by warmctl.
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "$(dirname "$0")/lib.bash"

expect_contains "$(warmctl template list)" octave
progress=$(mktemp)
checkpoint=$(warmctl checkpoint octave 2> "$progress") || fail "checkpoint failed: $(cat "$progress")"
for phase in create start init ready export publish remove; do expect_contains "$(cat "$progress")" "$phase"; done
expect_contains "$(warmctl checkpoint list)" "$checkpoint"
expect_contains "$(warmctl checkpoint show "$checkpoint")" available
expect_equal "$(warmctl --json checkpoint show "$checkpoint" | json .sha256)" \
    "$(sha256sum "/var/lib/warmd/checkpoints/$checkpoint.tar" | cut -d' ' -f1)"
expect_equal "$(stat -c %a:%U "/var/lib/warmd/checkpoints/$checkpoint.tar")" 600:root

first=$(warmctl -q restore "$checkpoint")
second=$(warmctl -q restore octave)
expect_equal "$(exec_in "$first" matlab-bs -batch 'disp(sqrt(36))')" 6
expect_equal "$(exec_in "$second" matlab-bs -batch 'x = 41;')" ""
expect_equal "$(exec_in "$second" matlab-bs -batch 'disp(x + 1)')" 42
expect_equal "$(exec_in "$first" matlab-bs -batch 'disp(exist("x"))')" 0 "instances share a variable"

out=$(exec_in "$first" matlab-bs -batch "error('a:b', 'boom')" 2> "$progress")
expect_equal "$?:$out" "1:"
expect_contains "$(cat "$progress")" boom

# An instance that has been used becomes the next generation's checkpoint, variable and all.
generation2=$(warmctl -q checkpoint "$second")
third=$(warmctl -q restore "$generation2")
expect_equal "$(exec_in "$third" matlab-bs -batch 'disp(x)')" 41
expect_equal "$(api "$base/v1/instances/$second" | json .state)" terminated

# A cold start without a checkpoint.
warm=$(warmctl -q warm octave)
expect_equal "$(exec_in "$warm" matlab-bs -batch 'disp(1)')" 1
clean_up
finish
