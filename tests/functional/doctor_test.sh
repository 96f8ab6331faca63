#!/bin/bash
# What is taken away from this machine, the doctor finds, and its fix brings it back. Missing packages, whose fix asks the
# Internet, are tried on fresh machines: tests/packages/run.
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "$(dirname "$0")/lib.bash"
forget_templates
restart_warmd

doctor() { warmctl doctor --json; }
finding() { jq -c --arg check "$1" '.findings[] | select(.check == $check)'; }
status_of_check() { doctor | finding "$1" | json .status; }

# expect_fixed CHECK: it is a problem; what the finding says is done, and then it is none.
expect_fixed() {
    local found fix
    found=$(doctor | finding "$1")
    expect_equal "$(json .status <<< "$found")" problem "$1: $(json .found <<< "$found")"
    expect_equal "$(doctor > /dev/null; echo $?)" 1
    fix=$(json .fix <<< "$found")
    echo "$1: $(json .found <<< "$found"): $fix"
    bash -c "$fix" > /dev/null || fail "the fix of $1 fails: $fix"
    wait_until 30 test "$(status_of_check "$1")" = ok
}

# A machine in order: no problem, CRIU's own check made, and nothing of the probe left.
unnamed() { podman images -q --filter dangling=true | sort; }
before=$(unnamed)
found=$(doctor)
expect_equal "$(json .status <<< "$found" | sed s/advice/ok/)" ok "$(jq -c '.findings[] | select(.status == "problem")' <<< "$found")"
expect_equal "$(finding probe <<< "$found" | json .status)" ok
expect_equal "$(finding criu_check <<< "$found" | json .status)" ok "as root"
expect_equal "$(api $base/v1/doctor | finding criu_check | json .status)" skipped "in the service"
expect_equal "$(podman ps -aq --filter label=warmd.probe)" ""
expect_equal "$(unnamed)" "$before" "images of probes"

# The first cycle after the boot has been made, and no second one.
expect_equal "$(api $base/v1/status | json .priming.state)" "done"
primed=$(cat /run/warmd/primed)
restart_warmd
expect_equal "$(cat /run/warmd/primed)" "$primed"
rm /run/warmd/primed
restart_warmd
wait_until 30 test -s /run/warmd/primed
expect_equal "$(api $base/v1/status | json .priming.state)" "done"

# Podman's socket.
systemctl stop podman.socket podman.service
expect_equal "$(status_of_check probe)" skipped
expect_fixed podman

# Control groups of version 1 beside version 2: CRIU must not be tried while it could see them.
mkdir -p /mnt/v1
if mount -t cgroup -o pids cgroup /mnt/v1 2> /dev/null; then
    expect_equal "$(status_of_check probe)" skipped
    expect_fixed cgroups
else
    echo "cgroups: not tried, a version 1 hierarchy cannot be mounted here"
fi
rmdir /mnt/v1

# A full disk.
systemctl stop warmd 2> /dev/null
mount -t tmpfs -o size=400m tmpfs /var/lib/warmd
systemctl start warmd
wait_until 30 ready
checkpoint=$(warmctl checkpoint octave)
instance=$(warmctl restore "$checkpoint" --path linked)
warmctl instance rm "$instance"
dd if=/dev/zero of=/var/lib/warmd/ballast bs=1M 2> /dev/null
expect_equal "$(stat -f -c %a /var/lib/warmd)" 0
expect_equal "$(status_of_check store_space)" problem
expect_contains "$(doctor | finding store_space | json .fix)" "warmctl prune"
warmctl checkpoint rm "$checkpoint" || fail "a checkpoint cannot be deleted on a full disk"
expect_equal "$(warmctl checkpoint list --json | wc -l)" 0
[ "$(stat -f -c %a /var/lib/warmd)" -gt 0 ] || fail "the deletion has made no room"
rm /var/lib/warmd/ballast
[ "$(status_of_check store_space)" != problem ] || fail "a store with room is still a problem"
systemctl stop warmd 2> /dev/null
umount /var/lib/warmd

# The daemon itself: root still gets everything else.
systemctl stop warmd warmd.socket 2> /dev/null
expect_fixed warmd
wait_until 30 ready

clean_up
finish
