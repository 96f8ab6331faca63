#!/bin/bash
# systemd holds the API's socket: nobody is turned away while warmd restarts, and who connects to a stopped warmd starts it.
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "$(dirname "$0")/lib.bash"
forget_templates
restart_warmd

expect_equal "$(stat -c '%a %U:%G' $socket)" "660 root:warmd"

# A client asks all the time, on a new connection each time, while warmd restarts twice.
answers=$(mktemp)
touch /tmp/asking
while [ -e /tmp/asking ]; do api -o /dev/null -w '%{http_code}\n' $base/healthz; done > "$answers" 2>&1 &
asking=$!
pid=$(systemctl show -P MainPID warmd)
for _ in 1 2; do restart_warmd; done
rm /tmp/asking
wait $asking
[ "$(systemctl show -P MainPID warmd)" != "$pid" ] || fail "warmd was not restarted"
expect_equal "$(sort -u "$answers")" 200 "requests were turned away"
rm "$answers"

systemctl stop warmd 2> /dev/null
expect_equal "$(systemctl is-active warmd)" inactive
expect_equal "$(status_of $base/healthz)" 200 "a request does not start warmd"
expect_equal "$(systemctl is-active warmd)" active

clean_up
finish
