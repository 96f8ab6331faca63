"""The real Podman, as the harness sees it: in the test host alone, because it looks at everything that is left there."""

import json
import pathlib
import subprocess

import harness

# The word is in the shell's memory alone: whoever wants to read it takes the file away, and it is written anew.
APPLICATION = ("read -r word < /proc/sys/kernel/random/uuid; mkdir -p /run/warm; "
               "while :; do [ -s /run/warm/word ] || echo $word > /run/warm/word; sleep 0.05; done")
ASK = ["sh", "-c", "rm -f /run/warm/word; until [ -s /run/warm/word ]; do sleep 0.02; done; cat /run/warm/word"]


def run(*words, check=True):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"{words}: {done.stderr}")
    return done.stdout


class RealEngine:
    """remembers: whether it knows what a container's memory is without asking the container."""

    remembers = False
    ask = ASK
    ready = ["test", "-s", "/run/warm/word"]

    def __init__(self, socket):
        self.socket = socket

    def call(self, method, target):
        answer = harness.request(self.socket, method, "/v5.0.0/libpod" + target, headers={"Host": "podman"})
        if answer.status >= 300:
            raise RuntimeError(f"Podman: {method} {target}: {answer.text!r}")
        return answer.body

    def state(self):
        """Asked until it answers: the service may be starting."""
        def ask():
            try:
                return {"containers": {entry["Names"][0]: {"id": entry["Id"], "status": entry["State"], "memory": None,
                                                           "labels": entry["Labels"] or {}, "pid": entry["Pid"]}
                                       for entry in self.call("GET", "/containers/json?all=true")}}
            except (harness.Broken, RuntimeError):
                return None

        return harness.wait_for(lambda: ask() or None, 60, "Podman lists its containers")

    def faults(self, *rules):
        if rules:
            raise RuntimeError("the real Podman cannot be told to fail")

    def kill(self, name, oom=False):
        pid = self.state()["containers"][name]["pid"]
        subprocess.run(["kill", "-KILL", str(pid)], check=True)

    def listen(self, listening):
        run("systemctl", "start" if listening else "stop", "podman.socket", "podman.service", check=listening)

    def restart(self):
        """Its service is killed, and comes back by the next connection to its socket."""
        run("systemctl", "kill", "--signal=KILL", "podman.service", check=False)

    def traces(self):
        """What containers leave in the kernel and on disk, as counts; the same before and after."""
        storage = pathlib.Path("/var/lib/containers/storage")
        mounts = pathlib.Path("/proc/self/mountinfo").read_text()
        return {
            "containers": len(self.state()["containers"]),
            "network namespaces": len(list(pathlib.Path("/run/netns").glob("*"))) if pathlib.Path("/run/netns").exists() else 0,
            "control groups": int(run("sh", "-c", "find /sys/fs/cgroup -type d -name 'libpod-*' | wc -l")),
            "overlay mounts": mounts.count("/storage/overlay/"),
            "container directories": len([path for path in (storage / "overlay-containers").iterdir() if path.is_dir()]),
            "images": len(self.call("GET", "/images/json?all=true")),
            "monitors": int(run("sh", "-c", "pgrep -x conmon | wc -l")),
        }

    def still_traces(self):
        """When the monitors of commands are gone, which stay for a moment (exit_command_delay)."""
        return harness.wait_for(lambda: (traces := self.traces())["monitors"] == 0 and traces, 60, "no monitor is left")

    def template(self, rest):
        return (f'image = "localhost/warmd/debian:13"\ncommand = {json.dumps(["bash", "-c", APPLICATION])}\nnetwork = "none"\n'
                '[warm]\nquiet_for = "0s"\npoll_interval = "20ms"\ntcp_quiescence = false\n' + rest)

    def stop(self):
        """What a failed case may have left."""
        for name, container in self.state()["containers"].items():
            if container["labels"].get("warmd.instance"):
                run("podman", "rm", "-f", "-t", "0", name, check=False)
