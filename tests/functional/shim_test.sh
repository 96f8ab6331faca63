#!/bin/bash
# Shims: batch calls go to warmd, all others to the real program, which also stands in when warmd does not run.
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "$(dirname "$0")/lib.bash"
use_templates octave "$(cat /usr/share/warmd/templates/octave.toml)"
warmctl -q checkpoint octave > /dev/null
work=$(mktemp -d)
mkdir "$work/real"
for name in octave matlab; do
    # shellcheck disable=SC2016  # expanded by the program
    printf '#!/bin/sh\necho "real: $*"\nexit 9\n' > "$work/real/$name"
    chmod 755 "$work/real/$name"
done

expect_contains "$(warmctl shim install --dir "$work/shims" --template octave octave matlab 2>&1)" "export PATH="
warmctl -q shim install --dir "$work/real" octave > /dev/null 2>&1
expect_equal $? 1 "a program in the way"
expect_equal "$("$work/real/octave" x)" "real: x" "the program in the way"
PATH=$work/shims:$work/real:$PATH

# To warmd.
expect_equal "$(octave --quiet --eval 'disp(sqrt(36))' 2> /dev/null)" 6
expect_equal "$(octave --no-gui --eval='disp([1,2](2))' 2> /dev/null)" 2
expect_equal "$(matlab -nodisplay -sd /usr -batch "disp(pwd), fprintf(2, 'err')" 2> "$work/err"):$(tail -n 1 "$work/err")" "/usr:err"
matlab -batch 'exit(3)' 2> /dev/null
expect_equal $? 3 "exit(3)"
expect_equal "$(matlab -nodesktop -r "disp('r'); exit" 2> /dev/null)" r
matlab -batch "error('boom')" 2> "$work/err"
expect_equal $? 1 "an error"
expect_contains "$(cat "$work/err")" boom

# To the real program.
expect_equal "$(octave script.m)" "real: script.m"
expect_equal "$(octave)" "real: "
expect_equal "$(matlab -r 'x = 1')" "real: -r x = 1"
matlab -nosplash
expect_equal $? 9 "the status of the real program"
expect_equal "$(WARMD_SHIM=off octave --eval 1)" "real: --eval 1" WARMD_SHIM=off

# Without warmd.
systemctl stop warmd.socket warmd
out=$(octave --eval 1 2> "$work/err")
expect_equal "$?:$out" "9:real: --eval 1" "without warmd"
expect_equal "$(cat "$work/err")" "warmctl: no daemon answers on $socket; running $work/real/octave here instead"
restart_warmd

warmctl -q shim remove --dir "$work/shims" octave matlab > /dev/null || fail "the shims cannot be removed"
hash -r
expect_equal "$(octave --eval 1)" "real: --eval 1" "without shims"
rm -r "$work"
clean_up
finish
