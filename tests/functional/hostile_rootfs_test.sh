#!/bin/bash
# A container that puts a directory where its image has a symbolic link to /run: Podman's export alone, when it is restored,
# has a file unpacked through that link, on the host. And a directory in the place of another keeps what is new in it.
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "$(dirname "$0")/lib.bash"

context=$(mktemp -d)
cat > "$context/Dockerfile" <<'X'
FROM localhost/warmd/debian:13
RUN rm -rf /var/run && ln -s /run /var/run && mkdir /app && echo old > /app/old && ln -s /run /app.link
X
podman build -q --network none --layers=false --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 \
    -t localhost/warmd/hostile:test "$context" > /dev/null || fail "cannot build the image"
use_templates hostile 'image = "localhost/warmd/hostile:test"
command = ["bash", "-c", "rm /var/run; mkdir /var/run; echo escaped > /var/run/warmd-escape; rm /app.link; mkdir -p /app.link/deep; echo escaped > /app.link/deep/warmd-escape; rm -r /app; mkdir -m 750 /app; echo new > /app/new; ln -s /etc /app/etc; touch /done; while :; do sleep 0.1; done"]
[warm]
tcp_quiescence = false
[warm.initialised]
file = "/done"
timeout = "20s"'

# shellcheck disable=SC2016
describe='cat /var/run/warmd-escape /app.link/deep/warmd-escape; ls /app; stat -c %a /app; cat /app/new; readlink /app/etc'
expected=$(printf '%s\n' escaped escaped etc new 750 new /etc)
rm -rf /run/warmd-escape /run/deep
source=$(warmctl -q warm hostile)
expect_equal "$(exec_in "$source" bash -c "$describe")" "$expected" "before the checkpoint"
checkpoint=$(warmctl -q checkpoint "$source") || fail "no checkpoint"
for path in linked archive; do
    copy=$(warmctl -q restore "$checkpoint" --path "$path") || fail "no restore"
    [ ! -e /run/warmd-escape ] || fail "the container has written to the host's /run ($path)"
    [ ! -e /run/deep ] || fail "the container has made a directory in the host's /run ($path)"
    expect_equal "$(exec_in "$copy" bash -c "$describe")" "$expected" "in a restored instance ($path)"
done

clean_up
podman rmi -f localhost/warmd/hostile:test > /dev/null
rm -r "$context"
finish
