#!/bin/bash
# A warmd of which one thread hangs is ended by systemd's watchdog and started anew; instances live on.
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "$(dirname "$0")/lib.bash"
use_templates counter "$sh_template"

drop_in=/run/systemd/system/warmd.service.d/watchdog.conf
mkdir -p "$(dirname $drop_in)"
printf '[Service]\nWatchdogSec=2\n' > $drop_in
systemctl daemon-reload
restart_warmd
id=$(warmctl -q warm counter)
exec_in "$id" touch /tmp/mine
pid=$(systemctl show -P MainPID warmd)
since=$(date '+%F %T')

# Stops the one thread that waits in epoll, the front door's, as a debugger does, until its process is gone.
python3 - "$pid" <<'END' &
import ctypes, os, pathlib, sys
PTRACE_ATTACH, EPOLL = 16, {"232", "281"}  # epoll_wait, epoll_pwait
tasks = pathlib.Path(f"/proc/{sys.argv[1]}/task")
while True:  # it may be just at work
    waiting = [task.name for task in tasks.iterdir() if (task / "syscall").read_text().split()[0] in EPOLL]
    if waiting:
        break
libc = ctypes.CDLL(None, use_errno=True)
assert libc.ptrace(PTRACE_ATTACH, int(waiting[0]), 0, 0) == 0, os.strerror(ctypes.get_errno())
while True:  # until it dies
    pid, status = os.waitpid(int(waiting[0]), 0x40000000)  # __WALL
    if not os.WIFSTOPPED(status):
        break
    if os.WSTOPSIG(status) != 19:
        libc.ptrace(7, pid, 0, os.WSTOPSIG(status))  # PTRACE_CONT with the signal: systemd's
END
restarted() { [ "$(systemctl show -P MainPID warmd)" != "$pid" ] && ready; }
wait_until 60 restarted
expect_contains "$(journalctl -u warmd --since "$since" --no-pager)" "the HTTP front door hangs"
expect_contains "$(journalctl -u warmd --since "$since" --no-pager)" "Watchdog timeout"
expect_equal "$(exec_in "$id" ls /tmp/mine)" /tmp/mine

# And one in which nothing hangs is left alone, for more than the watchdog's patience.
pid=$(systemctl show -P MainPID warmd)
python3 -c 'import time; end = time.monotonic() + 5
while time.monotonic() < end: time.sleep(0.1)'
expect_equal "$(systemctl show -P MainPID warmd)" "$pid"

rm $drop_in
systemctl daemon-reload
restart_warmd
clean_up
finish
