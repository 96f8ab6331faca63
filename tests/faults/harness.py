"""What the rows of the fault table stand on: a daemon that can be killed at any call, its engine, a client that remembers
what it was told, and the invariants."""

import contextlib
import ctypes
import hashlib
import http.client
import json
import mmap
import os
import pathlib
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time

import podman_engine

HERE = pathlib.Path(__file__).resolve().parent
IMAGE = "localhost/faults:1"

# As in failpoints.cpp.
KINDS = ("write", "pwrite", "writev", "fsync", "fdatasync", "rename", "unlink", "create", "mkdir", "rmdir", "link", "symlink",
         "ftruncate", "fallocate", "send", "open", "read", "pread", "accept", "socket", "connect")
CHANGES = KINDS[:15]  # what others can see: of the files, of the store or the catalog, and messages
FILES = KINDS[:14]
MOST_KINDS = 65536

TEMPLATES = {
    "plain": "",
    # No instance is made unless one is asked for.
    "pooled": "[pool]\nmin_idle = 0\nmax_size = 8\n",
    "ready": "[pool]\nmin_idle = 1\nmax_size = 8\n",
    "probed": '[warm.ready]\nexec = READY\ntimeout = "20s"\n',
    "never": '[warm.ready]\nexec = ["false"]\ntimeout = "60s"\n',
}


patience = 1  # by which all waiting is longer: the real Podman on a busy machine


class Failure(Exception):
    """An invariant does not hold."""


def wait_for(condition, seconds, what):
    """Polls; nobody announces what it waits for."""
    end = time.monotonic() + seconds * patience
    pause = 0.005
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"not within {seconds * patience} s: {what}")
        time.sleep(pause)
        pause = min(0.1, 1.5 * pause)  # each look costs the daemon something


class Failpoints:
    """The file that the preloaded library reads. The layout is that of Control in failpoints.cpp."""

    OFF, COUNT, KILL, FAIL = range(4)

    class Control(ctypes.Structure):
        _fields_ = [(name, ctypes.c_uint32) for name in ("mode", "mask", "first", "last", "error", "count", "struck")] + \
            [("clock", ctypes.c_int32), ("prefix", ctypes.c_char * 256), ("where", ctypes.c_char * 512), ("kinds", ctypes.c_uint8 * MOST_KINDS)]

    def __init__(self, path):
        self.path = path
        with open(path, "wb") as file:
            file.truncate(ctypes.sizeof(self.Control))
        with open(path, "r+b") as file:
            self.mapped = mmap.mmap(file.fileno(), 0)
        self.control = self.Control.from_buffer(self.mapped)

    def arm(self, mode, first=0, last=None, error=0, kinds=CHANGES, prefix=""):
        control = self.control
        control.mode = self.OFF
        control.mask = sum(1 << KINDS.index(kind) for kind in kinds)
        control.first = first
        control.last = first if last is None else last
        control.error = error
        control.count = 0
        control.struck = 0
        control.where = b""
        control.prefix = prefix.encode()
        control.mode = mode

    def disarm(self):
        self.control.mode = self.OFF

    @property
    def count(self):
        return self.control.count

    @property
    def struck(self):
        return self.control.struck

    def kinds(self):
        """Of the calls that were counted, in their order."""
        return [KINDS[kind] for kind in self.control.kinds[:min(self.count, MOST_KINDS)]]

    def describe(self):
        number = self.control.first
        kind = KINDS[self.control.kinds[number - 1]] if 0 < number <= min(self.count, MOST_KINDS) else "?"
        return f"{kind} {self.control.where.decode(errors='replace')}"


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.text = body
        try:
            self.body = json.loads(body) if body else None
        except ValueError:
            self.body = None

    @property
    def code(self):
        """The error's word, or "" when it is none."""
        return self.body.get("code", "") if self.status >= 400 and isinstance(self.body, dict) else ""


class Broken(Exception):
    """The connection broke before the answer had come."""


def request(path, method, target, body=None, headers=None, timeout=30, pace=None):
    connection = http.client.HTTPConnection("faults", timeout=timeout)
    try:
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(timeout)
        connection.sock.connect(path)
        sent = {"Accept": "application/json", **(headers or {})}
        data = None
        if body is not None:
            data = json.dumps(body)
            sent["Content-Type"] = "application/json"
        connection.request(method, target, body=data, headers=sent)
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read())
    except (OSError, http.client.HTTPException) as error:
        raise Broken(repr(error)) from error
    finally:
        connection.close()


class Engine:
    """A fake Podman in a process of its own. In a test host there is the real one (podman_engine.py)."""

    remembers = True
    ask = ["cat", ".memory"]
    ready = ["cat", ".memory"]

    def __init__(self, directory):
        self.socket = str(directory / "podman.sock")
        self.process = subprocess.Popen([sys.executable, str(HERE / "fake_podman.py"), self.socket, str(directory / "containers"), IMAGE],
                                        stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError("the fake Podman does not start")

    def control(self, method, target, body=None):
        answer = request(self.socket + ".control", method, target, body)
        if answer.status != 200:
            raise RuntimeError(f"fake Podman: {answer.text}")
        return answer.body

    def state(self):
        return self.control("GET", "/state")

    def faults(self, *rules):
        self.control("POST", "/faults", list(rules))

    def kill(self, name, oom=False):
        self.control("POST", "/kill", {"name": name, "oom": oom})

    def listen(self, listening):
        self.control("POST", "/listen", {"listening": listening})

    def restart(self):
        self.control("POST", "/restart")

    def template(self, rest):
        return (f'image = "{IMAGE}"\ncommand = ["sleep", "infinity"]\n[warm]\nquiet_for = "0s"\npoll_interval = "10ms"\n'
                'tcp_quiescence = false\n' + rest + '[checkpoint]\ntimeout = "3s"\n[restore]\ntimeout = "3s"\n')

    def traces(self):
        """What its containers leave on the machine, as counts."""
        state = self.state()
        groups = len(list(pathlib.Path(state["groups"]).glob("libpod-*"))) if state["groups"] else 0
        return {"containers": len(state["containers"]), "control groups": groups}

    still_traces = traces

    def stop(self):
        self.process.terminate()
        self.process.wait()


def entries_or_none(path):
    """Of a synced directory; none of a synced file."""
    try:
        lines = [line.split(" ", 2) for line in path.read_text().splitlines()]
    except UnicodeDecodeError:
        return []
    return [line for line in lines if len(line) == 3 and line[0] in ("file", "directory")]


class World:
    """A state directory, an engine, and daemons one after the other."""

    def __init__(self, warmd, library, directory=None, podman_timeout="5s", environment=None, wrapper=(), podman=None):
        self.warmd = str(pathlib.Path(warmd).resolve())
        self.library = library
        self.directory = pathlib.Path(directory or f"/tmp/warmd-faults-{secrets.token_hex(4)}")
        self.directory.mkdir(parents=True)
        self.state = self.directory / "state"
        self.run = self.directory / "run"
        self.run.mkdir()
        self.socket = str(self.run / "warmd.sock")
        self.environment = dict(environment or {})
        self.wrapper = list(wrapper)
        self.limits = {}
        self.engine = podman_engine.RealEngine(podman) if podman else Engine(self.directory)
        self.failpoints = Failpoints(self.directory / "failpoints")
        templates = self.directory / "templates.d"
        templates.mkdir()
        for name, rest in TEMPLATES.items():
            (templates / f"{name}.toml").write_text(self.engine.template(rest.replace("READY", json.dumps(self.engine.ready))))
        (self.directory / "warmd.toml").write_text(
            f'[log]\nlevel = "info"\n[api]\nsocket = "{self.socket}"\nthreads = 4\n[store]\ndirectory = "{self.state}"\nhistory = 40\n'
            f'[podman]\nsocket = "{self.engine.socket}"\ntimeout = "{podman_timeout}"\n')
        # Priming is a matter of a boot: it has been done.
        (self.run / "primed").write_text(pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip() + " 1000\n")
        self.daemon = None
        self.starts = 0

    def start(self, wait=True, environment=None):
        """A new daemon. Returns once it serves, unless told otherwise."""
        log = open(self.directory / "warmd.log", "ab")
        env = {**os.environ, "WARMD_FAILPOINTS": str(self.failpoints.path), "LD_PRELOAD": self.library, **self.environment, **(environment or {})}
        # Ours, and not inherited: these are warmd's to see.
        env.setdefault("ASAN_OPTIONS", "verify_asan_link_order=0:detect_leaks=0")

        def limit():
            import resource

            for which, value in self.limits.items():
                resource.setrlimit(which, (value, value))

        self.daemon = subprocess.Popen([*self.wrapper, self.warmd, "--config", str(self.directory)], stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=log, env=env, start_new_session=True, preexec_fn=limit if self.limits else None)
        log.close()
        self.starts += 1
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self, seconds=30):
        def ready():
            if self.daemon.poll() is not None:
                raise Failure(f"warmd ended with {self.daemon.returncode} as it started: {self.last_words()}")
            try:
                answer = request(self.socket, "GET", "/v1/status", timeout=5)
                return answer.status == 200 and answer.body["recovered"]
            except (Broken, KeyError, TypeError):
                return False

        wait_for(ready, seconds, "warmd serves and has compared its catalog with the containers")

    def alive(self):
        return self.daemon is not None and self.daemon.poll() is None

    def kill(self):
        if self.daemon is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.daemon.pid, signal.SIGKILL)
        self.daemon.wait()

    def reap(self, seconds=10):
        """Waits for a daemon that has been killed; its end is how the test knows where."""
        self.daemon.wait(timeout=seconds * patience)
        return self.daemon.returncode

    def keep_durable(self):
        """From now on what a power cut would leave of the state is known; what there is counts as synced."""
        self.durable = self.directory / "durable"
        shutil.rmtree(self.durable, ignore_errors=True)
        self.durable.mkdir()
        self.environment["WARMD_DURABLE"] = str(self.durable)
        sync = ("import os, sys\nfor place, _, names in os.walk(sys.argv[1]):\n"
                "    for name in ['.', *names]:\n        os.fsync(os.open(os.path.join(place, name), os.O_RDONLY))")
        subprocess.run([sys.executable, "-c", sync, str(self.state)], check=True,
                       env={**os.environ, "LD_PRELOAD": self.library, "WARMD_DURABLE": str(self.durable)})

    def cut_power(self):
        """Of a killed daemon's state: what was never synced is gone."""
        def entries(path):
            return [line.split(" ", 2) for line in path.read_text().splitlines()] if path.exists() else []

        def make(directory, name):
            directory.mkdir(mode=0o700)
            for kind, inode, entry in entries(self.durable / name):
                if kind == "directory":
                    make(directory / entry, inode)
                elif (self.durable / inode).exists():
                    shutil.copyfile(self.durable / inode, directory / entry)
                else:
                    (directory / entry).touch()
                if kind == "file":
                    (directory / entry).chmod(0o600)

        roots = [path for path in self.durable.iterdir() if any(entry[2] == "catalog.sqlite" for entry in entries_or_none(path))]
        if len(roots) != 1:
            raise Failure(f"I1: {len(roots)} state directories outlive a power cut")
        shutil.rmtree(self.state)
        make(self.state, roots[0].name)
        self.keep_durable()

    def terminate(self, seconds=30):
        self.daemon.send_signal(signal.SIGTERM)
        self.daemon.wait(timeout=seconds * patience)
        return self.daemon.returncode

    def last_words(self, lines=12):
        path = self.directory / "warmd.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    def call(self, method, target, body=None, key=None, timeout=30):
        headers = {"Idempotency-Key": key} if key else {}
        return request(self.socket, method, target, body, headers, timeout * patience)

    def get(self, target):
        answer = self.call("GET", target)
        if answer.status != 200:
            raise Failure(f"GET {target} answers {answer.status}: {answer.text!r}")
        return answer.body

    def items(self, what, everything=True):
        items, cursor = [], ""
        suffix = "&all=true" if everything and what in ("instances", "leases") else ""
        while True:
            page = self.get(f"/v1/{what}?limit=1000{suffix}{cursor}")
            items += page["items"]
            if not page["next_cursor"]:
                return items
            cursor = "&cursor=" + page["next_cursor"]

    def finish(self, operation, seconds=60):
        """The operation's end, as a client waits for it."""
        end = time.monotonic() + seconds * patience
        while time.monotonic() < end:
            answer = self.call("GET", f"/v1/operations/{operation}?wait=10s")
            if answer.status != 200:
                raise Failure(f"operation {operation} cannot be read: {answer.status} {answer.text!r}")
            if answer.body["state"] in ("succeeded", "failed", "cancelled"):
                return answer.body
        raise Failure(f"operation {operation} does not end: {answer.body}")

    def do(self, method, target, body=None, key=None):
        """Starts an operation and waits for its success."""
        answer = self.call(method, target, body, key)
        if answer.status not in (200, 202):
            raise Failure(f"{method} {target} answers {answer.status}: {answer.text!r}")
        ended = self.finish(answer.body["id"])
        if ended["state"] != "succeeded":
            raise Failure(f"{method} {target} {ended['state']}: {ended['error']}")
        return ended

    def require_space_returned(self):
        """Of a request that failed: no tarball that nobody will ask for takes space. Not of small files that are swept."""
        known = {row["id"] for row in self.items("checkpoints") if row["state"] in ("available", "deleting")}
        left = [path for path in (self.state / "checkpoints").glob("*.tar") if path.stem not in known]
        left += list((self.state / "tmp").glob("*.tar"))
        if left:
            raise Failure(f"I2: the space of {left} is not returned")

    def memory_of(self, instance):
        """What the instance itself says of its memory."""
        answer = self.call("POST", f"/v1/instances/{instance}/exec", {"command": self.engine.ask})
        if answer.status != 200 or answer.body.get("exit_status") != 0:
            raise Failure(f"no command runs in {instance}: {answer.status} {answer.text!r}")
        return answer.body["stdout"].strip()

    def close(self, keep=False):
        self.kill()
        self.engine.stop()
        if not keep:
            shutil.rmtree(self.directory, ignore_errors=True)


class History:
    """What a client has been told. Only that binds the daemon."""

    def __init__(self):
        self.checkpoints = {}  # id -> its memory; acknowledged as available, and nobody asked for its end
        self.doomed = set()    # checkpoints whose deletion was asked for: either there or gone
        self.gone = set()      # checkpoints whose deletion was acknowledged
        self.instances = {}    # id -> its memory; acknowledged as ready
        self.ending = set()    # instances whose end was asked for, or that a dump was to end
        self.leases = {}       # id -> instance; acknowledged as active
        self.releasing = set()
        self.operations = set()


def digest(path):
    sum_ = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            sum_.update(block)
    return sum_.hexdigest()


def files_below(directory):
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir() or path.is_symlink())


def check(world, history, swept=True):
    """The invariants, of a daemon that serves and has swept once, and works on nothing. Raises Failure."""
    problems = []
    checkpoints = {row["id"]: row for row in world.items("checkpoints")}
    instances = {row["id"]: row for row in world.items("instances")}
    leases = {row["id"]: row for row in world.items("leases")}
    operations = {row["id"]: row for row in world.items("operations")}
    state = world.engine.state()
    containers = state["containers"]
    stored = {path.name for path in (world.state / "checkpoints").iterdir()}

    # I1: what was acknowledged is there, whole, and what was dumped.
    for identity, memory in history.checkpoints.items():
        if identity in history.doomed or identity in history.gone:
            continue
        row = checkpoints.get(identity)
        if row is None or row["state"] != "available":
            problems.append(f"I1: checkpoint {identity} was acknowledged and is {row and row['state']}")
            continue
        path = world.state / "checkpoints" / f"{identity}.tar"
        if not path.exists() or digest(path) != row["sha256"] or path.stat().st_size != row["size_bytes"]:
            problems.append(f"I1: the tarball of checkpoint {identity} is not what the catalog says")
    for identity in history.instances:
        row = instances.get(identity)
        if identity in history.ending:
            continue
        if row is None or row["state"] not in ("idle", "leased"):
            problems.append(f"I1: instance {identity} was acknowledged and is {row and (row['state'], row['reason'])}")
            continue
        memory = containers.get(f"warmd-{identity}", {}).get("memory") if world.engine.remembers else world.memory_of(identity)
        if history.instances[identity] is None:
            history.instances[identity] = memory
        if memory != history.instances[identity]:
            problems.append(f"I1: instance {identity} is not the one that was acknowledged")
    for identity, instance in history.leases.items():
        row = leases.get(identity)
        if identity in history.releasing:
            continue
        if row is None or row["state"] != "active" or row["instance"] != instance:
            problems.append(f"I1: lease {identity} was acknowledged and is {row and row['state']}")

    # I2: nothing is there that belongs to nobody.
    if swept:
        wanted = {f"{identity}.tar" for identity, row in checkpoints.items() if row["state"] in ("available", "quarantined")}
        manifests = {f"{identity}.json" for identity, row in checkpoints.items() if row["state"] in ("available", "quarantined")}
        if stored - wanted - manifests:
            problems.append(f"I2: files of no checkpoint: {sorted(stored - wanted - manifests)}")
        if wanted - stored:
            problems.append(f"I2: checkpoints without a file: {sorted(wanted - stored)}")
        left = files_below(world.state / "tmp")
        if left:
            problems.append(f"I2: files are left in tmp: {left[:5]}")
        unpacked = {path.name for path in (world.state / "unpacked").iterdir()}
        available = {identity for identity, row in checkpoints.items() if row["state"] == "available"}
        if unpacked - available:
            problems.append(f"I2: unpacked images of no available checkpoint: {sorted(unpacked - available)}")
        live = {f"warmd-{identity}" for identity, row in instances.items() if row["state"] != "terminated"}
        ours = {name for name, container in containers.items() if container["labels"].get("warmd.instance")}
        if ours != live:
            problems.append(f"I2: containers {sorted(ours)}, live instances {sorted(live)}")
        for name in ours & live:
            if containers[name]["status"] != "running":
                problems.append(f"I2: container {name} of a live instance is {containers[name]['status']}")
        for identity, row in leases.items():
            if row["state"] == "active" and instances.get(row["instance"], {}).get("state") != "leased":
                problems.append(f"I2: active lease {identity} has no leased instance")
        leased = {row["instance"] for row in leases.values() if row["state"] == "active"}
        for identity, row in instances.items():
            if row["state"] == "leased" and identity not in leased:
                problems.append(f"I2: instance {identity} is leased by nobody")

    # I3: the old state or the new one.
    for identity, row in checkpoints.items():
        if row["state"] not in ("available", "failed", "quarantined"):
            problems.append(f"I3: checkpoint {identity} is {row['state']}")
        if row["state"] == "quarantined":
            problems.append(f"I3: checkpoint {identity} is quarantined: {row['reason']}")
    for identity in history.gone:
        if identity in checkpoints:
            problems.append(f"I3: checkpoint {identity} was deleted and is {checkpoints[identity]['state']}")
    for identity, row in instances.items():
        if row["state"] not in ("idle", "leased", "terminated"):
            problems.append(f"I3: instance {identity} is {row['state']}")

    # I4: operations end.
    for identity, row in operations.items():
        if row["state"] not in ("succeeded", "failed", "cancelled"):
            problems.append(f"I4: operation {identity} is {row['state']}")
    if problems:
        raise Failure("; ".join(problems))


def settle(world, seconds=20):
    """Until nothing is being done any more."""
    def quiet():
        status = world.get("/v1/status")
        if status["operations"]["active"] or any(pool["filling"] or pool["draining"] for pool in status["pools"]):
            return False
        if any(row["state"] in ("draining", "warming", "restoring") for row in world.items("instances", everything=False)):
            return False
        return True

    wait_for(quiet, seconds, "warmd has nothing to do")
