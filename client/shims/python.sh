# shellcheck shell=sh disable=SC2034

# -c CODE without arguments. A session has no standard input, and the modules of the image alone: code that could read the
# one or that brings others is for the real program.
find_code() {
    [ -z "${PYTHONPATH-}${PYTHONHOME-}${VIRTUAL_ENV-}" ] || return 1
    while [ $# -gt 0 ]; do
        case $1 in
        -c) break ;;
        -u | -B | -q) shift ;;
        *) return 1 ;;
        esac
    done
    [ $# = 2 ] || return 1
    [ -t 0 ] || [ "$(readlink /proc/self/fd/0)" = /dev/null ] || return 1
    shim_code=$2
}
