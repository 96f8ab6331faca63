#!/bin/bash
# A checkpoint leaves with a signed manifest and comes back: real tarballs are accepted, whatever was changed is not.
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "$(dirname "$0")/lib.bash"

keys=/etc/warmd/test-keys imports=/srv/warmd-import out=$(mktemp -d)
mkdir -p $keys $imports
for key in ours other; do
    openssl genpkey -algorithm ed25519 -out "$keys/$key.pem" 2> /dev/null
    openssl pkey -in "$keys/$key.pem" -pubout -out "$keys/$key.pub"
done
chmod 600 $keys/*.pem
cp /etc/warmd/warmd.toml "$keys/warmd.toml" 2> /dev/null || : > "$keys/warmd.toml"
trust() {  # TABLE
    { grep -v '^\[trust\]' "$keys/warmd.toml"; printf '[trust]\n%s\n' "$1"; } > /etc/warmd/warmd.toml
    restart_warmd
}
import() { warmctl -q checkpoint import "$1.tar" 2>&1; }

use_templates quick 'image = "localhost/warmd/debian:13"
command = ["bash", "-c", "echo changed >> /etc/motd; rm /etc/issue; mkdir /added; ln -s /etc /added/link; while :; do sleep 0.1; done"]'
trust "key = \"$keys/ours.pem\"
keys = [\"$keys/ours.pub\"]
import_directory = \"$imports\""
octave=$(warmctl -q checkpoint octave) || fail "no checkpoint of Octave"
quick=$(warmctl -q checkpoint quick) || fail "no checkpoint"
for checkpoint in "$octave" "$quick"; do
    warmctl -q checkpoint export "$checkpoint" "$out" > /dev/null || fail "no export of $checkpoint"
    warmctl -q checkpoint rm "$checkpoint"
    cp "$out/$checkpoint".* $imports/
    expect_equal "$(import "$checkpoint")" "$checkpoint"
done
instance=$(warmctl -q restore "$octave") || fail "what was imported cannot be restored"
expect_equal "$(warmctl exec "$instance" --code 'disp(sqrt(36))')" 6
instance=$(warmctl -q restore "$quick")
expect_equal "$(exec_in "$instance" tail -n 1 /etc/motd)" changed
expect_contains "$(import "$quick")" "is here already"

warmctl -q checkpoint rm "$quick"
python3 - $imports/"$quick".tar << 'END'  # one bit of the memory
import sys, tarfile
with tarfile.open(sys.argv[1]) as tar:
    at = tar.getmember("checkpoint/pages-1.img").offset_data
with open(sys.argv[1], "r+b") as file:
    file.seek(at)
    byte = file.read(1)[0]
    file.seek(at)
    file.write(bytes([byte ^ 1]))
END
expect_contains "$(import "$quick")" "not the one that the manifest is of"
cp "$out/$quick.tar" $imports/
printf '["../../../../../../../tmp/victim"]' > "$out/deleted.files"
tar --append --format=ustar -f $imports/"$quick".tar -C "$out" deleted.files  # Podman 27977
expect_contains "$(import "$quick")" "the tarball: "
cp "$out/$quick.tar" $imports/
sed -i 's/"payload":"eyJ/"payload":"eyK/' $imports/"$quick".manifest.json
expect_contains "$(import "$quick")" "has signed"
cp "$out/$quick".* $imports/
chmod o+w $imports/"$quick".tar
expect_contains "$(import "$quick")" "could be changed by others"
chmod o-w $imports/"$quick".tar
trust "keys = [\"$keys/other.pub\"]
import_directory = \"$imports\""
expect_contains "$(import "$quick")" "signed by no key that this host trusts"
expect_contains "$(warmctl -q checkpoint export "$octave" "$out" 2>&1)" "no key to sign with"
trust ""
expect_contains "$(import "$quick")" "imports no checkpoints"

clean_up
cp "$keys/warmd.toml" /etc/warmd/warmd.toml
restart_warmd
rm -r "$keys" "$out" $imports
finish
