# shellcheck shell=sh

: "${shim_name:?}" "${shim_template:?}"

# Whether a file is a shim, by its second line.
is_shim() {
    { IFS= read -r shim_line && [ "$shim_line" = '#!/bin/sh' ] && IFS= read -r shim_line; } 2> /dev/null < "$1" || return 1
    case $shim_line in
    '# warmd shim:'*) return 0 ;;
    esac
    return 1
}

# The next program of this name on PATH that is not a shim.
find_real() {
    set -f
    IFS=:
    for shim_folder in $PATH; do
        shim_file=${shim_folder:-.}/$shim_name
        if [ -f "$shim_file" ] && [ -x "$shim_file" ] && ! is_shim "$shim_file"; then
            shim_real=$shim_file
            break
        fi
    done
    set +f
    unset IFS
}

fail() {
    echo "$shim_name: $1" >&2
    exit 127
}

# The names begin with shim_ because a variable that the caller has exported would reach the real program changed.
shim_code='' shim_workdir='' shim_real=''
find_real

# A real program that calls its own name by PATH comes back here.
case ${WARMD_SHIM_DEPTH-} in
'' | *[!0-9]*) WARMD_SHIM_DEPTH=0 ;;
esac
[ "$WARMD_SHIM_DEPTH" -lt 30 ] || fail "warmd's shim has called itself 30 times; does $shim_real call $shim_name by PATH?"
WARMD_SHIM_DEPTH=$((WARMD_SHIM_DEPTH + 1))
export WARMD_SHIM_DEPTH

if [ "${WARMD_SHIM-}" != off ] && find_code "$@"; then
    if command -v warmctl > /dev/null; then
        # warmctl runs the real program when warmd cannot, provided that none of the code has run.
        if [ -n "$shim_real" ] && [ "${WARMD_SHIM-}" != strict ]; then set -- --or-here -- "$shim_real" "$@"; else set --; fi
        [ -z "$shim_workdir" ] || set -- --workdir "$shim_workdir" "$@"
        exec warmctl run "$shim_template" --code "$shim_code" "$@"
    fi
    [ "${WARMD_SHIM-}" != strict ] || fail "warmctl is not on PATH, and WARMD_SHIM=strict wants nothing else to run the code"
    [ -z "$shim_real" ] || echo "$shim_name: warmctl is not on PATH; running $shim_real instead" >&2
fi
[ -n "$shim_real" ] || fail "not found: warmd's shim runs batch calls only, and no other $shim_name is on PATH"
exec "$shim_real" "$@"
