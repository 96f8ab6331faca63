#!/usr/bin/env bash
# session_loop.bash: evaluates the requests of warm-agent in one long-lived bash (docs/agent-protocol.md, "A session").
#
# Code runs as with `bash -c CODE`, but variables, functions, aliases and options persist, and so does what it exports;
# not its traps, redirections and working directory. An EXIT trap runs at the end of its request, in a subshell.
#
# Nothing but an EXIT trap sees all the ways in which bash ends: exit, set -e, set -u, ${x?}, a break out of our own
# loop. Ours starts bash anew in the same process and hands the state over. What does not survive that: the list of
# jobs (their processes do), and, but for set -e, that variables of the functions then running were local ones.
# The session ends with `exec PROGRAM`, `builtin trap - EXIT` and whatever kills bash.
#
# shellcheck disable=SC2034,SC2317  # what a string of commands uses

# In `bash -c`, messages read as those of the code alone would. The code may break and continue this loop.
if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    # shellcheck disable=SC2016
    exec "$BASH" -c '. "$1"
        while { warm_answer "$?"; } 2> /dev/null; warm_next; do eval "$warm_set"; eval "$warm_code"; done' bash "$0"
fi

warm_guard() {
    local signal
    builtin trap '{ warm_left; } 2> /dev/null' EXIT
    builtin trap : INT  # between requests; ignored, it would stay so in all that we start
    # A signal that ends bash would be survived by way of the EXIT trap.
    for signal in HUP TERM USR1 USR2; do
        # shellcheck disable=SC2064
        builtin trap "builtin trap - EXIT $signal; builtin kill -$signal $$" $signal
    done
    builtin trap - DEBUG ERR RETURN
}

# Keeps our EXIT trap in place and remembers theirs.
trap() {
    local -a found
    # shellcheck disable=SC2064
    builtin trap "$@" || return
    ((BASH_SUBSHELL == 0)) || return 0
    eval "found=($(builtin trap -p EXIT))"
    [[ ${found[2]-} != *warm_left* ]] || return 0
    warm_exit_trap=${found[2]-}
    builtin trap '{ warm_left; } 2> /dev/null' EXIT
}

# The EXIT trap. It is the new bash that answers.
warm_left() {
    warm_status=$? warm_flags=${-//[^euvx]/}
    set +euvx
    [[ $warm_nonce ]] || return 0
    warm_guard
    exec {warm_state}< <(shopt -p; declare -p; declare -f; declare -Fx; alias -p; set +o)
    exec "$BASH" -c "$BASH_EXECUTION_STRING" bash "$warm_file" "$warm_state"
}

# warm_answer STATUS: ends the request, if one is running.
warm_answer() {
    [[ $warm_nonce ]] || return 0
    warm_status=$1 warm_flags+=${-//[^euvx]/}
    set +euvx
    warm_guard
    if [[ $warm_exit_trap ]]; then
        (builtin trap - EXIT; (builtin exit "$1"); eval "$warm_exit_trap"; builtin exit "$1") 2>&"$warm_err"
        warm_status=$? warm_exit_trap=''
    fi
    eval "$warm_undo"
    builtin cd -- "$warm_pwd" || :
    builtin printf '\x1ewarm %s %d\n' "$warm_nonce" "$warm_status" >&"$warm_out"
    builtin printf '\x1ewarm %s %d\n' "$warm_nonce" "$warm_status" >&"$warm_err"
    warm_nonce=''
}

# Waits for code to evaluate, and serves by itself what is not code.
warm_next() {
    local -a fields
    local i
    while :; do
        exec 0< /dev/null 1>&"$warm_out" 2>&"$warm_err"  # the code may have redirected them
        IFS=' ' builtin read -r -u "$warm_fifo" -a fields || builtin exit
        ((${#fields[@]} > 0)) || continue  # empty lines are to be ignored
        [[ ${fields[0]-} ]] || continue
        for i in "${!fields[@]}"; do
            builtin printf -v "fields[$i]" %b "${fields[i]//%/\\x}"
        done
        warm_nonce=${fields[0]} warm_pwd=$PWD warm_undo=''
        case ${fields[1]} in
            exec)
                if builtin cd -- "${fields[2]}"; then
                    for i in "${fields[@]:4}"; do warm_export "$i"; done
                    warm_set=${warm_flags:+set -$warm_flags} warm_flags='' warm_code=${fields[3]}
                    builtin trap 'builtin exit 130' INT
                    return 0
                fi
                warm_answer 1
                ;;
            resume)
                RANDOM=${fields[2]}
                export "TMPDIR=${fields[3]}" "${fields[@]:4}"
                warm_answer 0
                ;;
            *)
                builtin echo "session: unknown request: ${fields[1]}" >&2
                warm_answer 1
                ;;
        esac
    done
}

# warm_export NAME=VALUE: until the end of the request.
warm_export() {
    local name=${1%%=*}
    local old=${!name@A}
    warm_undo+="unset -v $name"$'\n'
    [[ ! -v $name ]] || warm_undo+=${old/#declare/declare -g}$'\n'
    export "${1?}"
}

if [[ ${2-} ]]; then
    # shellcheck disable=SC1090
    . "/dev/fd/$2" 2> /dev/null  # bash's own readonly variables cannot be set
    exec {warm_state}<&-
else
    warm_file=$1 warm_status=0 warm_nonce='' warm_exit_trap='' warm_flags=''
    exec {warm_out}>&1 {warm_err}>&2 {warm_fifo}< "$WARM_SESSION"
fi
set --
warm_guard
return "$warm_status"
