#!/bin/bash
# What install-host would do, from package data of four releases: each data/CASE/plan-KERNEL is what --dry-run prints
# for CASE on that kernel, with its exit status. The commands that tell of a machine are played here; those that would
# change one fail the test. WRITE=1 writes the plans anew, to be read before they are committed.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
install_host=$here/../../scripts/install-host

# The part of such a command.
# shellcheck disable=SC2153  # CASE and KERNEL come from plan
if [ "${1:-}" = play ]; then
    shift
    case "$1 ${2:-}" in
        "apt-cache policy") cat "$CASE/policy" ;;
        "apt-cache show") cat "$CASE/show-crun" ;;
        "apt-get update" | "apt-get --simulate") ;;
        "uname -r") echo "$KERNEL" ;;
        "systemctl --quiet") [[ $3 == is-* && -e $CASE/enabled ]] ;;
        *) echo "$*" >> "$WORK/changes"; exit 1 ;;
    esac
    exit
fi

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
export WORK
mkdir "$WORK/bin"
for command in apt-cache apt-get apt-mark uname systemctl podman criu make install; do
    printf '#!/bin/sh\nexec "%s" play %s "$@"\n' "$here/plan_test.sh" $command > "$WORK/bin/$command"
done
chmod +x "$WORK"/bin/*

# plan CASE KERNEL OPTION...
plan() {
    local status=0
    CASE=$here/data/$1 KERNEL=$2 WARMD_HOST_ROOT=$here/data/$1/root PATH=$WORK/bin:$PATH \
        "$install_host" --dry-run "${@:3}" 2>&1 || status=$?
    echo "exit status $status"
}

count=0 failures=0
for expected in "$here"/data/*/plan-*; do
    case=$(basename "$(dirname "$expected")") kernel=${expected##*/plan-} options=()
    # plan-KERNEL+OPTION+...
    IFS=+ read -ra options <<< "$kernel"
    kernel=${options[0]}
    plan "$case" "$kernel" "${options[@]:1}" | sed "s,$here/data/$case/root,," > "$WORK/plan"
    [ -z "${WRITE:-}" ] || cp "$WORK/plan" "$expected"
    count=$((count + 1))
    if ! diff -u --label "data/$case/${expected##*/}" --label "now" "$expected" "$WORK/plan"; then failures=$((failures + 1)); fi
done
[ $count -ge 14 ] || { echo "only $count plans are there"; exit 1; }
[ ! -e "$WORK/changes" ] || { echo "--dry-run would have run:"; cat "$WORK/changes"; exit 1; }
echo "$((count - failures)) of $count plans as expected"
[ $failures = 0 ]
