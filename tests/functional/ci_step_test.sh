#!/bin/bash
# The steps of the GitHub action, as installed, as its runner would run them: warm, cold without warmd, strict.
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "$(dirname "$0")/lib.bash"
use_templates octave "$(cat /usr/share/warmd/templates/octave.toml)"
warmctl -q checkpoint octave > /dev/null
work=$(mktemp -d)
mkdir "$work/real"
# shellcheck disable=SC2016  # expanded by the program
printf '#!/bin/sh\necho "real: $*"\nexit 9\n' > "$work/real/octave"
chmod 755 "$work/real/octave"
mapfile -t steps < <(sed -n "s/^ *run: '\(.*\)'$/\1/p" /usr/share/warmd/ci/github/action.yml)
expect_equal ${#steps[@]} 3 "steps of the action"
script=$(sed -n '/^  script:/,/default:/s/^ *default: //p' /usr/share/warmd/ci/github/action.yml)

# job STRICT COMMANDS: prints what the commands print; sets status, $work/err and $work/summary.
job() {
    local number file line
    rm -rf "$work/temp"
    mkdir "$work/temp"
    rm -f "$work"/{path,env,summary,err}
    touch "$work"/{path,env,summary,err}
    (
        export RUNNER_TEMP=$work/temp GITHUB_PATH=$work/path GITHUB_ENV=$work/env GITHUB_STEP_SUMMARY=$work/summary
        export WARM_STEP=$script WARM_PROGRAMS=octave WARM_TEMPLATE=octave WARM_STRICT=$1 WARM_COMMANDS=$2
        export PATH=$work/real:$PATH
        status=0
        for number in 0 1 2; do
            [ $status = 0 ] || [ $number = 2 ] || continue  # the summary is written always
            printf '%s\n' "${steps[number]}" > "$work/step"
            bash --noprofile --norc -eo pipefail "$work/step" > "$work/out" 2>> "$work/err"
            line=$?
            [ $number != 1 ] || cat "$work/out"
            [ $status != 0 ] || status=$line
            while read -r file; do PATH=$file:$PATH; done < "$work/path"
            while read -r line; do export "${line?}"; done < "$work/env"
            : > "$work/path"
            : > "$work/env"
        done
        exit $status
    )
}

# Warm: what code prints and how it ends, and the sum of what the daemon and the log have recorded.
out=$(job false "octave --eval 'disp(sqrt(36))'; octave --quiet --eval 'exit(3)'")
expect_equal "$?:$out" 3:6 "a job"
cold=$(warmctl --json checkpoint list | jq '[.phases[] | select(.name | IN("create", "start", "init", "ready")).elapsed_ms] | add')
expect_equal "$(jq -r '"\(.path | IN("linked", "archive")) \(.status) \(.wait_ms > 0)"' "$work/temp/warmd/run.jsonl" | paste -sd:)" \
    "true 0 true:true 3 true" "the log"
saved=$(jq -s --argjson cold "$cold" 'map($cold - .wait_ms) | add' "$work/temp/warmd/run.jsonl")
# shellcheck disable=SC2016  # jq's
words=$(jq -nr --argjson saved "$saved" '($saved | fabs) as $size
    | (if $saved < 0 then "lost" else "saved" end) + " "
      + if $size < 1000 then "\($size | round) ms" else "\(($size / 100 | round) / 10) s" end')
expect_equal "$(head -n 1 "$work/summary")" "**warmd: $words in 2 calls**"
expect_contains "$(cat "$work/summary")" "| octave | restored ("

# Code that a shell would take apart.
out=$(job true "octave --eval 'disp(\"it''s \`x\` \$(x) \$HOME\")'")
expect_equal "$?:$out" "0:its \`x\` \$(x) \$HOME" "quotes"

# Without warmd.
systemctl stop warmd.socket warmd
out=$(job false "octave --eval 1")
expect_equal "$?:$out" "9:real: --eval 1" "without warmd"
expect_equal "$(cat "$work/err")" "warm-step: warmctl: no daemon answers on $socket; batch calls start cold
warmctl: no daemon answers on $socket; running $work/real/octave here instead"
expect_contains "$(cat "$work/summary")" "| octave | fell back |"
out=$(job true "octave --eval 1")
expect_equal "$?:$out" "1:" "strict without warmd"
restart_warmd

rm -r "$work"
clean_up
finish
