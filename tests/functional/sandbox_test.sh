#!/bin/bash
# What the installed unit takes away from warmd, and that what docs/sandbox.md gives back comes back.
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "$(dirname "$0")/lib.bash"
use_templates counter "$sh_template"
pid() { systemctl show -P MainPID warmd; }

exposure=$(systemd-analyze security --no-pager warmd | sed -n 's/.*exposure level for warmd.service: \([0-9.]*\).*/\1/p')
echo "exposure of warmd.service: $exposure of 10"
[ -n "$exposure" ] || fail "systemd-analyze does not tell the exposure"
systemd-analyze security --no-pager --threshold=20 warmd > /dev/null || fail "the exposure is above 2.0: $exposure"

# Not only in the unit: what the process has.
expect_equal "$(sed -n 's/^CapBnd:\t//p' "/proc/$(pid)/status")" 0000000000080022 "SYS_PTRACE, KILL, DAC_OVERRIDE"
expect_equal "$(sed -n 's/^NoNewPrivs:\t//p' "/proc/$(pid)/status")" 1
expect_equal "$(sed -n 's/^Seccomp:\t//p' "/proc/$(pid)/status")" 2
# By the same view of files as the daemon's.
inside() { nsenter --mount --target "$(pid)" -- "$@"; }
inside touch /etc/warmd/mine 2> /dev/null && fail "warmd can write to /etc"
inside touch /sys/fs/cgroup/mine 2> /dev/null && fail "warmd can write to the control groups"
inside ls /root/functional-test 2> /dev/null && fail "warmd sees root's home"
inside test -w /var/lib/warmd || fail "warmd cannot write to its store"

# Another store: refused by the sandbox, with the reason, and fine with the drop-in.
mkdir -p /srv/warmd /run/systemd/system/warmd.service.d /run/systemd/system/warmd.socket.d
[ -e /etc/warmd/warmd.toml ] && mv /etc/warmd/warmd.toml /tmp/warmd.toml.kept
printf '[store]\ndirectory = "/srv/warmd"\n' > /etc/warmd/warmd.toml
since=$(date '+%F %T')
systemctl restart warmd 2> /dev/null && fail "warmd wrote to a store that its sandbox does not have"
expect_contains "$(journalctl -u warmd --since "$since" --no-pager)" "Read-only file system"
printf '[Service]\nReadWritePaths=/srv/warmd\n' > /run/systemd/system/warmd.service.d/store.conf
systemctl daemon-reload
restart_warmd
checkpoint=$(warmctl -q checkpoint counter)
[ -e "/srv/warmd/checkpoints/$checkpoint.tar" ] || fail "the checkpoint is not in the other store"
warmctl -q checkpoint rm "$checkpoint"

# TCP: likewise.
token=$(cat /proc/sys/kernel/random/uuid)
printf '[api]\ntcp = "127.0.0.1:8642"\n[tokens.test]\nrole = "read"\nsha256 = "%s"\n' "$(printf %s "$token" | sha256sum | cut -d' ' -f1)" \
    > /etc/warmd/warmd.toml
since=$(date '+%F %T')
systemctl reset-failed warmd
systemctl restart warmd 2> /dev/null && fail "warmd opened a port in spite of its sandbox"
expect_contains "$(journalctl -u warmd --since "$since" --no-pager)" "let systemd open it"
printf '[Socket]\nListenStream=127.0.0.1:8642\n' > /run/systemd/system/warmd.socket.d/tcp.conf
systemctl daemon-reload
systemctl stop warmd
systemctl restart warmd.socket
restart_warmd
expect_equal "$(curl -sS -o /dev/null -w '%{http_code}' http://127.0.0.1:8642/v1/status)" 401
expect_equal "$(curl -sS -H "Authorization: Bearer $token" http://127.0.0.1:8642/v1/whoami | json .role)" read

rm -r /etc/warmd/warmd.toml /srv/warmd /run/systemd/system/warmd.service.d/store.conf /run/systemd/system/warmd.socket.d
[ -e /tmp/warmd.toml.kept ] && mv /tmp/warmd.toml.kept /etc/warmd/warmd.toml
rmdir --ignore-fail-on-non-empty /run/systemd/system/warmd.service.d
systemctl daemon-reload
systemctl stop warmd
systemctl restart warmd.socket
restart_warmd
clean_up
finish
