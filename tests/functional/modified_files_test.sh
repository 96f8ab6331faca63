#!/bin/bash
# What a warming application changes in its image's own files is in every restored copy. Podman's export alone
# loses it where the path does not exist on the host, and the modes of directories everywhere.
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "$(dirname "$0")/lib.bash"

context=$(mktemp -d)
cat > "$context/Dockerfile" <<'X'
FROM localhost/warmd/debian:13
RUN mkdir -p /app/dir /app/old && echo old > /app/data.txt && echo old > /app/owned && chown 1000:1000 /app/owned \
    && chmod 600 /app/owned && ln -s data.txt /app/link && echo old > /app/old/file && echo old > /app/gone
X
podman build -q --network none --layers=false --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 \
    -t localhost/warmd/modified:test "$context" > /dev/null || fail "cannot build the image"
use_templates modified 'image = "localhost/warmd/modified:test"
command = ["bash", "-c", "echo new > /app/data.txt; echo more >> /app/owned; ln -sf owned /app/link; chmod 700 /app/dir; rm /app/gone; rm -r /app/old; echo file > /app/old; echo added > /app/added; dd if=/dev/urandom of=/app/big bs=1M count=20 status=none; sha256sum /app/big > /app/big.sum; touch /app/done; while :; do sleep 0.1; done"]
[warm]
tcp_quiescence = false
[warm.initialised]
file = "/app/done"
timeout = "20s"'

# shellcheck disable=SC2016
describe='cd /app; cat data.txt owned old added; stat -c "%n %a %u:%g" dir owned; readlink link; ls -d gone; sha256sum -c big.sum'
expected=$(printf '%s\n' new old more file added 'dir 700 0:0' 'owned 600 1000:1000' owned '/app/big: OK')

source=$(warmctl -q warm modified)
expect_equal "$(exec_in "$source" bash -c "$describe" 2> /dev/null)" "$expected" "before the checkpoint"
checkpoint=$(warmctl -q checkpoint "$source")
[ "$(warmctl --json checkpoint show "$checkpoint" | json '.statistics["rootfs.repaired_entries"]')" -ge 4 ] ||
    fail "nothing was repaired"
copy=$(warmctl -q restore "$checkpoint")
expect_equal "$(exec_in "$copy" bash -c "$describe" 2> /dev/null)" "$expected" "in a restored instance"
generation2=$(warmctl -q checkpoint "$copy")
copy=$(warmctl -q restore "$generation2")
expect_equal "$(exec_in "$copy" bash -c "$describe" 2> /dev/null)" "$expected" "in the second generation"
podman container restore --import "/var/lib/warmd/checkpoints/$checkpoint.tar" --name by-hand > /dev/null
expect_equal "$(podman exec by-hand bash -c "$describe" 2> /dev/null)" "$expected" "restored by Podman alone"
podman rm -f -t 0 by-hand > /dev/null

clean_up
podman rmi -f localhost/warmd/modified:test > /dev/null
rm -r "$context"
finish
