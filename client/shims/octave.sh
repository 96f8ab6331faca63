# shellcheck shell=sh disable=SC2034

# One --eval CODE, and no files and no --persist.
find_code() {
    shim_found=''
    while [ $# -gt 0 ]; do
        case $1 in
        --eval)
            [ $# -ge 2 ] && [ -z "$shim_found" ] || return 1
            shim_code=$2 shim_found=yes
            shift
            ;;
        --eval=*)
            [ -z "$shim_found" ] || return 1
            shim_code=${1#--eval=} shim_found=yes
            ;;
        -q | --quiet | --silent | -f | --norc | -H | --no-history | -W | --no-window-system | --no-gui) ;;
        --no-init-file | --no-init-path | --no-init-user | --no-init-all | --no-site-file | --no-line-editing) ;;
        *) return 1 ;;
        esac
        shift
    done
    [ -n "$shim_found" ]
}
