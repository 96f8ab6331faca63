#!/bin/bash
# A secret reaches the application and, where asked for, its commands; and nothing that warmd keeps or shows has it.
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "$(dirname "$0")/lib.bash"
canary=canary-$(cat /proc/sys/kernel/random/uuid)
exec_canary=canary-$(cat /proc/sys/kernel/random/uuid)
mkdir -p /etc/warmd/secrets /run/systemd/system/warmd.service.d
echo "$canary" > /etc/warmd/secrets/token
echo "$exec_canary" > /etc/warmd/secrets/exec-token
chmod -R go= /etc/warmd/secrets
# As LoadCredential=exec-token:... would: in the test host's namespaces systemd sets the variable and cannot mount the
# directory behind it.
printf '[Service]\nEnvironment=CREDENTIALS_DIRECTORY=/etc/warmd/secrets\n' > /run/systemd/system/warmd.service.d/secret.conf
systemctl daemon-reload
octave=$(cat /usr/share/warmd/templates/octave.toml)
use_templates licensed "$octave

[secrets.MLM_LICENSE_TOKEN]
file = \"/etc/warmd/secrets/token\"
deliver = [\"warm\"]
[secrets.EXEC_TOKEN]
credential = \"exec-token\"
deliver = [\"exec\"]" \
    lost "$octave

[secrets.MLM_LICENSE_TOKEN]
file = \"/etc/warmd/secrets/lost\"" \
    agentless "$sh_template

[secrets.MLM_LICENSE_TOKEN]
file = \"/etc/warmd/secrets/token\""

warm=$(warmctl -q warm licensed)
application() { tr '\0' '\n' < "/proc/$(pgrep -n octave-cli)/environ"; }
expect_contains "$(application)" "MLM_LICENSE_TOKEN=$canary"
expect_equal "$(warmctl exec "$warm" --code "disp(getenv('MLM_LICENSE_TOKEN'))")" "$canary"
config=$(podman inspect "warmd-$warm")
agent_command=$(podman top "warmd-$warm" args)
everybody=$(ps axww -o args)
checkpoint=$(warmctl -q checkpoint licensed)  # in which no command of a user has run
id=$(warmctl -q restore "$checkpoint")
# Delivered again after a restore: to code, to programs, and gone after the code.
expect_equal "$(warmctl exec "$id" --code "disp(getenv('EXEC_TOKEN'))")" "$exec_canary"
# shellcheck disable=SC2016  # expanded in the container
expect_equal "$(warmctl exec "$id" -- sh -c 'echo $EXEC_TOKEN')" "$exec_canary"
expect_equal "$(podman exec "warmd-$id" matlab-bs -batch "disp(isempty(getenv('EXEC_TOKEN')))")" 1

# The scan, for each place.
clean() {  # WHAT TEXT
    [[ "$2" != *canary-* ]] || fail "$1 has a secret"
}
clean "podman inspect" "$config"
clean "podman top" "$agent_command"
clean ps "$everybody"
clean "the API" "$(for path in status templates templates/licensed instances?all=true checkpoints operations?limit=1000; do api "$base/v1/$path"; done)"
expect_contains "$(api $base/v1/templates/licensed | json '.secrets[] | "\(.name) \(.deliver | join(","))"')" "MLM_LICENSE_TOKEN warm"
clean "warmd's log" "$(journalctl -u warmd -u podman --no-pager)"
clean "the container's log" "$(warmctl instance logs "$id" 2>&1; podman logs "warmd-$id" 2>&1)"
for file in /var/lib/warmd/catalog.sqlite* /var/lib/warmd/checkpoints/*.json; do
    grep -qa canary- "$file" && fail "$file has a secret"
done
tar=$(mktemp -d)
tar -C "$tar" -xf "/var/lib/warmd/checkpoints/$checkpoint.tar"
for member in spec.dump config.dump; do
    grep -qa canary- "$tar/$member" && fail "$member has a secret"
done
grep -qa canary- "$tar"/rootfs-diff.tar 2> /dev/null && fail "rootfs-diff.tar has a secret"
# What docs/snapshot-safety.md says plainly: the application's own memory keeps what it was given, and so does the tarball.
grep -qa "$canary" "$tar"/checkpoint/pages-*.img || fail "the scan does not find the secret where it must be"
# One that only commands get was never in the dumped process: warming without the secret.
grep -qa "$exec_canary" "$tar"/checkpoint/*.img && fail "the memory has a secret that only commands get"
rm -r "$tar"
(grep -ra canary- /var/lib/containers/storage/overlay-containers /var/lib/containers/storage/db.sql 2> /dev/null | grep -q .) &&
    fail "Podman's storage has a secret"

# What is wrong is said, and nothing is left of it.
out=$(warmctl warm lost 2>&1)
expect_equal $? 1
expect_contains "$out" "the secret MLM_LICENSE_TOKEN cannot be read"
out=$(warmctl warm agentless 2>&1)
expect_equal $? 1
expect_contains "$out" "has no agent to deliver them"
rm -r /etc/warmd/secrets /run/systemd/system/warmd.service.d
systemctl daemon-reload
clean_up
finish
