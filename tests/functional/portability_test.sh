#!/bin/bash
# A checkpoint and a host that it does not fit, with real Podman and CRIU: an image that was removed, and a catalog that says
# that the checkpoint was made elsewhere. Refused with what differs, forced, put right, and made anew by itself.
source "$(dirname "$0")/lib.bash"

image=localhost/warmd/portability:1
kept=$(mktemp -d)
trap 'rm -rf "$kept"' EXIT

answer() { api "$@" | json '"\(.code // .state) \(.detail // "")"'; }
restore() { answer -X POST "$base/v1/checkpoints/$1/restore?wait=30s${2:-}"; }
fits() { [ "$(api "$base/v1/checkpoints/$1" | json .compatible)" = true ]; }
# The catalog can be written to only while warmd does not run: it keeps everybody else out.
record() {  # CHECKPOINT NAME VALUE
    systemctl stop warmd.socket warmd
    python3 - "$@" << 'END'
import pathlib, sqlite3, sys
checkpoint, name, value = sys.argv[1:]
with sqlite3.connect("/var/lib/warmd/catalog.sqlite") as catalog:
    changed = catalog.execute("UPDATE environment SET value = ? WHERE checkpoint = ? AND name = ?", (value, checkpoint, name))
    assert changed.rowcount == 1, changed.rowcount
pathlib.Path("/var/lib/warmd/checkpoints", checkpoint + ".json").unlink()  # which would count, and is made again
END
    systemctl start warmd.socket
    restart_warmd
}

printf 'FROM localhost/warmd/debian:13\nENV PORTABILITY=1\n' | podman build --quiet --network none --tag "$image" - > /dev/null
use_templates sh "${sh_template/localhost\/warmd\/debian:13/$image}
[checkpoint]
rewarm = \"never\""
made=$(warmctl -q checkpoint sh)
fits "$made" || fail 'a checkpoint does not fit the host that it has just been made on'
expect_equal "$(restore "$made")" 'succeeded '
expect_contains "$(warmctl checkpoint show "$made")" 'fits this host'
for id in $(api "$base/v1/instances" | json '.items[].id'); do warmctl -q instance rm "$id"; done

# An image that was removed, and loaded again.
podman save --quiet --format oci-archive --output "$kept/image.tar" "$image"
podman rmi "$image" > /dev/null
refused=$(restore "$made")
expect_contains "$refused" 'incompatible_host'
expect_contains "$refused" 'image_id'
expect_contains "$(restore "$made" '&force=true')" 'incompatible_host'
! fits "$made" || fail 'it is not told that the image is gone'
expect_contains "$(warmctl checkpoint list)" 'does not fit this host: image_id'
podman load --quiet --input "$kept/image.tar" > /dev/null
expect_equal "$(restore "$made")" 'succeeded '

# A record that says that the checkpoint is of a newer CRIU.
record "$made" criu 99.0
expect_equal "$(api "$base/v1/checkpoints/$made" | json '.differences[0].field')" criu
words=$(warmctl -q restore "$made" 2>&1) && fail 'it was restored'
expect_contains "$words" 'criu 99.0 (here'
expect_contains "$words" --force
instance=$(warmctl -q restore "$made" --force)
first=$(exec_in "$instance" cat /run/count)
goes_on() { [ "$(exec_in "$instance" cat /run/count)" -gt "$first" ]; }
wait_until 10 goes_on
expect_contains "$(journalctl -u warmd --no-pager --since -2min)" 'is restored by force'
expect_contains "$(warmctl why sh)" 'no pool'

# With a pool, and allowed to: a new one is made, and fills the pool.
use_templates sh "${sh_template/localhost\/warmd\/debian:13/$image}
[pool]
min_idle = 1"
filled() { [ "$(api "$base/v1/pools/sh" | json '"\(.idle) \(.checkpoint > "'"$made"'")"')" = '1 true' ]; }
wait_until 60 filled
expect_equal "$(api "$base/v1/checkpoints" | json '.items | length')" 2 'checkpoints'
expect_equal "$(warmctl -q run sh -- echo served)" served

rm /etc/warmd/templates.d/sh.toml
restart_warmd
clean_up
podman rmi "$image" > /dev/null
finish
