#!/usr/bin/env python3
"""The part of Podman's REST API that warmd uses, on a Unix socket, with containers that are processes of this machine. It
is a process of its own: its containers outlive the daemon, as Podman's do. It misbehaves when it is told to.

    fake_podman.py SOCKET DIRECTORY IMAGE...        prints "ready" once it listens

A container is a process in a directory, which is its root file system, and a "memory", a random word that its processes
read in .memory. A checkpoint is a tarball of Podman's form; the memory is in checkpoint/pages-1.img, and a restore that
finds other bytes there than were dumped fails. So whoever reads .memory in a restored container knows that it is the one
that was dumped. As root each container has a control group, because warmd looks for a process's there.

On SOCKET.control: GET /state; POST /faults (a list of rules, see Fault), /listen {"listening": false}, /restart,
/kill {"name": NAME, "oom": false}.
"""

import hashlib
import io
import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import time
import urllib.parse

VERSION = "5.4.2"
PAGES = 24 * 1024


def control_group_root():
    """Where control groups can be made, or None."""
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        _, mount, kind = line.split()[:3]
        if kind != "cgroup2":
            continue
        own = [entry[3:] for entry in pathlib.Path("/proc/self/cgroup").read_text().splitlines() if entry.startswith("0::")]
        root = pathlib.Path(mount + own[0].rstrip("/")) / f"fake-podman-{os.getpid()}"
        try:
            root.mkdir()
            return root
        except OSError:
            return None
    return None


class PodmanError(Exception):
    """What Podman answers with: nearly always 500, and words."""

    def __init__(self, status, words):
        super().__init__(words)
        self.status = status
        self.words = words


class Gone(Exception):
    """The connection is to be broken now."""


def memory_pages(memory):
    """What a process's memory looks like on disk: begins with its word, and no byte of it is free."""
    block = memory.encode().ljust(64, b"\0")
    pages = block
    while len(pages) < PAGES:
        block = hashlib.sha512(block).digest()
        pages += block
    return pages


def utsns_image(hostname):
    """CRIU's: two magic numbers, a length, utsns_entry{1: nodename}."""
    entry = b"\x0a" + bytes([len(hostname)]) + hostname.encode()
    return struct.pack("<III", 0x54564319, 0x54473203, len(entry)) + entry


def stats_dump():
    def varint(value):
        out = b""
        while value > 127:
            out += bytes([value & 127 | 128])
            value >>= 7
        return out + bytes([value])

    inner = b"".join(bytes([number << 3]) + varint(value) for number, value in ((1, 1000), (2, 9000), (3, 500), (4, 400), (5, 6), (7, 6)))
    entry = b"\x0a" + varint(len(inner)) + inner
    return struct.pack("<III", 0x57093306, 0x57093306, len(entry)) + entry


class Container:
    def __init__(self, name, image, labels, command, env, directory):
        self.id = secrets.token_hex(32)
        self.name = name
        self.image = image  # its id
        self.image_name = ""
        self.labels = labels
        self.command = command
        self.env = env
        self.hostname = ""
        self.memory = secrets.token_hex(16)
        self.status = "created"
        self.exit_code = 0
        self.oom = False
        self.checkpointed = False
        self.process = None
        self.pid = 0
        self.base = directory
        self.lock = threading.Lock()  # as Podman's: held through a dump

    def adopt(self, identity):
        self.id = identity
        self.root = self.base / identity
        self.log = self.base / (identity + ".log")
        self.root.mkdir()
        self.log.touch()

    def refresh(self):
        if self.status != "running" or self.process.poll() is None:
            return
        code = self.process.returncode
        self.exit_code = code if code >= 0 else 128 - code
        self.status = "exited"

    def inspect(self):
        self.refresh()
        return {
            "Id": self.id, "Name": self.name, "Image": self.image, "ImageName": self.image_name,
            "State": {"Status": self.status, "ExitCode": self.exit_code, "OOMKilled": self.oom, "Pid": self.pid,
                      "Checkpointed": self.checkpointed, "Running": self.status == "running"},
            "Config": {"Labels": self.labels},
            "GraphDriver": {"Name": "overlay", "Data": {"UpperDir": str(self.root)}},
        }


class Fault:
    """{"call": REGEX of "METHOD /path", "do": WHAT, "times": 1, "after": 0, "skip": 0}, where WHAT is
    error: 500 in Podman's form; garbage: bytes that are no HTTP; nonsense: HTTP with a body that is no JSON; reset: the
    connection ends before anything is done; lost: it is done and the connection ends; cut: the answer ends after `after`
    bytes; hang: nothing is done or said until the client goes; slow: the answer comes in pieces, `pause` seconds apart;
    dead: it is done, and the container's process is killed; truncated: an error in the middle of a stream, as when Podman
    cannot read on: the chunks end without the last one."""

    def __init__(self, rule):
        self.call = re.compile(rule["call"])
        self.do = rule["do"]
        self.times = rule.get("times", 1)
        self.skip = rule.get("skip", 0)
        self.after = rule.get("after", 0)
        self.pause = rule.get("pause", 0.02)
        self.struck = 0


class Podman:
    def __init__(self, directory, images):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.lock = threading.RLock()
        self.containers = {}
        self.images = {}
        self.sessions = {}
        self.exports = {}  # container name -> its memory when it was dumped
        self.events = []
        self.happened = threading.Condition(self.lock)
        self.faults = []
        self.calls = 0
        self.groups = control_group_root()
        for name in images:
            self.images[name] = {"Id": hashlib.sha256(name.encode()).hexdigest(), "Labels": {}, "program": None}

    # Containers

    def find(self, name):
        for container in self.containers.values():
            if name in (container.id, container.name):
                container.refresh()
                return container
        raise PodmanError(404, f'no container with name or ID "{name}" found: no such container')

    def emit(self, action, container):
        with self.lock:
            self.events.append({"Type": "container", "Action": action, "timeNano": time.time_ns(),
                                "Actor": {"ID": container.id, "Attributes": {"name": container.name, **container.labels}}})
            self.happened.notify_all()

    def group_of(self, container):
        return self.groups / f"libpod-{container.id}.scope" if self.groups else None

    def door_of(self, container):
        """A descriptor through which a process enters the container's control group."""
        group = self.group_of(container)
        if group is None:
            return None
        group.mkdir(exist_ok=True)
        return os.open(group / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)

    def run(self, container, command=None, env=None, out=None, err=None, workdir=""):
        words = list(command or container.command or ["sleep", "infinity"])
        program = next((image["program"] for image in self.images.values() if image["Id"] == container.image), None)
        if program and words[0] == "/program":
            words[0] = program
        variables = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **(container.env or {}), **(env or {})}
        door = self.door_of(container)
        try:
            # It enters by itself, before the program: what the program starts is in the group, too.
            return subprocess.Popen(words, cwd=str(container.root) + workdir, env=variables, stdin=subprocess.DEVNULL,
                                    stdout=out, stderr=err, start_new_session=True,
                                    preexec_fn=None if door is None else lambda: os.write(door, b"0"))
        finally:
            if door is not None:
                os.close(door)

    def launch(self, container):
        (container.root / ".memory").write_text(container.memory)
        with open(container.log, "ab") as log:
            try:
                container.process = self.run(container, out=log, err=log)
            except OSError as error:
                raise PodmanError(500, f"crun: executable file `{error.filename}` not found") from error
        container.pid = container.process.pid
        container.status = "running"

    def kill(self, container):
        group = self.group_of(container)
        if group and group.exists():
            (group / "cgroup.kill").write_text("1")
        if container.process is not None:
            try:
                os.killpg(container.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            container.process.wait()

    def create(self, spec):
        with self.lock:
            image = self.image(spec["image"])
            if any(container.name == spec["name"] for container in self.containers.values()):
                raise PodmanError(500, f'creating container storage: the container name "{spec["name"]}" is already in use')
            container = Container(spec["name"], image["Id"], spec.get("labels", {}), spec.get("command", []),
                                  spec.get("env", {}), self.directory)
            container.image_name = spec["image"]
            container.adopt(container.id)
            container.hostname = spec.get("hostname", container.id[:12])
            self.containers[container.id] = container
        self.emit("create", container)
        return container

    def remove(self, container):
        with container.lock:
            self.kill(container)
            with self.lock:
                self.containers.pop(container.id, None)
            shutil.rmtree(container.root, ignore_errors=True)
            container.log.unlink(missing_ok=True)
            group = self.group_of(container)
            if group:
                for _ in range(1000):
                    try:
                        group.rmdir()
                        break
                    except FileNotFoundError:
                        break
                    except OSError:
                        time.sleep(0.002)  # its last process is still going
        self.emit("remove", container)

    def image(self, reference):
        for name, image in self.images.items():
            if reference in (name, image["Id"]):
                return image
        raise PodmanError(404, f"{reference}: image not known")

    # Checkpoints

    def dump(self, container):
        """Stops the container and returns its tarball."""
        if container.status != "running":
            raise PodmanError(500, f'"{container.status}" is not running, cannot checkpoint: container state improper')
        self.kill(container)
        container.status = "exited"
        container.exit_code = 0
        container.checkpointed = True
        self.exports[container.name] = container.memory
        files = io.BytesIO()
        with tarfile.open(fileobj=files, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for path in sorted(container.root.rglob("*")):
                if path.is_file() and path.name != ".memory":
                    tar.add(path, str(path.relative_to(container.root)), recursive=False)
            changed = bool(tar.getnames())
        config = {"id": container.id, "name": container.name, "rootfsImageID": container.image,
                  "rootfsImageName": container.image_name, "labels": container.labels, "command": container.command,
                  "env": container.env, "runtime": "crun", "logDriver": "k8s-file"}
        members = [
            ("config.dump", json.dumps(config, indent=1).encode()),
            ("spec.dump", json.dumps({"ociVersion": "1.2.0", "hostname": container.hostname, "process": {"args": container.command},
                                      "linux": {}}).encode()),
            ("network.status", b"null"),
            ("stats-dump", stats_dump()),
            ("checkpoint/inventory.img", struct.pack("<II", 0x54564319, 0x58313116) + os.urandom(32)),
            ("checkpoint/utsns-11.img", utsns_image(container.hostname)),
            ("checkpoint/core-1.img", os.urandom(2000)),
            ("checkpoint/pages-1.img", memory_pages(container.memory)),
            ("checkpoint/descriptors.json", b'["/dev/null","pipe:[1]","pipe:[2]"]'),
        ]
        if changed:
            members.append(("rootfs-diff.tar", files.getvalue()))
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for directory in ("artifacts", "checkpoint"):
                entry = tarfile.TarInfo(directory)
                entry.type = tarfile.DIRTYPE
                entry.mode = 0o700
                tar.addfile(entry)
            for name, content in members:
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                entry.mode = 0o600
                tar.addfile(entry, io.BytesIO(content))
        self.emit("checkpoint", container)
        return out.getvalue()

    def resume(self, container):
        if not container.checkpointed:
            raise PodmanError(500, "a complete checkpoint for this container cannot be found, cannot restore: container state improper")
        container.checkpointed = False
        self.launch(container)

    def restore(self, body):
        try:
            tar = tarfile.open(fileobj=io.BytesIO(body))
            names = tar.getnames()
        except tarfile.TarError as error:
            raise PodmanError(500, f"unpacking checkpoint archive: {error}") from error

        def member(name):
            if name not in names:
                raise PodmanError(500, f"open /var/tmp/restore/{name}: no such file or directory")
            return tar.extractfile(name).read()

        config = json.loads(member("config.dump"))
        member("spec.dump")
        with self.lock:
            for other in self.containers.values():
                if other.name == config["name"]:
                    raise PodmanError(500, f'the container name "{other.name}" is already in use by {other.id}')
                if other.id == config["id"]:
                    raise PodmanError(500, f"{other.id} that ID is already in use")
            self.image(config["rootfsImageID"])
            container = Container(config["name"], config["rootfsImageID"], config["labels"], config["command"], config["env"],
                                  self.directory)
            container.image_name = config["rootfsImageName"]
            container.adopt(config["id"])
            self.containers[container.id] = container
        # From here on a failure leaves the container behind, as Podman's does.
        container.lock.acquire()
        try:
            if "checkpoint" in names and tar.getmember("checkpoint").issym():
                images = pathlib.Path(tar.getmember("checkpoint").linkname)
                try:
                    read = {entry.name: entry.read_bytes() for entry in images.iterdir()}
                except OSError as error:
                    raise PodmanError(500, f"crun: criu failed: type RESTORE: {error}") from error
            else:
                read = {name[11:]: member(name) for name in names if name.startswith("checkpoint/")}
            for name in ("inventory.img", "core-1.img", "utsns-11.img", "pages-1.img"):
                if name not in read:
                    raise PodmanError(500, f"CRIU restoring failed: no {name}")
            container.memory = read["pages-1.img"][:64].rstrip(b"\0").decode("ascii", "replace")
            if read["pages-1.img"] != memory_pages(container.memory):
                raise PodmanError(500, "CRIU restoring failed -52: bad pages")
            container.hostname = read["utsns-11.img"][14:].decode()
            if "rootfs-diff.tar" in names:
                with tarfile.open(fileobj=io.BytesIO(member("rootfs-diff.tar"))) as files:
                    files.extractall(container.root)
            self.launch(container)
        finally:
            container.lock.release()
            self.emit("restore", container)
        return container

    def shut_down(self):
        for container in list(self.containers.values()):
            self.kill(container)
            group = self.group_of(container)
            if group and group.exists():
                for _ in range(500):
                    try:
                        group.rmdir()
                        break
                    except OSError:
                        time.sleep(0.002)
        if self.groups:
            try:
                self.groups.rmdir()
            except OSError:
                pass


def frame(stream, data):
    return struct.pack(">BxxxI", stream, len(data)) + data


class Connection:
    """One request, as warmd's HTTP library sends them."""

    def __init__(self, podman, client, control, server):
        self.podman = podman
        self.client = client
        self.control = control
        self.server = server
        self.file = client.makefile("rb")
        self.fault = None

    def serve(self):
        try:
            line = self.file.readline().decode("latin-1").split()
            if len(line) < 2:
                return
            headers = {}
            while (header := self.file.readline().strip()):
                name, _, value = header.decode("latin-1").partition(":")
                headers[name.lower()] = value.strip()
            self.method, target = line[0], line[1]
            url = urllib.parse.urlsplit(target)
            self.path = url.path
            self.query = {key: values[0] for key, values in urllib.parse.parse_qs(url.query).items()}
            if self.control:
                return self.answer_control(self.read_body(headers))
            self.path = re.sub(r"^(/v[0-9][0-9.]*)?/libpod", "", self.path)
            self.pick_fault()
            if self.fault and self.fault.do == "hang":
                # Not even the body is read: what is sent stays in the socket.
                while self.client.recv(65536):
                    pass
                return
            if self.fault and self.fault.do == "reset":
                return
            body = self.read_body(headers)
            if self.fault and self.fault.do == "garbage":
                return self.client.sendall(os.urandom(700) + b"\r\n\r\n")
            if self.fault and self.fault.do == "error":
                raise PodmanError(500, "the database is locked: input/output error")
            self.answer(body)
        except PodmanError as error:
            self.reply(error.status, json.dumps({"cause": error.words, "message": error.words, "response": error.status}).encode())
        except (Gone, OSError):
            pass
        finally:
            for closing in (self.file.close, lambda: self.client.shutdown(socket.SHUT_RDWR), self.client.close):
                try:
                    closing()
                except OSError:
                    pass

    def pick_fault(self):
        call = f"{self.method} {self.path}"
        with self.podman.lock:
            self.podman.calls += 1
            for fault in self.podman.faults:
                if fault.times > 0 and fault.call.search(call):
                    if fault.skip > 0:
                        fault.skip -= 1
                        continue
                    fault.times -= 1
                    fault.struck += 1
                    self.fault = fault
                    return

    def read_body(self, headers):
        if headers.get("transfer-encoding") == "chunked":
            parts = []
            while True:
                line = self.file.readline()
                if not line.endswith(b"\r\n"):
                    raise Gone  # the client went away in the middle
                size = int(line.strip() or b"0", 16)
                part = self.file.read(size)
                self.file.readline()
                if len(part) < size:
                    raise Gone
                if size == 0:
                    return b"".join(parts)
                parts.append(part)
        size = int(headers.get("content-length", 0))
        body = self.file.read(size)
        if len(body) < size:
            raise Gone
        return body

    def send(self, data):
        """All bytes of an answer pass here, for a fault to do its worst."""
        fault = self.fault
        if fault is None or fault.do not in ("cut", "slow"):
            return self.client.sendall(data)
        if fault.do == "cut":
            left = fault.after - getattr(self, "sent", 0)
            self.client.sendall(data[:max(0, left)])
            self.sent = getattr(self, "sent", 0) + len(data)
            if len(data) >= left:
                raise Gone
            return None
        for at in range(0, len(data), max(1, len(data) // 8)):
            self.client.sendall(data[at:at + max(1, len(data) // 8)])
            time.sleep(fault.pause)
        return None

    def reply(self, status, body, kind="application/json"):
        if self.fault:
            if self.fault.do == "lost":
                raise Gone
            if self.fault.do == "nonsense":
                body = b'{"Id": [}' + os.urandom(20)
        head = (f"HTTP/1.1 {status} X\r\nLibpod-API-Version: {VERSION}\r\nContent-Type: {kind}\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n")
        if status == 204:
            head = f"HTTP/1.1 204 No Content\r\nLibpod-API-Version: {VERSION}\r\nConnection: close\r\n\r\n"
            body = b""
        self.send(head.encode() + body)

    def json(self, document, status=200):
        self.reply(status, json.dumps(document).encode())

    # Podman

    def answer(self, body):
        podman = self.podman
        path, method = self.path, self.method
        if path == "/_ping":
            return self.reply(200, b"OK", "text/plain")
        if path == "/info":
            return self.json({"host": {"arch": "amd64", "kernel": os.uname().release,
                                       "ociRuntime": {"name": "crun", "version": "crun version 1.21\ncommit: fake\n+SYSTEMD +CRIU"}},
                              "store": {"graphDriverName": "overlay"},
                              "version": {"Version": VERSION, "APIVersion": VERSION}})
        if path == "/events":
            return self.stream_events()
        if path == "/images/import":
            return self.json({"Id": self.import_image(body)})
        if (match := re.fullmatch(r"/images/([^/]+)/json", path)):
            reference = urllib.parse.unquote(match[1])
            image = podman.image(reference)
            return self.json({"Id": image["Id"], "Digest": "sha256:" + image["Id"], "Labels": image["Labels"]})
        if method == "DELETE" and (match := re.fullmatch(r"/images/([^/]+)", path)):
            return self.json(self.remove_image(urllib.parse.unquote(match[1])))
        if path == "/containers/create":
            container = podman.create(json.loads(body))
            return self.json({"Id": container.id, "Warnings": []}, 201)
        if path == "/containers/json":
            return self.list_containers()
        if path == "/containers/import/restore":
            container = podman.restore(body)
            self.strike_dead(container)
            return self.json({"Id": container.id, "runtime_restore_duration": 0, "criu_statistics": None})
        if (match := re.fullmatch(r"/exec/([0-9a-f]+)/(start|json)", path)):
            session = podman.sessions.get(match[1])
            if session is None:
                raise PodmanError(404, f"no exec session with ID {match[1]} found: no such exec session")
            return self.start_exec(session) if match[2] == "start" else self.json(session["state"])
        if (match := re.fullmatch(r"/containers/([^/]+)(/[a-z]+)?", path)):
            return self.answer_container(podman.find(urllib.parse.unquote(match[1])), match[2] or "", body)
        raise PodmanError(404, f"no such endpoint: {method} {path}")

    def answer_container(self, container, action, body):
        podman = self.podman
        if self.method == "DELETE" and not action:
            podman.remove(container)
            return self.json([{"Id": container.id, "Err": None}])
        if action == "/json":
            return self.json(container.inspect())
        if action == "/start":
            with container.lock:
                podman.launch(container)
            podman.emit("start", container)
            self.strike_dead(container)
            return self.reply(204, b"")
        if action == "/changes":
            return self.json([{"Path": "/" + str(path.relative_to(container.root)), "Kind": 1}
                              for path in container.root.rglob("*") if path.name != ".memory"])
        if action == "/logs":
            lines = container.log.read_bytes().splitlines(keepends=True)[-int(self.query.get("tail", 100)):]
            return self.reply(200, b"".join(frame(1, line) for line in lines), "application/octet-stream")
        if action == "/wait":
            return self.wait(container)
        if action == "/checkpoint":
            return self.checkpoint(container)
        if action == "/restore":
            with container.lock:
                podman.resume(container)
            return self.json({"Id": container.id})
        if action == "/exec":
            if container.status != "running":
                raise PodmanError(500, f"can only create exec sessions on running containers: container state improper")
            session = secrets.token_hex(32)
            podman.sessions[session] = {"container": container, "spec": json.loads(body),
                                        "state": {"ID": session, "ExitCode": 0, "Running": False, "Pid": 0}}
            return self.json({"Id": session}, 201)
        raise PodmanError(404, f"no such endpoint: {action}")

    def strike_dead(self, container):
        if self.fault and self.fault.do == "dead":
            self.podman.kill(container)

    def checkpoint(self, container):
        with container.lock:
            tarball = self.podman.dump(container)
            if self.fault and self.fault.do == "lost":
                raise Gone
            self.client.sendall((f"HTTP/1.1 200 OK\r\nLibpod-API-Version: {VERSION}\r\n"
                                 "Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n").encode())
            piece = 8192
            for at in range(0, len(tarball), piece):
                part = tarball[at:at + piece]
                if self.fault and self.fault.do == "truncated" and at + piece > self.fault.after:
                    raise Gone
                self.send(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            self.send(b"0\r\n\r\n")

    def wait(self, container):
        while True:
            container.refresh()
            if container.status in ("exited", "stopped"):
                return self.reply(200, str(container.exit_code).encode(), "text/plain")
            self.client.settimeout(0.02)
            try:
                if not self.client.recv(1):
                    return None  # nobody waits any more
            except (TimeoutError, socket.timeout):
                pass
            self.client.settimeout(None)

    def list_containers(self):
        labels = json.loads(self.query.get("filters", "{}")).get("label", [])
        with self.podman.lock:
            found = [container for container in self.podman.containers.values() if all(label in container.labels for label in labels)]
        return self.json([{"Id": container.id, "Names": [container.name]} for container in found])

    def start_exec(self, session):
        container, spec, state = session["container"], session["spec"], session["state"]
        if container.status != "running":
            raise PodmanError(409, "container state improper")
        head = (f"HTTP/1.1 200 OK\r\nLibpod-API-Version: {VERSION}\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n"
                "Connection: close\r\n\r\n")
        env = dict(entry.split("=", 1) for entry in spec.get("Env", []))
        try:
            process = self.podman.run(container, spec["Cmd"], env, subprocess.PIPE, subprocess.PIPE, spec.get("WorkingDir", ""))
        except OSError as error:
            state["ExitCode"] = 127 if isinstance(error, FileNotFoundError) else 126
            self.send(head.encode() + frame(2, f"Error: crun: {spec['Cmd'][0]}: {error.strerror}: OCI runtime error\n".encode()))
            return
        state.update(Running=True, Pid=process.pid)
        lock = threading.Lock()

        def pump(stream, pipe):
            try:
                while (data := pipe.read1(65536)):
                    with lock:
                        self.send(frame(stream, data))
            except (OSError, Gone):
                pass  # Podman lets the command run

        threads = [threading.Thread(target=pump, args=pair) for pair in ((1, process.stdout), (2, process.stderr))]
        try:
            self.send(head.encode())
            self.strike_dead(container)
        except (OSError, Gone):
            pass
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        process.stdout.close()
        process.stderr.close()
        code = process.wait()
        state.update(Running=False, ExitCode=code if code >= 0 else 128 - code)

    def stream_events(self):
        self.client.sendall((f"HTTP/1.1 200 OK\r\nLibpod-API-Version: {VERSION}\r\nContent-Type: application/json\r\n"
                             "Connection: close\r\n\r\n").encode())
        with self.podman.lock:
            at = len(self.podman.events)
        while True:
            with self.podman.lock:
                self.podman.happened.wait_for(lambda: len(self.podman.events) > at, timeout=0.2)
                new = self.podman.events[at:]
                at += len(new)
            for event in new:
                self.client.sendall(json.dumps(event).encode() + b"\n")
            self.client.settimeout(0.001)
            try:
                if not self.client.recv(1):
                    return
            except (TimeoutError, socket.timeout, BlockingIOError):
                pass
            self.client.settimeout(None)

    def import_image(self, body):
        identity = secrets.token_hex(32)
        program = self.podman.directory / f"program-{identity}"
        with tarfile.open(fileobj=io.BytesIO(body)) as tar:
            program.write_bytes(tar.extractfile(tar.getnames()[0]).read())
        program.chmod(0o755)
        self.podman.images[identity] = {"Id": identity, "Labels": {}, "program": str(program)}
        return identity

    def remove_image(self, reference):
        image = self.podman.image(reference)
        if any(container.image == image["Id"] for container in self.podman.containers.values()):
            raise PodmanError(409, f"image used by a container: image is in use by a container")
        with self.podman.lock:
            self.podman.images = {name: other for name, other in self.podman.images.items() if other["Id"] != image["Id"]}
        return {"Deleted": [image["Id"]]}

    # Control

    def answer_control(self, body):
        podman = self.podman
        document = json.loads(body) if body else {}
        if self.path == "/state":
            with podman.lock:
                containers = {}
                for container in podman.containers.values():
                    container.refresh()
                    containers[container.name] = {"id": container.id, "status": container.status, "memory": container.memory,
                                                  "pid": container.pid, "labels": container.labels}
                return self.json({"containers": containers, "exports": podman.exports, "calls": podman.calls,
                                  "struck": sum(fault.struck for fault in podman.faults), "images": sorted(podman.images),
                                  "groups": str(podman.groups) if podman.groups else None})
        if self.path == "/faults":
            with podman.lock:
                podman.faults = [Fault(rule) for rule in document]
            return self.json({})
        if self.path == "/kill":
            container = podman.find(document["name"])
            container.oom = document.get("oom", False)
            podman.kill(container)
            container.refresh()
            podman.emit("died", container)
            return self.json({})
        if self.path == "/listen":
            self.server.set_listening(document["listening"])
            return self.json({})
        if self.path == "/restart":
            self.server.set_listening(False)
            self.server.break_connections()
            self.server.set_listening(True)
            return self.json({})
        if self.path == "/adopt":  # a container that is nobody's
            podman.launch(podman.create(document))
            return self.json({})
        raise PodmanError(404, "no such control")


class Server:
    def __init__(self, podman, path, control):
        self.podman = podman
        self.path = path
        self.control = control
        self.listener = None
        self.connections = set()
        self.peer = self  # whose listening /listen changes
        self.set_listening(True)

    def set_listening(self, listening):
        if self.peer is not self:
            return self.peer.set_listening(listening)
        if not listening and self.listener is not None:
            listener, self.listener = self.listener, None
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            os.unlink(self.path)
        elif listening and self.listener is None:
            if os.path.exists(self.path):
                os.unlink(self.path)
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.bind(self.path)
            listener.listen(256)
            self.listener = listener
            threading.Thread(target=self.accept, args=(listener,), daemon=True).start()
        return None

    def break_connections(self):
        for client in list(self.peer.connections):
            try:
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.connections.add(client)
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        try:
            Connection(self.podman, client, self.control, self).serve()
        finally:
            self.connections.discard(client)


def main():
    path, directory, *images = sys.argv[1:]
    ended = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ended)
    podman = Podman(directory, images)
    server = Server(podman, path, control=False)
    control = Server(podman, path + ".control", control=True)
    control.peer = server
    print("ready", flush=True)
    signal.sigwait(ended)
    podman.shut_down()
    os._exit(0)


if __name__ == "__main__":
    main()
