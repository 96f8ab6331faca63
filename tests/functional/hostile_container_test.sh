#!/bin/bash
# What lies where the agent listens is the container's to choose: nothing that it plants there leads warmd out of it.
# shellcheck disable=SC2016  # what is in single quotes expands in the container
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "$(dirname "$0")/lib.bash"

# A socket of the host, in a directory that the template mounts: whoever connects to it is counted.
mkdir -p /run/outside
perl -MSocket -e 'socket(my $s, PF_UNIX, SOCK_STREAM, 0); unlink "/run/outside/socket"; bind($s, pack_sockaddr_un("/run/outside/socket"))
    or die; listen($s, 5); open(my $f, ">", "/run/outside/listens"); close $f; while (accept(my $c, $s)) { my $b; sysread($c, $b, 5)
    and do { open(my $f, ">", "/run/outside/was-asked"); close $f } }' &
server=$!
wait_until 10 test -e /run/outside/listens
use_templates hostile 'image = "localhost/warmd/octave:latest"
[[mounts]]
source = "/run/outside"
target = "/outside"
read_only = false'

id=$(warmctl -q warm hostile)
plant() { podman exec "warmd-$id" sh -c "rm -f /run/warm/agent.sock; $1"; }
refused() {  # WORDS
    local out
    out=$(warmctl exec "$id" --code '1;' 2>&1)
    expect_equal $? 125 "$out"
    expect_contains "$out" "$1"
}
expect_equal "$(warmctl exec "$id" --code 'disp(1)')" 1

plant 'ln -s /outside/socket /run/warm/agent.sock'
refused "is not in container"
[ ! -e /run/outside/was-asked ] || fail "the host's socket was sent a request"
plant 'ln -s ../../../../../../run/podman/podman.sock /run/warm/agent.sock'
refused "cannot be reached"
plant 'ln -s /proc/1/root/run/podman/podman.sock /run/warm/agent.sock'
refused "cannot be reached"
plant 'ln -s /proc/self/fd/1 /run/warm/agent.sock'
refused "cannot be reached"
plant 'ln -s agent.sock /run/warm/agent.sock'
refused "cannot be reached"
plant 'mkfifo /run/warm/agent.sock'
refused "it is no socket"
plant ':'
refused "cannot be reached"

# Programs still run, the slower way, and the answer says so.
expect_equal "$(warmctl --json exec "$id" -- true | json 'select(.type == "exit") | "\(.exit_status) \(.path)"')" "0 podman"

# Garbage instead of the protocol.
podman exec -d "warmd-$id" perl -MSocket -e 'socket(my $s, PF_UNIX, SOCK_STREAM, 0); bind($s, pack_sockaddr_un("/run/warm/agent.sock"));
    listen($s, 5); while (accept(my $c, $s)) { syswrite($c, "HTTP/1.1 200 OK\r\n\r\n" x 100); close $c }'
listens() { podman exec "warmd-$id" test -S /run/warm/agent.sock; }
wait_until 10 listens
refused "agent"
expect_equal "$(status_of $base/healthz)" 200
kill $server
rm -r /run/outside
clean_up
finish
