#!/bin/bash
# Each language's session loop by itself, in the root file system of its image, with the tests playing the agent.
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "$(dirname "$0")/lib.bash"
driver=$(readlink -f "$(dirname "$0")/../sessions/session_loop_test.py")

for name in python r java; do
    container=$(podman create localhost/warmd/$name:latest)
    root=$(podman mount "$container")
    mount -t proc proc "$root/proc"
    mount --bind /dev "$root/dev"
    # The image's own command and variables, without the agent.
    mapfile -t command < <(podman inspect "$container" | json '.[0].Config.Cmd[]')
    output=$("$driver" $name -- chroot "$root" "${command[@]}" 2>&1) || fail "$name: $(tail -40 <<< "$output")"
    expect_contains "$output" "OK"
    umount "$root/proc" "$root/dev"
    podman umount "$container" > /dev/null
    podman rm "$container" > /dev/null
done
finish
