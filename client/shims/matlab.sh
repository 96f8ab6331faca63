# shellcheck shell=sh disable=SC2034

# -batch CODE, and -r CODE that ends in exit or quit. -sd DIR is a folder in the container. With -r, whatever would leave
# MATLAB open for somebody is not for a batch session.
find_code() {
    shim_found=''
    while [ $# -gt 0 ]; do
        case $1 in
        -batch | -r)
            [ $# -ge 2 ] && [ -z "$shim_found" ] || return 1
            [ "$1" = -batch ] || ends_in_exit "$2" || return 1
            shim_code=$2 shim_found=yes
            shift
            ;;
        -sd)
            case ${2-} in
            /*) shim_workdir=$2 ;;
            *) return 1 ;;
            esac
            shift
            ;;
        -nodisplay | -nosplash | -nodesktop | -nojvm | -noFigureWindows) ;;
        *) return 1 ;;
        esac
        shift
    done
    [ -n "$shim_found" ]
}

# Takes the blanks from the end of $shim_rest.
drop_blanks() {
    while :; do
        case $shim_rest in
        *[[:blank:]]) shim_rest=${shim_rest%?} ;;
        *) break ;;
        esac
    done
}

# Whether the last statement is exit, exit(...), quit or quit(...).
ends_in_exit() {
    shim_rest=$1
    while :; do
        case $shim_rest in
        *[\;,[:space:]]) shim_rest=${shim_rest%?} ;;
        *) break ;;
        esac
    done
    case $shim_rest in
    *\(*\)) shim_rest=${shim_rest%\(*} ;;
    esac
    drop_blanks
    case $shim_rest in
    *exit) shim_rest=${shim_rest%exit} ;;
    *quit) shim_rest=${shim_rest%quit} ;;
    *) return 1 ;;
    esac
    drop_blanks
    case $shim_rest in
    '' | *[\;,'
']) return 0 ;;
    esac
    return 1
}
