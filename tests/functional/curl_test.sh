#!/bin/bash
# The whole job with curl alone.
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "$(dirname "$0")/lib.bash"

expect_equal "$(api $base/v1/templates/octave | json .network)" none
started=$(mktemp)
api -D "$started" -X POST $base/v1/templates/octave/checkpoints | json .state > /dev/null
expect_contains "$(head -1 "$started")" 202
operation=$(tr -d '\r' < "$started" | awk 'tolower($1) == "location:" {print $2}')
finished=$(api "$base$operation?wait=60s")
expect_equal "$(json .state <<< "$finished")" succeeded "$finished"
checkpoint=$(json .checkpoint <<< "$finished")
expect_equal "$(api "$base/v1/checkpoints?template=octave" | json '.items[0].id')" "$checkpoint"

id=$(api -X POST "$base/v1/checkpoints/$checkpoint/restore?wait=60s" | json .instance)
frames=$(api -N -H 'Content-Type: application/json' -d '{"command":["matlab-bs","-batch","disp(sqrt(36))"]}' \
    "$base/v1/instances/$id/exec")
expect_equal "$(json 'select(.type == "stdout").data' <<< "$frames")" 6
expect_equal "$(json 'select(.type == "exit").exit_status' <<< "$frames")" 0

generation2=$(api -X POST "$base/v1/instances/$id/checkpoint?wait=60s" | json .checkpoint)
id=$(api -X POST "$base/v1/templates/octave/restore?wait=60s" | json .instance)
expect_equal "$(api "$base/v1/instances/$id" | json .checkpoint)" "$generation2" "the newest is restored"
expect_equal "$(status_of "$base/v1/instances/$id/logs?lines=5")" 200
expect_equal "$(api -X DELETE "$base/v1/instances/$id?wait=30s" | json .state)" succeeded
expect_equal "$(api "$base/v1/instances/$id" | json .state)" terminated

# Cancelling takes everything back.
id=$(api -X POST $base/v1/templates/octave/warm | json .id)
api -X DELETE "$base/v1/operations/$id" > /dev/null
state=$(api "$base/v1/operations/$id?wait=30s" | json .state)
[[ $state == cancelled || $state == succeeded ]] || fail "a cancelled operation is $state"

# Pages.
first=$(api "$base/v1/operations?limit=2")
expect_equal "$(json '.items | length' <<< "$first")" 2
second=$(api "$base/v1/operations?limit=2&cursor=$(json .next_cursor <<< "$first")")
[[ "$(json '.items[0].id' <<< "$second")" < "$(json '.items[1].id' <<< "$first")" ]] || fail "pages overlap"
clean_up
finish
