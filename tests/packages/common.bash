# shellcheck shell=bash
# What the tests of the package share: the package, a fresh host to install it on, and how to say what is wrong there.
# For scripts that have set top: the project.

testhost=${top:?}/tests/testhost/testhost
cache=${WARMD_TEST_DIR:-/var/tmp/warmd-test}
failures=0
say() { printf '== %s (%d s)\n' "$*" $SECONDS; }
fail() { echo "FAIL ${0##*/}:${BASH_LINENO[0]}: $*" >&2; failures=$((failures + 1)); }
expect_equal() { [ "$1" = "$2" ] || { echo "FAIL ${0##*/}:${BASH_LINENO[0]}: \"$1\" instead of \"$2\"${3:+: $3}" >&2; failures=$((failures + 1)); }; }
expect_contains() { [[ "$1" == *"$2"* ]] || { echo "FAIL ${0##*/}:${BASH_LINENO[0]}: no \"$2\" in: $1" >&2; failures=$((failures + 1)); }; }
finish() { [ "$failures" = 0 ] || die "$failures failures"; say "passed"; }

# take_package SUITE [DEB]: sets suite and deb.
take_package() {
    need_root
    need dpkg-deb:dpkg
    suite=$1 deb=${2:-}
    [ -z "$deb" ] || return 0
    deb=$(newest_package)
    [ -z "$deb" ] || return 0
    "$top/scripts/package" "$suite" "$cache/packages/$suite"
    deb=$(newest_package)
}
newest_package() { find "$cache/packages/$suite" -name 'warmd_*.deb' -printf '%T@ %p\n' 2> /dev/null | sort -n | tail -1 | cut -d' ' -f2; }

# take_fresh_host NAME: sets host, a Debian that has never seen Podman, and packages, a directory that it sees as
# /packages; both are gone at the end.
take_fresh_host() {
    local bare=${BARE:-$cache/bare-$suite}
    host=$cache/$1-$suite.host packages=$cache/$1-$suite.debs
    [ -d "$bare" ] || SUITE=$suite BARE=1 "$testhost" build "$bare"
    "$testhost" down "$host"
    rm -rf --one-file-system "$host" "$packages"
    mkdir -p "$packages"
    cp -a --reflink=auto "$bare" "$host"
    trap '"$testhost" down "$host"; rm -rf --one-file-system "$host" "$packages"' EXIT
}

boot_fresh_host() {
    say "booting a fresh Debian ($suite)"
    NET=host BIND="$packages:/packages $top:/src" "$testhost" up "$host"
    apt update
    expect_equal "$(on sh -c 'command -v podman criu crun | grep -v ^/usr/local/sbin/criu' || true)" "" "the host is not fresh"
}

on() { "$testhost" run "$host" "$@"; }
ctl() { on warmctl --quiet "$@"; }
# Quiet unless it fails: apt's words are many.
apt() {
    said=$(on env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 "$@" 2>&1) || { echo "$said" >&2; die "apt-get $* failed"; }
}
wait_until() {  # SECONDS COMMAND...
    local end=$((SECONDS + $1)); shift
    until "$@"; do
        [ $SECONDS -lt $end ] || { fail "timed out waiting for: $*"; return 1; }
        read -r -t 0.2 <> <(:) || true
    done
}
containers() { on podman ps --all --format '{{.Names}}' | grep ^warmd- || true; }
exists() { on test -e "$1"; }
gone() { ! on test -e "$1"; }
