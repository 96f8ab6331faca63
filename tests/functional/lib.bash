# shellcheck shell=bash
# For tests of the installed daemon, run as root in the test host. Each test is a script of its own that ends
# with 0 if all it expected came true.
set -uo pipefail

failures=0
socket=/run/warmd/warmd.sock
base=http://warmd

fail() { echo "FAIL ${0##*/}:${BASH_LINENO[-2]}: $*" >&2; failures=$((failures + 1)); }
expect_equal() { [ "$1" = "$2" ] || fail "\"$1\" instead of \"$2\"${3:+: $3}"; }
expect_contains() { [[ "$1" == *"$2"* ]] || fail "no \"$2\" in: $1"; }
finish() { [ "$failures" = 0 ] || exit 1; }

# wait_until SECONDS COMMAND...: polls a condition that nobody announces.
wait_until() {
    local end=$((SECONDS + $1)); shift
    until "$@"; do
        [ $SECONDS -lt $end ] || { fail "timed out waiting for: $*"; return 1; }
        read -r -t 0.05 <> <(:) || true
    done
}

api() { curl -sS --unix-socket $socket "$@"; }
status_of() { api -o /dev/null -w '%{http_code}' "$@" 2> /dev/null; }
json() { jq -r "$1"; }
exec_in() {  # INSTANCE COMMAND...
    local id=$1; shift
    warmctl exec "$id" -- "$@"
}

# Output appears while a command runs: COMMAND prints "early", waits for /tmp/go in INSTANCE, which is made only after
# that was seen, and prints "late".
expect_output_early() {  # INSTANCE COMMAND...
    local id=$1 line; shift
    mkfifo /tmp/first-line
    "$@" > /tmp/first-line &
    exec 3< /tmp/first-line
    read -r line <&3
    expect_equal "$line" early
    exec_in "$id" touch /tmp/go
    read -r line <&3
    expect_equal "$line" late
    exec 3<&-
    rm /tmp/first-line
}

forget_templates() {
    mkdir -p /etc/warmd/templates.d
    rm -f /etc/warmd/templates.d/*
    cp /usr/share/warmd/templates/octave.toml /etc/warmd/templates.d/
}

ready() { [ "$(status_of $base/readyz)" = 200 ]; }

# use_templates: Octave's, the given ones and no others, for the rest of the test. NAME CONTENT...
use_templates() {
    forget_templates
    while [ $# -gt 0 ]; do printf '%s\n' "$2" > "/etc/warmd/templates.d/$1.toml"; shift 2; done
    restart_warmd
}

restart_warmd() {
    systemctl reset-failed warmd 2> /dev/null  # a test may start it more often than systemd thinks is right
    systemctl restart warmd || { journalctl -u warmd --no-pager | tail -20; fail "warmd does not start"; }
    wait_until 10 ready
}

# Everything gone that a test made: what is left then is a leak.
clean_up() {
    systemctl start podman.socket warmd
    wait_until 10 ready
    local id
    for id in $(api "$base/v1/instances?limit=1000" | json '.items[].id'); do warmctl -q instance rm "$id"; done
    for id in $(api "$base/v1/checkpoints?limit=1000" | json '.items[].id'); do warmctl -q checkpoint rm "$id"; done
    expect_equal "$(podman ps -a --format '{{.Names}}' | grep ^warmd-)" "" "containers are left"
    expect_equal "$(find /var/lib/warmd/checkpoints /var/lib/warmd/tmp /var/lib/warmd/unpacked -type f)" "" "files are left"
}

# What a test that was broken off has left must not fail the next one.
forget_templates
podman rm -f -t 0 by-hand > /dev/null 2>&1

# shellcheck disable=SC2016,SC2034  # expanded in the container; used by those who source this
sh_template='image = "localhost/warmd/debian:13"
command = ["bash", "-c", "i=0; mkdir -p /run/warm; touch /run/warm/initialised; while :; do i=$((i+1)); echo $i > /run/count; sleep 0.2; done"]
[warm]
quiet_for = "50ms"
[warm.initialised]
file = "/run/warm/initialised"
timeout = "20s"'
