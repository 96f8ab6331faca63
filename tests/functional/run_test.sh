#!/bin/bash
# One-shot commands: streams, status, standard input, time limit, Ctrl-C, where the instance comes from, and nothing left.
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "$(dirname "$0")/lib.bash"
octave=$(cat /usr/share/warmd/templates/octave.toml)
use_templates octave "$octave"
err=$(mktemp)
nothing_lives() { [ "$(api "$base/v1/instances" | json '.items | length')" = 0 ]; }

# Without a checkpoint and without a pool.
expect_equal "$(warmctl run octave --code 'disp(sqrt(36))' 2> "$err")" 6
expect_equal "$(cat "$err")" "warmctl: no warm instance was idle: started one cold"
wait_until 30 nothing_lives
warmctl -q checkpoint octave > /dev/null
expect_equal "$(warmctl run octave --code 'disp(sqrt(36))' 2> "$err")" 6
expect_contains "$(cat "$err")" "warmctl: no warm instance was idle: restored one ("
wait_until 30 nothing_lives

# Streams, status and input.
out=$(warmctl -q run octave -- sh -c 'echo out; echo err >&2; exit 42' 2> "$err")
expect_equal "$?:$out:$(cat "$err")" "42:out:err"
expect_equal "$(printf '\xff\x00words' | warmctl -q run octave -i -- od -An -tx1)" " ff 00 77 6f 72 64 73"
expect_equal "$(warmctl -q run --env WORD='a b' --workdir /usr octave -- sh -c "echo \"\$WORD\" \"\$PWD\"")" "a b /usr"
warmctl -q run octave --code 'exit(3)'
expect_equal $? 3 "exit(3)"
warmctl -q run octave -- no-such-program 2> /dev/null
expect_equal $? 127 "a program that is not there"
expect_equal "$(warmctl --json -q run octave --code '1;' | json 'select(.type == "start").instance[:5]')" inst-
warmctl -q run no-such-template --code '1;' 2> "$err"
expect_equal $? 125 "a template that is not there"
wait_until 30 nothing_lives

# Time limit, Ctrl-C, and a client that vanishes.
warmctl -q run --timeout 300ms octave --code 'while true, x = 1; end'
expect_equal $? 124 "a time limit"
started() { grep -q started "$err"; }
for how in INT KILL; do
    warmctl -q run octave --code "disp('started'), while true, x = 0; end" > "$err" &
    client=$!
    wait_until 30 started
    kill -$how $client
    wait $client 2> /dev/null
    status=$?
    [ $how != INT ] || expect_equal $status 130 "Ctrl-C"
    wait_until 30 nothing_lives
done

# From a pool, each time another instance.
use_templates octave "$octave

[pool]
min_idle = 2"
idle() { [ "$(api $base/v1/pools/octave | json .idle)" -ge 1 ]; }
for number in 1 2 3; do
    wait_until 60 idle
    expect_equal "$(warmctl run octave --code "disp(exist('x')), x = 1;" 2> "$err"):$(cat "$err")" "0:" "run $number from the pool"
done
wait_until 60 idle
expect_equal "$(warmctl pool list | awk '$1 == "octave" { print $7 }')" 2 "min_idle in the list of pools"
expect_contains "$(warmctl pool show octave)" "filled from"

# A lease keeps one instance.
read -r lease instance < <(warmctl lease acquire octave --ttl 5m)
warmctl lease exec "$lease" --code 'x = 41;'
expect_equal "$(warmctl lease exec "$lease" --code 'disp(x + 1)')" 42
expect_equal "$(warmctl lease list | awk -v id="$lease" '$1 == id { print $3 }')" "$instance"
expect_contains "$(warmctl lease heartbeat "$lease")" T
warmctl lease release "$lease" || fail "the lease cannot be released"
warmctl lease exec "$lease" --code 1 2> /dev/null
expect_equal $? 125 "exec in a released lease"

use_templates octave "$octave"  # so that nothing is refilled
rm "$err"
clean_up
finish
