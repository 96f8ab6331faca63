#!/bin/bash
# Bounds, pins, prune and df, and the space that stays free, on real checkpoints.
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "$(dirname "$0")/lib.bash"
use_templates counter "$sh_template
[retention]
max_count = 2"

available() { warmctl checkpoint list --json | jq -r 'select(.state == "available").id'; }
lines() { printf '%s\n' "$@"; }
new() { warmctl -q checkpoint counter; }
files() { find /var/lib/warmd/checkpoints /var/lib/warmd/tmp -type f | wc -l; }

first=$(new)
second=$(new)
before=$(warmctl status --json | json .last_event)
third=$(new)
expect_equal "$(available)" "$(lines "$third" "$second")"
expect_equal "$(curl -sN -m 2 --unix-socket $socket -H "Last-Event-ID: $before" $base/v1/events |
    sed -n 's/^data: //p' | jq -r "select(.subject == \"$first\" and .state == \"deleted\").reason")" "retention: superseded"
expect_equal "$(ls /var/lib/warmd/unpacked)" "$(lines "$second" "$third" | sort)"

# Pinned ones stay, whoever asks.
warmctl checkpoint pin "$second"
fourth=$(new)
fifth=$(new)
expect_equal "$(available)" "$(lines "$fifth" "$fourth" "$second")"
expect_contains "$(warmctl checkpoint rm "$second" 2>&1)" "is pinned"
expect_contains "$(warmctl checkpoint list)" pinned

# So does what a live instance came from, until that ends.
instance=$(warmctl -q restore "$fourth")
[ "$(warmctl checkpoint show "$fourth" --json | json .used_at)" != null ] || fail "a restore is no use"
sixth=$(new)
seventh=$(new)
expect_equal "$(available)" "$(lines "$seventh" "$sixth" "$fourth" "$second")"
exec_in "$instance" test -e /run/count || fail "the instance is gone"
warmctl -q instance rm "$instance"
eighth=$(new)
expect_equal "$(available)" "$(lines "$eighth" "$seventh" "$second")"

# What prune says and does, and df.
usage=$(warmctl df --json)
expect_equal "$(json '.templates[0] | "\(.template) \(.checkpoints) \(.pinned)"' <<< "$usage")" "counter 3 1"
expect_equal "$(json .tarball_bytes <<< "$usage")" "$(du -bc /var/lib/warmd/checkpoints/*.tar | tail -1 | cut -f 1)"
expect_equal "$(json .reclaimable_bytes <<< "$usage")" "$(stat -c %s "/var/lib/warmd/checkpoints/$seventh.tar")"
expect_equal "$(warmctl prune --dry-run --json | json '"\(.checkpoint) \(.why) \(.deleted)"')" "$seventh superseded false"
expect_equal "$(warmctl prune --yes --json | json '"\(.checkpoint) \(.why) \(.deleted)"')" "$seventh superseded true"
expect_equal "$(available)" "$(lines "$eighth" "$second")"
expect_equal "$(warmctl prune --yes 2>&1)" "warmctl: nothing to delete"
warmctl checkpoint unpin "$second"
expect_contains "$(warmctl prune --yes 2>&1)" "deleted 1 checkpoint,"
expect_equal "$(available)" "$eighth"

# A store with little space. Podman's own files lie elsewhere.
systemctl stop warmd 2> /dev/null
cp /etc/warmd/warmd.toml /tmp/warmd.toml.before 2> /dev/null
printf '[retention]\nmin_free_bytes = "100M"\n' > /etc/warmd/warmd.toml
mount -t tmpfs -o size=220m tmpfs /var/lib/warmd
systemctl start warmd
wait_until 30 ready
floor=$((100 << 20))
free() { echo $(($(stat -f -c '%a * %S' /var/lib/warmd))); }

kept=$(new)
instance=$(warmctl -q warm counter)
exec_in "$instance" dd if=/dev/urandom of=/big bs=1M count=150 status=none
out=$(warmctl checkpoint "$instance" 2>&1) && fail "150 MB fit into less than 120 with the floor"
expect_contains "$out" "bytes are missing"
expect_contains "$out" "warmctl prune"
[ "$(free)" -ge $floor ] || fail "the floor was taken"
expect_equal "$(files)" 2 "what did not fit has left something beside tarball and manifest of the other"
expect_equal "$(warmctl instance list --json | json 'select(.state == "idle").id')" "$instance"
exec_in "$instance" test -e /run/count || fail "the instance did not outlive its checkpoint"
warmctl -q instance rm "$instance"
expect_equal "$(warmctl df --json | json .reserved_bytes)" 0

dd if=/dev/zero of=/var/lib/warmd/ballast bs=1M count=$(($(free) / 1048576 - 101)) status=none
answer=$(api -w '\n%{http_code}' -X POST $base/v1/templates/counter/checkpoints)
expect_equal "${answer##*$'\n'}" 507
expect_equal "$(json .code <<< "${answer%$'\n'*}")" no_space
expect_contains "$(json .detail <<< "${answer%$'\n'*}")" "bytes are missing"
instance=$(warmctl -q restore "$kept") || fail "below the floor nothing can be restored"
warmctl -q instance rm "$instance"
rm /var/lib/warmd/ballast
new > /dev/null || fail "with space again no checkpoint can be made"

systemctl stop warmd 2> /dev/null
umount /var/lib/warmd
rm /etc/warmd/warmd.toml
[ ! -e /tmp/warmd.toml.before ] || mv /tmp/warmd.toml.before /etc/warmd/warmd.toml
systemctl start warmd
wait_until 30 ready

clean_up
finish
