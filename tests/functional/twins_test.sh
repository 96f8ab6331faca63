#!/bin/bash
# Instances of one checkpoint are different from each other, also where Podman alone restored them; and hooks run.
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "$(dirname "$0")/lib.bash"
octave=$(cat /usr/share/warmd/templates/octave.toml)
use_templates hooked "$octave

[[hooks.before_checkpoint]]
code = \"steps = 'first';\"
[[hooks.before_checkpoint]]
command = [\"matlab-bs\", \"-batch\", \"steps = [steps ' second'];\"]
[[hooks.after_restore]]
code = \"steps = [steps ' third'];\"
[[hooks.after_restore]]
command = [\"touch\", \"/tmp/restored\"]" \
    failing "$octave

[[hooks.before_checkpoint]]
code = \"error('not today')\"" \
    late "$octave

[[hooks.after_restore]]
code = \"while true, end\"
timeout = \"300ms\""

traits="disp(rand), disp(randn), disp(tempname), disp(tempdir), disp(getenv('HOSTNAME')), disp(getenv('TMPDIR')), system('hostname; cat /proc/sys/kernel/random/uuid; mktemp');"
different() {  # A B: no line is the same
    local a=() b=() i
    mapfile -t a <<< "$1"; mapfile -t b <<< "$2"
    [ ${#a[@]} -ge 9 ] || fail "only ${#a[@]} lines: $1"
    for i in "${!a[@]}"; do [ "${a[i]}" != "${b[i]}" ] || fail "both have ${a[i]}"; done
}

checkpoint=$(warmctl -q checkpoint hooked) || fail "checkpoint failed"
first=$(warmctl -q restore "$checkpoint")
second=$(warmctl -q restore "$checkpoint")
of_first=$(warmctl exec "$first" --code "$traits")
of_second=$(warmctl exec "$second" --code "$traits")
different "$of_first" "$of_second"
expect_contains "$of_first" "$first"

podman container restore --import "/var/lib/warmd/checkpoints/$checkpoint.tar" --name by-hand > /dev/null
by_hand=$(podman exec by-hand matlab-bs -batch "disp(rand), disp(tempname)")
expect_equal "$(head -1 <<< "$of_first" | grep -cFx -- "$(head -1 <<< "$by_hand")")" 0 "rand after a restore by hand"
expect_contains "$by_hand" /tmp/warm-
podman rm -f -t 0 by-hand > /dev/null

expect_equal "$(warmctl exec "$first" --code 'disp(steps)')" "first second third"
exec_in "$first" test -e /tmp/restored || fail "the second hook after the restore did not run"
phases=$(api "$base/v1/instances/$first" | json '[.phases[].name] | join(" ")')
expect_equal "$phases" "restore verify resume after_restore"
expect_contains "$(warmctl --json checkpoint show "$checkpoint" | json '[.phases[].name] | join(" ")')" "before_checkpoint export"

# A hook that fails is the operation's failure, and leaves nothing.
out=$(warmctl checkpoint failing 2>&1)
expect_equal $? 1
expect_contains "$out" "the hook before_checkpoint failed"
expect_contains "$out" "not today"
id=$(warmctl -q warm failing)
warmctl -q checkpoint "$id" 2> /dev/null
expect_equal "$(api "$base/v1/instances/$id" | json .state)" idle "after a checkpoint that its hook refused"
expect_equal "$(warmctl exec "$id" --code 'disp(1)')" 1
checkpoint=$(warmctl -q checkpoint late)
out=$(warmctl restore "$checkpoint" 2>&1)
expect_equal $? 1
expect_contains "$out" "took longer than 300ms"
clean_up
finish
