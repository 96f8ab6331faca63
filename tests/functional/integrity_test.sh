#!/bin/bash
# Damage, on the real Podman: of a tarball, of an unpacked image, of the catalog. And what a canary finds.
# shellcheck source-path=SCRIPTDIR source=lib.bash
set -u
. "$(dirname "$0")/lib.bash"
use_templates sh "$sh_template"

store=/var/lib/warmd
state() { api "$base/v1/checkpoints/$1" | json .state; }
restore() { warmctl -q restore --path "$2" "$1"; }
# One bit of the middle of the file, behind everybody's back: its time of modification is put back.
flip() {
    python3 - "$1" << 'END'
import os, sys
path = sys.argv[1]
before = os.stat(path)
with open(path, "r+b") as file:
    file.seek(before.st_size // 2)
    byte = file.read(1)[0]
    file.seek(before.st_size // 2)
    file.write(bytes([byte ^ 4]))
os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
END
}
unpacked_in() { api "$base/v1/operations?limit=1" | json '[.items[0].phases[].name] | index("unpack") != null'; }

older=$(warmctl -q checkpoint sh)
newer=$(warmctl -q checkpoint sh)
[ -f "$store/checkpoints/$newer.json" ] || fail 'there is no manifest'
expect_equal "$(stat -c %a "$store/checkpoints/$newer.json")" 600
expect_equal "$(warmctl -q checkpoint verify --all | sort | xargs)" "$(printf '%s\n' "$older" "$newer" | sort | xargs)"
expect_equal "$(warmctl -q checkpoint verify --restore "$newer")" "$newer"
[ "$(api "$base/v1/checkpoints/$newer" | json .verified_at)" != null ] || fail 'it was not verified'
expect_equal "$(api "$base/v1/instances" | json '.items | length')" 0

# Linked restores find their images as they left them, one after the other: nothing is read again.
restore "$newer" linked > /dev/null
restore "$newer" linked > /dev/null
expect_equal "$(unpacked_in)" false

# A flipped image is made again from the tarball, and the checkpoint is none the worse.
image=$(find "$store/unpacked/$newer/checkpoint" -name 'pages-*.img' | head -1)
sum=$(sha256sum < "$image")
flip "$image"
[ "$(sha256sum < "$image")" != "$sum" ] || fail 'nothing was flipped'
restore "$newer" linked > /dev/null
expect_equal "$(unpacked_in)" true
expect_equal "$(sha256sum < "$image")" "$sum"
flip "$image"
expect_equal "$(warmctl -q checkpoint verify "$newer")" "$newer"
[ ! -e "$image" ] || fail 'a flipped image survived a verification'
expect_equal "$(state "$newer")" available

# A flipped tarball never reaches Podman, and the one before it takes its place.
containers=$(podman ps --all --quiet | wc -l)
flip "$store/checkpoints/$newer.tar"
if restore "$newer" archive 2> /tmp/refused; then fail 'a flipped tarball was restored'; fi
expect_contains "$(cat /tmp/refused)" 'is not what was stored'
expect_equal "$(state "$newer")" quarantined
expect_equal "$(podman ps --all --quiet | wc -l)" "$containers"
expect_contains "$(warmctl checkpoint list)" 'is not what was stored'
restored=$(warmctl -q restore sh)
expect_equal "$(api "$base/v1/instances/$restored" | json .checkpoint)" "$older"
warmctl -q checkpoint rm "$newer"
[ ! -e "$store/checkpoints/$newer.json" ] || fail 'the manifest has outlived its checkpoint'

# A catalog that is gone, one with a flipped page, one that is cut off: the checkpoint is there again, with what it was, and
# the containers of instances that nobody knows any more are not.
before=$(api "$base/v1/checkpoints/$older" | json '{id, template, template_digest, source, image_id, size_bytes, sha256, created_at, environment, statistics}')
lose() {  # WHAT COMMAND: with warmd stopped
    local container
    warmctl -q restore sh > /dev/null
    container=$(podman ps --filter label=warmd.instance --format '{{.Names}}' | head -1)
    [ -n "$container" ] || fail "$1: no container runs"
    systemctl stop warmd.socket warmd
    sh -c "$2"
    systemctl start warmd.socket
    restart_warmd
    expect_equal "$(api "$base/v1/checkpoints/$older" | json '{id, template, template_digest, source, image_id, size_bytes, sha256, created_at, environment, statistics}')" "$before"
    expect_equal "$(state "$older")" available
    expect_equal "$(api "$base/v1/status" | json .catalog.rebuilt_checkpoints)" 1
    expect_equal "$(podman ps --all --filter label=warmd.instance --format '{{.Names}}')" ''
    warmctl -q checkpoint verify "$older" > /dev/null
    warmctl -q restore --path archive "$older" > /dev/null
}
lose 'deleted' "rm $store/catalog.sqlite $store/catalog.sqlite-wal 2> /dev/null || true"
expect_equal "$(api "$base/v1/status" | json .catalog.damaged_file)" null
lose 'overwritten' "dd if=/dev/urandom of=$store/catalog.sqlite bs=4096 seek=1 count=4 conv=notrunc status=none"
expect_contains "$(api "$base/v1/status" | json .catalog.damaged_file)" "$store/catalog.sqlite.damaged-"
lose 'cut off' "truncate --size 9000 $store/catalog.sqlite"
expect_equal "$(api "$base/v1/doctor" | json '.findings[] | select(.check == "catalog") | .status')" advice
rm "$store"/catalog.sqlite.damaged-*

# A canary: a good one lets the checkpoint pass, one whose answer is another takes it back with all that it was.
use_templates sh "$sh_template
[verify]
exec = [\"sh\", \"-c\", \"echo ready; exit 3\"]"
tried=$(warmctl -q checkpoint sh)
expect_contains "$(api "$base/v1/operations?limit=1" | json '[.items[0].phases[].name] | join(" ")')" 'publish restore'
expect_equal "$(warmctl -q checkpoint verify --restore "$tried")" "$tried"
use_templates sh "$sh_template
[verify]
exec = [\"uname\", \"-n\"]"
live=$(podman ps --all --quiet | wc -l)
if warmctl -q checkpoint sh 2> /tmp/refused; then fail 'a checkpoint with another answer was offered'; fi
expect_contains "$(cat /tmp/refused)" 'does not answer as the application did before'
failed=$(api "$base/v1/checkpoints?limit=1" | json .items[0].id)
expect_equal "$(state "$failed")" failed
[ ! -e "$store/checkpoints/$failed.tar" ] || fail 'its tarball was left'
expect_equal "$(podman ps --all --quiet | wc -l)" "$live"

clean_up
finish
