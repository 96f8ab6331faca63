"""The machine that measurements run on: Podman, warmd as a service, its templates, and what is left on the disk."""

import contextlib
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import time

from warmd import Failed

BENCH = pathlib.Path(__file__).resolve().parents[1]
TEMPLATES = pathlib.Path("/etc/warmd/templates.d")
STORE = pathlib.Path("/var/lib/warmd")
# Where Podman keeps a directory for each container and layer, and for each import that is not complete.
DIRECTORIES_OF_PODMAN = [pathlib.Path(path) for path in (
    "/var/lib/containers/storage/overlay", "/var/lib/containers/storage/overlay-containers", "/var/tmp")]
PREFIX = "bench-"  # of all templates and containers that measurements make
MEMORY_IMAGE = "localhost/warmd/bench-memory:latest"
AGENTS = (pathlib.Path("/usr/libexec/warmd/warm-agent"), pathlib.Path("/usr/local/libexec/warmd/warm-agent"))


def run(*command):
    """What the command printed. Raises Failed with its last words."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
                              timeout=900)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(str(error)) from error
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)[:200]}: exit status {done.returncode}: {done.stderr.strip()[-600:]}")
    return done.stdout


def succeeds(*command):
    return subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL).returncode == 0


def wait_until(condition, seconds, what):
    """Polls what nobody announces."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {seconds} s")
        time.sleep(0.02)


def describe():
    memory = int(pathlib.Path("/proc/meminfo").read_text(encoding="ascii").split()[1]) // 1024
    return {"kernel": platform.release(), "cpus": os.cpu_count(), "memory_mb": memory,
            "podman": run("podman", "--version").split()[-1], "criu": run("criu", "--version").split()[1]}


def available_mb():
    for line in pathlib.Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    raise Failed("/proc/meminfo has no MemAvailable")


def free_disk_mb():
    return min(shutil.disk_usage(place).free for place in (STORE, pathlib.Path("/var/tmp"))) // 2**20


def build_memory_image(program):
    """Compiles warm-memory to `program` and puts it into an image with the agent."""
    run("gcc", "-O2", "-static", "-o", str(program), str(BENCH / "memory/warm-memory.c"))
    agent = next((path for path in AGENTS if path.exists()), None)
    if not agent:
        raise Failed(f"no agent at {AGENTS[0]}: install warmd first")
    with tempfile.TemporaryDirectory() as context:
        for file in agent, program, BENCH / "memory/Dockerfile":
            shutil.copy(file, context)
        # The limits: what podman build asks for by default takes CAP_SYS_RESOURCE, which root may lack.
        run("podman", "build", "--quiet", "--network=none", "--pull=never", "--ulimit=nofile=1024:1024",
            "--ulimit=nproc=1024:1024", "--tag", MEMORY_IMAGE, context)


class Service:
    """warmd under systemd, with templates of ours for as long as the context lasts.

    Everything that was made of these templates is deleted at both ends; a run that was broken off leaves nothing.
    """

    def __init__(self, warmd, templates):
        self.warmd = warmd
        self.templates = {PREFIX + name: text for name, text in templates.items()}
        self.made = set()  # ids, to look for in what is left
        self.entries_before = set()

    def __enter__(self):
        with contextlib.suppress(Failed):  # it may not have been running
            self.delete_all()
        self.entries_before = entries_of_podman()
        self.forget_templates()
        for name, text in self.templates.items():
            (TEMPLATES / f"{name}.toml").write_text(text, encoding="utf-8")
        try:
            self.restart()
        except BaseException:
            self.forget_templates()
            raise
        return self

    def __exit__(self, kind, *_):
        try:
            self.delete_all()
        except Failed as error:
            if not kind:
                raise
            print(f"cleaning up: {error}", file=sys.stderr)  # why it has come to this is told by the caller
        finally:
            self.forget_templates()
            self.restart()

    def forget_templates(self):
        TEMPLATES.mkdir(parents=True, exist_ok=True)
        for file in TEMPLATES.glob(f"{PREFIX}*.toml"):
            file.unlink()

    def restart(self):
        succeeds("systemctl", "reset-failed", "warmd")  # systemd allows a few restarts a minute
        if not succeeds("systemctl", "restart", "warmd"):
            raise Failed("warmd does not start: " + run("journalctl", "-u", "warmd", "--no-pager", "-n", "15"))
        wait_until(self.ready, 30, "warmd is ready")

    def ready(self):
        try:
            self.warmd.call("GET", "/readyz")
        except Failed:
            return False
        return True

    def pid(self):
        return int(run("systemctl", "show", "--property=MainPID", "--value", "warmd"))

    def reset_peak(self):
        pathlib.Path(f"/proc/{self.pid()}/clear_refs").write_text("5", encoding="ascii")

    def peak_mb(self):
        """Of warmd's resident memory, since it was reset."""
        for line in pathlib.Path(f"/proc/{self.pid()}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        raise Failed("warmd has no VmHWM: it is not running")

    def checkpoint(self, template):
        """Warms the template and makes a checkpoint of it: its id and the phases."""
        operation = self.warmd.operation("POST", f"/v1/templates/{PREFIX}{template}/checkpoints")
        self.made.update((operation["checkpoint"], operation["instance"]))
        return operation["checkpoint"], phases_of(operation)

    def ours(self, kind):
        """Live instances, or checkpoints, of our templates."""
        listed = self.warmd.call("GET", f"/v1/{kind}?limit=1000")["items"]
        return [item["id"] for item in listed if item["template"].startswith(PREFIX)]

    def delete_all(self):
        for name in containers():
            if name.startswith(PREFIX):
                run("podman", "rm", "--force", "--time", "0", name)
        # Checkpoints first: a pool without one is not filled again.
        for kind in "checkpoints", "instances":
            wait_until(lambda: not self.delete_some(kind), 120, f"all {kind} are gone")

    def delete_some(self, kind):
        """Deletes what can be deleted now. What there was before."""
        found = self.ours(kind)
        self.made.update(found)
        for name in found:
            try:
                self.warmd.operation("DELETE", f"/v1/{kind}/{name}")
            except Failed as error:
                if error.code not in ("conflict", "not_found"):  # on its way, in one direction or the other
                    raise
        return found

    def left(self):
        """Counts what a clean end leaves none of. warmd deletes in the background, so it has a moment for that."""
        counts = {}

        def none_left():
            counts.update(self.count_left())
            return not any(counts.values())

        with contextlib.suppress(Failed):
            wait_until(none_left, 10, "nothing is left")
        return counts

    def count_left(self):
        names = containers()
        mounts = pathlib.Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
        return {"instances": len(self.ours("instances")),
                "checkpoints": len(self.ours("checkpoints")),
                "containers": sum(name.startswith(PREFIX) or self.is_of_ours(name) for name in names),
                "files": sum(1 for _ in self.files()),
                "directories of Podman": len(entries_of_podman() - self.entries_before),
                "mounts": sum(map(self.is_of_ours, mounts)),
                "processes": len(warm_memory_processes())}

    def is_of_ours(self, text):
        return any(name in text for name in self.made)

    def files(self, mark=None):
        """What of warmd's store has `mark` in its path, or the id of anything that was made here."""
        for directory, directories, names in os.walk(STORE):
            for name in directories + names:
                path = os.path.join(directory, name)
                if mark in path if mark else self.is_of_ours(path):
                    yield path

    def stored_mb(self, checkpoint):
        """What a checkpoint takes on the disk, holes left out."""
        blocks = 0
        for path in self.files(checkpoint):
            with contextlib.suppress(FileNotFoundError):
                blocks += os.lstat(path).st_blocks
        return blocks * 512 / 2**20


def containers():
    return run("podman", "ps", "--all", "--format", "{{.Names}}").split()


def entries_of_podman():
    return {path for directory in DIRECTORIES_OF_PODMAN if directory.exists() for path in directory.iterdir()
            if not path.name.startswith("warmd-bench-")}


def warm_memory_processes():
    found = []
    for name in pathlib.Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if name.read_text(encoding="utf-8").strip() == "warm-memory":
                found.append(name.parent.name)
    return found


def phases_of(document):
    return {phase["name"]: phase["elapsed_ms"] for phase in document["phases"]}
