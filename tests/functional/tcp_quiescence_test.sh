#!/bin/bash
# Ready means that no TCP connection is open in the container's network namespace; listening is allowed.
# shellcheck disable=SC2016  # what is in single quotes expands in the container
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "$(dirname "$0")/lib.bash"
use_templates talkative 'image = "localhost/warmd/debian:13"
command = ["perl", "-MSocket", "-e", "socket(my $l, PF_INET, SOCK_STREAM, 0); bind($l, sockaddr_in(7000, INADDR_LOOPBACK)) or die; listen($l, 5); socket(my $c, PF_INET, SOCK_STREAM, 0); connect($c, sockaddr_in(7000, INADDR_LOOPBACK)) or die; accept(my $s, $l); mkdir q(/run/warm); open(F, q(>), q(/run/warm/initialised)); close F; select(undef, undef, undef, 0.05) until -e q(/run/warm/hang-up); setsockopt($_, SOL_SOCKET, SO_LINGER, pack(q(ii), 1, 0)) for $s, $c; close $s; close $c; sleep 1 while 1"]
[warm]
quiet_for = "100ms"
[warm.initialised]
file = "/run/warm/initialised"
timeout = "20s"
[warm.ready]
timeout = "30s"'

operation=$(warmctl warm --no-wait talkative)
in_ready() { [ "$(api "$base/v1/operations/$operation" | json .phase)" = ready ]; }
wait_until 20 in_ready
# Half a second in which it must not become ready: the connection is still there.
expect_equal "$(api "$base/v1/operations/$operation?wait=500ms" | json .state)" running
id=$(api "$base/v1/operations/$operation" | json .instance)
podman exec "warmd-$id" touch /run/warm/hang-up
warmctl -q operation wait "$operation" > /dev/null || fail "it did not become ready"
expect_equal "$(api "$base/v1/instances/$id" | json .state)" idle

# And with the connections gone, CRIU can dump it: a listening socket is no obstacle.
checkpoint=$(warmctl -q checkpoint "$id") || fail "the checkpoint failed"
warmctl -q restore "$checkpoint" > /dev/null || fail "the restore failed"

# One that never becomes quiet is a clear failure, and leaves nothing.
sed -i 's/^timeout = "30s"/timeout = "500ms"/' /etc/warmd/templates.d/talkative.toml
restart_warmd
out=$(warmctl warm talkative 2>&1)
expect_equal $? 1
expect_contains "$out" "TCP connections are still open"
clean_up
finish
