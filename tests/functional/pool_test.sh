#!/bin/bash
# A pool with real Podman: it fills itself, two hundred leases in a row each get an instance of their own, a dead client's
# instance ends, a new checkpoint drains, frozen ones get no CPU time; and nothing is left.
source "$(dirname "$0")/lib.bash"

namespaces() { lsns --noheadings --raw --type net --output NS | wc -l; }
pool() { api $base/v1/pools/sh | json "$1"; }
has_idle() { [ "$(pool .idle)" = "$1" ] && [ "$(pool .filling)" = 0 ] && [ "$(pool .draining)" = 0 ]; }
lease() { api -X POST -H 'Content-Type: application/json' -d "$1" $base/v1/pools/sh/leases; }
in_lease() {  # LEASE COMMAND...: what it prints
    local id=$1; shift
    jq -nc '{command: $ARGS.positional}' --args -- "$@" | api -X POST -H 'Content-Type: application/json' \
        -H 'Accept: application/json' -d @- "$base/v1/leases/$id/exec" | json .stdout
}
state_of() { api "$base/v1/instances/$1" | json .state; }
is_terminated() { [ "$(state_of "$1")" = terminated ]; }

use_templates sh "$sh_template
[pool]
min_idle = 4
max_size = 4"
before=$(namespaces)
expect_contains "$(pool .held_back)" 'no available checkpoint'
first=$(warmctl -q checkpoint sh)
wait_until 30 has_idle 4

# Each once, and each clean.
declare -A seen
for ((i = 0; i < 200; i++)); do
    answer=$(lease '{"wait": "30s"}')
    id=$(json .id <<< "$answer") instance=$(json .instance <<< "$answer")
    [ -z "${seen[$instance]:-}" ] || fail "instance $instance was leased twice"
    seen[$instance]=1
    if ((i % 10 == 0)); then
        expect_equal "$(in_lease "$id" sh -c 'ls /tmp/used 2>/dev/null; touch /tmp/used; echo mine')" mine
    fi
    expect_equal "$(api -X DELETE "$base/v1/leases/$id" | json .state)" released
done
expect_equal "${#seen[@]}" 200
wait_until 60 has_idle 4
expect_equal "$(podman ps -a --format '{{.Names}}' | grep -c ^warmd-)" 4 'containers'
expect_equal "$(namespaces)" $((before + 4)) 'network namespaces'
expect_equal "$(find /var/lib/warmd/tmp -mindepth 1 | wc -l)" 0 'files in tmp'

# No command without a lease.
idle=$(api "$base/v1/instances" | json '.items[0].id')
expect_equal "$(status_of -X POST -H 'Content-Type: application/json' -d '{"command": ["true"]}' "$base/v1/instances/$idle/exec")" 409

# A client that says nothing more loses its instance.
answer=$(lease '{"ttl": "1s"}')
instance=$(json .instance <<< "$answer")
expect_equal "$(state_of "$instance")" leased
wait_until 20 is_terminated "$instance"
expect_equal "$(api "$base/v1/leases/$(json .id <<< "$answer")" | json .state)" expired

# So does one that goes away during a run.
timeout -s KILL 2 warmctl -q run sh -- sleep 1000
no_lease() { [ "$(api $base/v1/leases | json '.items | length')" = 0 ]; }
wait_until 20 no_lease

# Leases and idle instances outlive warmd.
wait_until 30 has_idle 4
id=$(lease '{"ttl": "1m"}' | json .id)
restart_warmd
expect_equal "$(in_lease "$id" echo still here)" 'still here'
expect_equal "$(api -X DELETE "$base/v1/leases/$id" | json .state)" released

# A newer checkpoint.
second=$(warmctl -q checkpoint sh)
of_second() { [ "$(api $base/v1/instances | json ".items[].checkpoint" | sort | uniq -c | xargs)" = "4 $second" ]; }
wait_until 60 of_second
warmctl -q checkpoint rm "$first"

# Idle ones at rest: the loop of the template writes a counter every 200 ms.
use_templates sh "$sh_template
[pool]
min_idle = 1
max_size = 1
frozen = true"
wait_until 60 has_idle 1
name=$(api $base/v1/instances | json '.items[0].container_name')
pid=$(podman inspect "$name" --format '{{.State.Pid}}')
group=/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$pid/cgroup")
expect_equal "$(cat "$group/cgroup.freeze")" 1
expect_equal "$(warmctl -q run sh -- echo thawed)" thawed

warmctl -q checkpoint rm "$second"
wait_until 30 has_idle 0
clean_up
expect_equal "$(namespaces)" "$before" 'network namespaces'
expect_equal "$(find /var/lib/warmd/unpacked -mindepth 1 | wc -l)" 0 'unpacked images'
finish
