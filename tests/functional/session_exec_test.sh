#!/bin/bash
# Code in a warm Octave session: a drop-in for `matlab -batch`, from outside and from inside the container.
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "$(dirname "$0")/lib.bash"
use_templates octave "$(cat /usr/share/warmd/templates/octave.toml)"
checkpoint=$(warmctl -q checkpoint octave)
id=$(warmctl -q restore "$checkpoint")
err=$(mktemp)
bs() { exec_in "$id" matlab-bs -batch "$1"; }
code() { warmctl exec "$id" --code "$1"; }

# Statuses and streams.
expect_equal "$(code 'disp(sqrt(36))')" 6
out=$(bs "disp('before'), error('a:b', 'boom')" 2> "$err")
expect_equal "$?:$out" "1:before" "an error"
expect_contains "$(cat "$err")" boom
expect_contains "$(cat "$err")" a:b
bs 'exit(3)'
expect_equal $? 3 "exit(3)"
bs 'exit(0)'
expect_equal $? 0 "exit(0)"
bs 'x = [' 2> "$err"
expect_equal $? 1 "a syntax error"
expect_contains "$(cat "$err")" "parse error"
expect_equal "$(bs "fprintf(2, 'to stderr'); fprintf(1, 'to stdout')" 2> "$err"):$(cat "$err")" "to stdout:to stderr"
expect_equal "$(warmctl --json exec "$id" --code '1;' | json 'select(.type == "exit").path')" agent

# 10 MB, whole and in order.
expected=$(seq 1 200000 | awk '{printf "%09d-%041d\n", $1, $1}' | sha256sum)
expect_equal "$(bs "for k = 1:2000, fprintf('%09d-%041d\\n', [1;1] * ((k - 1) * 100 + (1:100))); end" | sha256sum)" \
    "$expected" "10 MB of output"

# As a fresh process would see it: folder, environment, path. Variables stay.
expect_equal "$(warmctl exec --env WORD='a b=c' --workdir /usr "$id" --code "disp(getenv('WORD')), disp(pwd), x = 41; cd /; addpath('/etc')")" \
    "$(printf 'a b=c\n/usr')"
expect_equal "$(code "disp(isempty(getenv('WORD'))), disp(pwd), disp(x + 1), disp(any(strfind(path, '/etc')))")" \
    "$(printf '1\n/\n42\n0')"
expect_equal "$(podman exec -e WORD=inside -w /tmp "warmd-$id" matlab-bs -batch "disp(getenv('WORD')), disp(pwd)")" \
    "$(printf 'inside\n/tmp')"
podman exec "warmd-$id" matlab-bs -batch 'exit(7)'
expect_equal $? 7 "exit(7) through podman exec"
for stage in -wait-start -wait-init -wait-ready ''; do
    # shellcheck disable=SC2086  # nothing is one of the arguments
    podman exec "warmd-$id" matlab-bs-wait $stage || fail "matlab-bs-wait $stage"
done
podman exec "warmd-$id" matlab-bs-wait -wait-for-ever 2> /dev/null
expect_equal $? 2 "an unknown option of matlab-bs-wait"

expect_output_early "$id" code "disp('early'), while ~exist('/tmp/go', 'file'), pause(0.01); end, disp('late')"

# One document instead of a stream, with the time that it took.
answer=$(api -D "$err" -H 'Accept: application/json' -H 'Content-Type: application/json' \
    -d '{"code": "disp(1), error(\"e\")"}' "$base/v1/instances/$id/exec")
expect_equal "$(json '"\(.exit_status) \(.stdout)\(.path)"' <<< "$answer")" "$(printf '1 1\nagent')"
expect_contains "$(json .stderr <<< "$answer")" "error: e"
expect_contains "$(cat "$err")" 'Server-Timing: exec;desc="agent";dur='

# Ctrl-C interrupts the code, and the session goes on.
warmctl exec "$id" --code "disp('started'), while true, x = 0; end" > "$err" &
client=$!
started() { grep -q started "$err"; }
wait_until 10 started
kill -INT $client
wait $client
expect_equal $? 130 "Ctrl-C"
expect_equal "$(code "disp(x)")" 0 "after Ctrl-C"

# So does a time limit, and the vanishing of its client.
warmctl -q exec --timeout 300ms "$id" --code 'while true, x = 1; end'
expect_equal $? 124 "a time limit"
expect_equal "$(api "$base/v1/instances/$id" | json .state)" idle
: > "$err"
warmctl exec "$id" --code "x = 2; disp('started'), while true, y = 1; end" > "$err" &
client=$!
wait_until 10 started
kill -9 $client
wait $client 2> /dev/null
expect_equal "$(code 'disp(x)')" 2 "after a client that vanished"

# A session that does not stop is killed, and the instance says so.
# shellcheck disable=SC2016  # expanded in the container
exec_in "$id" bash -c 'kill -STOP $(pgrep octave)'
warmctl -q exec --timeout 300ms "$id" --code '1;'
expect_equal $? 124 "a stopped session"
expect_equal "$(api "$base/v1/instances/$id" | json .state)" terminated
expect_contains "$(api "$base/v1/instances/$id" | json .reason)" "took longer than 300ms"

# Code that ends the process ends the instance, with its status.
id=$(warmctl -q restore "$checkpoint")
code "builtin('exit', 5)"
expect_equal $? 5 "builtin exit"
expect_contains "$(api "$base/v1/instances/$id" | json '.state + ": " + .reason')" "terminated: a command ended its session"
rm "$err"
clean_up
finish
