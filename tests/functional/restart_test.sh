#!/bin/bash
# Instances and checkpoints outlive the daemon; what it was doing when it died is taken back.
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "$(dirname "$0")/lib.bash"
use_templates counter "$sh_template" slow 'image = "localhost/warmd/debian:13"
command = ["sleep", "infinity"]
[warm.initialised]
file = "/never"
timeout = "5m"'

checkpoint=$(warmctl -q checkpoint counter)
id=$(warmctl -q restore "$checkpoint")
exec_in "$id" touch /tmp/mine

restart_warmd
expect_equal "$(exec_in "$id" ls /tmp/mine)" /tmp/mine
expect_equal "$(warmctl --json checkpoint show "$checkpoint" | json .state)" available

warming() { podman ps --format '{{.Names}}' | grep -c ^warmd- | grep -qx "$1"; }
for signal in KILL TERM; do
    operation=$(warmctl warm --no-wait slow)
    wait_until 10 warming 2
    systemctl kill --signal=$signal warmd
    if [ $signal = TERM ]; then restart_warmd; fi
    wait_until 20 ready
    expect_equal "$(api "$base/v1/operations/$operation" | json '.state + " " + .error.code')" "failed interrupted" "after $signal"
    wait_until 10 warming 1
    expect_equal "$(exec_in "$id" ls /tmp/mine)" /tmp/mine
done

# One whose container ends while warmd runs is known as terminated long before the next sweep.
ended=$(warmctl -q restore "$checkpoint")
podman kill "warmd-$ended" > /dev/null
is_terminated() { [ "$(api "$base/v1/instances/$1" | json .state)" = terminated ]; }
wait_until 10 is_terminated "$ended"

# An idle instance whose container ended while nobody looked.
systemctl stop warmd
podman rm -f -t 0 "warmd-$id" > /dev/null
restart_warmd
expect_equal "$(api "$base/v1/instances/$id" | json .state)" terminated

# A tarball that went missing is not offered any more.
rm "/var/lib/warmd/checkpoints/$checkpoint.tar"
restart_warmd
expect_equal "$(warmctl --json checkpoint show "$checkpoint" | json .state)" quarantined
out=$(warmctl restore "$checkpoint" 2>&1)
expect_equal $? 1
expect_contains "$out" quarantined

# Access: the group's members, and nobody else.
expect_equal "$(stat -c '%a %U:%G' $socket)" "660 root:warmd"
clean_up
finish
