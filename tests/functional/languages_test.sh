#!/bin/bash
# Each language's session: warm, checkpoint, three restores, code in each.
# shellcheck disable=SC2016  # what is in single quotes expands in the container
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "$(dirname "$0")/lib.bash"
template() { cat "/usr/share/warmd/templates/$1.toml"; }
use_templates python "$(template python)" r "$(template r)" java "$(template java)" \
    bash 'image = "localhost/warmd/octave:latest"
command = ["bash", "/opt/sessions/session_loop.bash"]
[[mounts]]
source = "/usr/share/warmd/dockerfiles/agent/sessions"
target = "/opt/sessions"'

declare -A remember=(
    [octave]='x = 40;'
    [python]='import numpy, scipy.linalg; x = int(round(scipy.linalg.det(numpy.eye(2) * 2))) * 10'
    [r]='x <- sum(c(10, 30))'
    [java]='int x = 40;'
    [bash]='x=40'
)
declare -A recall=(
    [octave]='disp(x + 2)' [python]='print(x + 2)' [r]='cat(x + 2, "\n", sep = "")' [java]='System.out.println(x + 2);'
    [bash]='echo $((x + 2))'
)
declare -A fail_with_3=(
    [octave]='exit(3)' [python]='raise SystemExit(3)' [r]='quit(status = 3)' [java]='exit(3);' [bash]='exit 3'
)
declare -A random=(
    [octave]='disp(rand)' [python]='import random; print(random.random(), numpy.random.random())' [r]='cat(runif(1), tempfile())'
    [java]='System.out.println(System.getProperty("java.io.tmpdir"));' [bash]='echo $RANDOM $TMPDIR'
)
for name in octave python r java bash; do
    source=$(warmctl -q warm $name) || { fail "$name cannot be warmed: $(warmctl warm $name 2>&1)"; continue; }
    warmctl exec "$source" --code "${remember[$name]}" > /dev/null || fail "$name: the first request"
    checkpoint=$(warmctl -q checkpoint "$source") || { fail "$name cannot be checkpointed"; continue; }
    seen=()
    for copy in 1 2 3; do
        id=$(warmctl -q restore "$checkpoint") || { fail "$name cannot be restored"; continue; }
        expect_equal "$(warmctl exec "$id" --code "${recall[$name]}")" 42 "$name, copy $copy"
        warmctl exec "$id" --code "${fail_with_3[$name]}"
        expect_equal $? 3 "$name, copy $copy"
        seen+=("$(warmctl exec "$id" --code "${random[$name]}")")
    done
    expect_equal "$(printf '%s\n' "${seen[@]}" | sort -u | wc -l)" 3 "$name: different random values"
done
clean_up
finish
