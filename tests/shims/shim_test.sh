#!/bin/bash
# Which calls a shim sends to warmd and which to the real program: shim_test.sh WARMCTL. The warmctl that shims find is a
# fake that prints its arguments; the real one only writes the shims.
set -uo pipefail

warmctl=$(readlink -f "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/shims" "$work/fake" "$work/real" "$work/none"
failures=0

fail() { echo "FAIL ${0##*/}:${BASH_LINENO[-2]}: $*" >&2; failures=$((failures + 1)); }
expect_equal() { [ "$1" = "$2" ] || fail "\"$1\" instead of \"$2\"${3:+: $3}"; }
expect_contains() { [[ "$1" == *"$2"* ]] || fail "no \"$2\" in: $1"; }

program() {  # PATH WORD: prints the word and its arguments in angle brackets, and ends with 7
    # shellcheck disable=SC2016  # expanded by the program
    printf '#!/bin/sh\nprintf %s\nprintf "<%%s>" "$@"\nexit 7\n' "$2" > "$1"
    chmod 755 "$1"
}
program "$work/fake/warmctl" warmctl:
for name in matlab octave octave-cli python3; do program "$work/real/$name" real:; done
system=/usr/bin:/bin  # for what the shims themselves use
path=$work/shims:$work/fake:$work/real:$system

call() { PATH=$path "$@" < /dev/null; }
to_warmd() {  # TEMPLATE CODE [OPTION...] -- PROGRAM ARGUMENT...
    local template=$1 code=$2 options=''; shift 2
    while [ "$1" != -- ]; do options+="<$1>"; shift; done
    shift
    local expected="warmctl:<run><$template><--code><$code>$options<--or-here><--><$work/real/$1>" word name=$1
    shift
    for word; do expected+="<$word>"; done
    expect_equal "$(call "$name" "$@")" "$expected" "$name $*"
}
to_real() {  # PROGRAM ARGUMENT...
    local expected='real:' word name=$1; shift
    for word; do expected+="<$word>"; done
    [ $# -gt 0 ] || expected+='<>'
    expect_equal "$(call "$name" "$@")" "$expected" "$name $*"
}

# Writing them.
expect_equal "$(PATH=$path "$warmctl" shim install --dir "$work/shims" matlab octave octave-cli python3 2>&1)" \
    "$(printf "$work/shims/%s\n" matlab octave octave-cli python3)"
expect_contains "$(PATH=$system "$warmctl" shim install --dir "$work/shims" matlab 2>&1 > /dev/null)" \
    "export PATH=\"$work/shims:\$PATH\""
expect_equal "$(stat -c %a "$work/shims/matlab")" 755
expect_equal "$(find "$work/shims" | wc -l)" 5 "files that the writing left"
for shell in sh dash bash; do
    if command -v $shell > /dev/null; then $shell -n "$work/shims/matlab" || fail "$shell cannot read it"; fi
done
if command -v shellcheck > /dev/null; then shellcheck "$work"/shims/* || fail "shellcheck"; fi

# matlab.
to_warmd matlab 'disp(1)' -- matlab -batch 'disp(1)'
to_warmd matlab "a 'b' \"c\" \$d; e" -- matlab -nodisplay -nosplash -nodesktop -nojvm -batch "a 'b' \"c\" \$d; e"
to_warmd matlab '[1,2]' --workdir /w -- matlab -sd /w -batch '[1,2]'
newline='
'
for code in exit quit 'f; exit' 'f, exit;' 'f; exit(3) ; ' 'f;quit (0),' "f$newline exit" "f${newline}quit;$newline"; do
    to_warmd matlab "$code" -- matlab -nodesktop -r "$code"
done
for code in '' f 'f; exit; g' 'f exit' 'myexit' 'f; exits' 'exit_code' 'x = quit' 'f(exit)' 'exit force'; do
    to_real matlab -r "$code"
done
to_real matlab
to_real matlab -batch
to_real matlab -r
to_real matlab -batch a -batch b
to_real matlab -batch a -logfile f
to_real matlab -sd relative -batch a
to_real matlab -batch a -sd
to_real matlab -nodesktop
to_real matlab -help
to_real matlab 'two words' "a'b"

# octave.
to_warmd octave 'disp(1)' -- octave --eval 'disp(1)'
to_warmd octave 'disp(1)' -- octave -q --no-gui -W --eval='disp(1)' --norc
to_warmd octave '' -- octave-cli --eval ''
to_real octave
to_real octave script.m
to_real octave --eval 'x' script.m
to_real octave --eval 'x' --persist
to_real octave --eval 'x' --eval 'y'
to_real octave --eval
to_real octave -q

# python3: not with arguments, and not where it could read or import something of the caller.
to_warmd python 'print(1)' -- python3 -c 'print(1)'
to_warmd python 'print(1)' -- python3 -u -B -c 'print(1)'
to_real python3
to_real python3 -
to_real python3 script.py -c x
to_real python3 -c 'print(1)' argument
to_real python3 -I -c 'print(1)'
to_real python3 -m module
expect_equal "$(echo words | PATH=$path python3 -c 1)" "real:<-c><1>" "standard input"
expect_equal "$(PYTHONPATH=/x call python3 -c 1)" "real:<-c><1>" PYTHONPATH

# Statuses are passed on.
call octave --eval 1 > /dev/null
expect_equal $? 7 "the status of warmctl"
call octave file > /dev/null
expect_equal $? 7 "the status of the real program"

# Variables of the caller reach the real program as they are.
# shellcheck disable=SC2016  # expanded by the program
printf '#!/bin/sh\necho "$code $found $real $shim_code|$IFS|"\n' > "$work/none/octave"
chmod 755 "$work/none/octave"
expect_equal "$(export code=1 found=2 real=3; PATH=$work/shims:$work/none:$system octave x | head -n 1)" "$(printf '1 2 3 | \t')"

# Switched off.
expect_equal "$(WARMD_SHIM=off call octave --eval 1)" "real:<--eval><1>" WARMD_SHIM=off

# Strict: warmd or nothing, for what goes to warmd.
expect_equal "$(WARMD_SHIM=strict call matlab -batch 1)" "warmctl:<run><matlab><--code><1>" strict
expect_equal "$(WARMD_SHIM=strict call matlab script)" "real:<script>" "strict, not for warmd"
expect_equal "$(PATH=$work/shims:$work/real:$system WARMD_SHIM=strict matlab -batch 1 2> "$work/err"):$?" ":127" "strict without warmctl"
expect_contains "$(cat "$work/err")" "WARMD_SHIM=strict"

# Without warmctl.
out=$(PATH=$work/shims:$work/real:$system octave --eval 1 2> "$work/err")
expect_equal "$?:$out" "7:real:<--eval><1>" "without warmctl"
expect_equal "$(cat "$work/err")" "octave: warmctl is not on PATH; running $work/real/octave instead"

# Without the real program, and past other shims, whatever their folder is called.
mkdir "$work/more shims"
cp "$work/shims/octave" "$work/more shims/octave"
path="$work/shims:$work/more shims:$work/shims::$work/fake:$system"
expect_equal "$(call octave --eval 1)" "warmctl:<run><octave><--code><1>" "no real program"
out=$(call octave file 2>&1)
expect_equal "$?:$out" "127:octave: not found: warmd's shim runs batch calls only, and no other octave is on PATH"
path="$work/shims:$work/more shims:$work/fake:$work/real:$system"
expect_equal "$(call octave file)" "real:<file>" "past another shim"

# A directory and a file that cannot be executed are not the real program.
mkdir -p "$work/odd/octave" "$work/odd2"
: > "$work/odd2/octave"
path=$work/shims:$work/odd:$work/odd2:$work/real:$system
expect_equal "$(call octave file)" "real:<file>" "odd files"

# A real program that calls its own name.
# shellcheck disable=SC2016  # expanded by the program
printf '#!/bin/sh\nexec octave "$@"\n' > "$work/none/octave"
path=$work/shims:$work/none:$system
out=$(call timeout 20 octave file 2>&1)
expect_equal $? 127 "a real program that calls itself"
expect_contains "$out" "does $work/none/octave call octave by PATH?"

# With the real warmctl and no daemon the real program runs, and a line says so.
mkdir "$work/bin"
ln -s "$warmctl" "$work/bin/warmctl"
path=$work/shims:$work/bin:$work/real:$system
out=$(WARMD_HOST=$work/nobody call matlab -batch '[1,2]' 2> "$work/err")
expect_equal "$?:$out" "7:real:<-batch><[1,2]>" "no daemon"
expect_equal "$(cat "$work/err")" "warmctl: no daemon answers on $work/nobody; running $work/real/matlab here instead"

# What is not a shim is not replaced without --force, and never removed.
out=$("$warmctl" shim install --dir "$work/real" matlab octave 2>&1)
expect_equal $? 1 "a program in the way"
expect_contains "$out" "$work/real/matlab is there already"
expect_equal "$("$work/real/matlab" x)" "real:<x>"
"$warmctl" shim remove --dir "$work/real" matlab 2> "$work/err"
expect_equal $? 1 "removing a program"
[ -x "$work/real/matlab" ] || fail "a program was removed"
"$warmctl" -q shim install --dir "$work/real" --force --template m2 matlab > /dev/null
expect_equal "$("$warmctl" --json shim list --dir "$work/real")" \
    "{\"path\":\"$work/real/matlab\",\"program\":\"matlab\",\"template\":\"m2\"}"

# Replacing and removing shims.
"$warmctl" -q shim install --dir "$work/shims" --template other octave > /dev/null || fail "a shim is not replaced"
path=$work/shims:$work/fake:$work/real:$system
to_warmd other 1 -- octave --eval 1
expect_equal "$("$warmctl" shim list --dir "$work/shims" | tail -n +2 | wc -l)" 4
"$warmctl" shim remove --dir "$work/shims" matlab octave octave-cli python3 > /dev/null || fail "removing"
expect_equal "$(ls -A "$work/shims")" "" "files that the removal left"
"$warmctl" shim install --dir "$work/shims" sed 2> /dev/null
expect_equal $? 2 "a program without a shim"
"$warmctl" shim install --dir "$work/shims" --template "a'b" octave 2> /dev/null
expect_equal $? 2 "a template that cannot be"

[ $failures = 0 ] && echo "shims: in order"
