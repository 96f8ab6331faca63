#!/bin/bash
# Whatever is wrong with a request or with Podman is a problem document, and the daemon lives on.
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "$(dirname "$0")/lib.bash"
use_templates counter "$sh_template" broken 'image = "localhost/no/such:image"' \
    dying 'image = "localhost/warmd/debian:13"
command = ["bash", "-c", "echo last words; exit 3"]
[warm.initialised]
file = "/never"'
pid=$(systemctl show -P MainPID warmd)

# STATUS CODE CURL-ARGUMENTS...
expect_problem() {
    local status=$1 code=$2 answer; shift 2
    answer=$(api -w '\n%{http_code} %{content_type}' "$@")
    expect_equal "${answer##*$'\n'}" "$status application/problem+json" "$*"
    expect_equal "$(json .code <<< "${answer%$'\n'*}")" "$code" "$*"
    expect_equal "$(json .status <<< "${answer%$'\n'*}")" "$status" "$*"
}
post=(-X POST -H 'Content-Type: application/json')

expect_problem 404 not_found -X POST $base/v1/templates/nobody/warm
expect_problem 404 not_found $base/v1/instances/inst-nobody
expect_problem 404 not_found $base/v1/checkpoints/ckpt-nobody
expect_problem 404 not_found $base/v1/operations/op-nobody
expect_problem 404 not_found -X DELETE $base/v1/instances/inst-nobody
expect_problem 404 not_found --path-as-is "$base/v1/instances/..%2f..%2fetc"
expect_problem 404 not_found $base/nothing/here
expect_problem 405 method_not_allowed -X DELETE $base/v1/templates
expect_problem 400 invalid_argument "$base/v1/instances?limit=0"
expect_problem 400 invalid_argument "$base/v1/instances?colour=red"
expect_problem 400 invalid_argument -X POST "$base/v1/templates/counter/warm?wait=yes"
expect_problem 400 invalid_argument "${post[@]}" -d '{"surprise":1}' $base/v1/templates/counter/warm
expect_problem 404 not_found -X POST $base/v1/templates/counter/restore

id=$(warmctl -q warm counter)
exec_url=$base/v1/instances/$id/exec
expect_problem 400 invalid_argument "${post[@]}" -d '{"command":' "$exec_url"
expect_problem 400 invalid_argument "${post[@]}" -d '{"command":"not an array"}' "$exec_url"
expect_problem 400 invalid_argument "${post[@]}" -d '{"command":["true"],"timeout":"soon"}' "$exec_url"
expect_problem 400 invalid_argument "${post[@]}" -d '{}' "$exec_url"
deep=$(mktemp)
head -c 200000 /dev/zero | tr '\0' '[' > "$deep"
expect_problem 400 invalid_argument "${post[@]}" --data-binary "@$deep" "$exec_url"
head -c 2000000 /dev/zero | tr '\0' ' ' > "$deep"
expect_problem 413 too_large "${post[@]}" --data-binary "@$deep" "$exec_url"
expect_problem 411 invalid_argument "${post[@]}" -H 'Transfer-Encoding: chunked' --data-binary "@$deep" "$exec_url"
expect_problem 415 unsupported_media -X POST -H 'Content-Type: text/plain' -d '{"command":["true"]}' "$exec_url"
expect_problem 415 unsupported_media -X POST -F 'command=true' "$exec_url"

# What only an operation finds out.
expect_contains "$(warmctl warm broken 2>&1)" "podman pull"
out=$(warmctl warm dying 2>&1)
expect_contains "$out" "last words"
expect_contains "$out" "exited with 3"

warmctl -q instance rm "$id"
expect_problem 409 conflict "${post[@]}" -d '{"command":["true"]}' "$exec_url"
expect_problem 409 conflict -X POST "$base/v1/instances/$id/checkpoint"

# A container that ended behind warmd's back.
id=$(warmctl -q warm counter)
podman kill "warmd-$id" > /dev/null
out=$(exec_in "$id" true 2>&1)
expect_equal $? 125
expect_contains "$out" "has ended"
expect_equal "$(api "$base/v1/instances/$id" | json .state)" terminated

# Podman down: said clearly, and over as soon as it is back.
systemctl stop podman.socket podman.service
expect_equal "$(status_of $base/readyz)" 503
expect_contains "$(api $base/readyz)" '"name":"podman","ok":false'
expect_equal "$(status_of $base/healthz)" 200
out=$(warmctl warm counter 2>&1)
expect_equal $? 1
expect_contains "$out" "systemctl start podman.socket"
systemctl start podman.socket
id=$(warmctl -q warm counter) || fail "warming fails after Podman came back"

expect_equal "$(systemctl show -P MainPID warmd)" "$pid" "the daemon was restarted"
expect_equal "$(/usr/libexec/warmd/warmd --check-config | tail -1)" "/etc/warmd is good: 4 templates"
printf 'image = 3\ncolour = "red"\n[warm]\nquiet_for = "soon"\n' > /etc/warmd/templates.d/wrong.toml
out=$(/usr/libexec/warmd/warmd --check-config 2>&1)
expect_equal $? 78
for words in 'wrong.toml:1: image must be a string' 'wrong.toml:2: colour is not a known key' 'wrong.toml:4: warm.quiet_for'; do
    expect_contains "$out" "$words"
done
rm "$deep"
clean_up
finish
