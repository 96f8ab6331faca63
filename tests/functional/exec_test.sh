#!/bin/bash
# A command's streams, status, time limit and end.
# shellcheck disable=SC2016  # what is in single quotes expands in the container
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "$(dirname "$0")/lib.bash"
use_templates counter "$sh_template"
id=$(warmctl -q warm counter)
err=$(mktemp)

out=$(exec_in "$id" bash -c 'echo out; echo err >&2; exit 42' 2> "$err")
expect_equal "$?:$out:$(cat "$err")" "42:out:err"
exec_in "$id" no-such-program 2> /dev/null
expect_equal $? 127
expect_equal "$(warmctl exec --env WORD='a b' --workdir /usr "$id" -- bash -c 'echo "$WORD" $PWD')" "a b /usr"
expect_equal "$(exec_in "$id" printf '\xff\x00\xfe' | od -An -tx1)" " ff 00 fe" "bytes that are not text"
expect_equal "$(exec_in "$id" bash -c 'head -c 10000000 /dev/zero' | wc -c)" 10000000

alive() { exec_in "$id" bash -c "grep -s ^State: /proc/\$(cat /tmp/pid)/status | grep -qv Z"; }
dead() { ! alive; }

warmctl -q exec --timeout 300ms "$id" -- bash -c 'trap "" TERM; echo $$ > /tmp/pid; while :; do sleep 600 & wait; done'
expect_equal $? 124 "the time limit"
dead || fail "the command outlived its time limit"

# A client that vanishes takes its command with it.
warmctl exec "$id" -- bash -c 'echo $$ > /tmp/pid; echo started; while :; do echo more; sleep 0.1; done' > "$err" &
client=$!
started() { grep -q started "$err"; }
wait_until 10 started
kill -9 $client
wait_until 15 dead

expect_output_early "$id" exec_in "$id" bash -c 'echo early; until [ -e /tmp/go ]; do sleep 0.05; done; echo late'

warmctl -q instance rm "$id"
exec_in "$id" true 2> "$err"
expect_equal $? 125 "exec in a terminated instance"
expect_contains "$(cat "$err")" terminated
clean_up
finish
