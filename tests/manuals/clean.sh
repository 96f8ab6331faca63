#!/bin/bash
# Leaves warmd as a manual expects it: installed, with Octave's template, and nothing made yet.
# shellcheck source-path=SCRIPTDIR source=../functional/lib.bash
. "$(dirname "$0")/../functional/lib.bash"
rm -f /run/systemd/system/warmd.service.d/tcp.conf  # of the chapters that let it listen on TCP
systemctl daemon-reload
systemctl start podman.socket warmd.socket
restart_warmd
for lease in $(api "$base/v1/leases?limit=1000" | json '.items[].id'); do warmctl -q lease release "$lease"; done
# A lease's end, and a pool that is no more, take their instances with them: clean_up must not do it at the same time.
at_rest() { [ -z "$(api "$base/v1/instances?limit=1000" | json '.items[] | select(.state != "idle").id')" ]; }
wait_until 30 at_rest
clean_up
finish
