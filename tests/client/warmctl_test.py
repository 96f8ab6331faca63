#!/usr/bin/env python3
"""Tests of warmctl against a daemon that is played here: warmctl_test.py WARMCTL [UNITTEST-ARGUMENT...]."""

import http.server
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import socketserver
import subprocess
import sys
import tempfile
import threading
import unittest

LIMIT = 20  # seconds, after which a test fails that waits for something
warmctl = None


def default_signals():
    """Whoever started these tests in the background has SIGINT ignored, and so would warmctl."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class TcpServer(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


DROP = object()  # an answer: the connection breaks


class Raw:
    """An answer that is text as it is."""

    def __init__(self, kind, *pieces):
        self.kind, self.pieces = kind, pieces


class Daemon:
    """Answers "METHOD /path" with what `answers` has for it: a document, (status, document[, headers]), DROP, a Raw, a
    function that gets the request's body and a function that writes one frame, or a list of these, of which each is used
    once and the last for ever. `requests` is what was asked, in order, and `headers` with which headers."""

    def __init__(self, socket):
        self.answers = {}
        self.requests = []
        self.headers = []
        self.signalled = threading.Event()
        daemon = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                daemon.requests.append((f"{self.command} {self.path}", body))
                daemon.headers.append(self.headers)
                missing = (404, {"code": "not_found", "detail": f"no {self.path}", "title": "not found"})
                answer = daemon.answers.get(f"{self.command} {self.path}", missing)
                if isinstance(answer, list):
                    answer = answer.pop(0) if len(answer) > 1 else answer[0]
                if answer is DROP:
                    return
                if isinstance(answer, Raw):
                    self.send_response(200)
                    self.send_header("Content-Type", answer.kind)
                    self.end_headers()
                    for piece in answer.pieces:
                        if callable(piece):
                            piece()
                        else:
                            self.wfile.write(piece.encode())
                    return
                if callable(answer):
                    self.send_response(200)
                    self.send_header("Content-Type", "application/x-ndjson")
                    self.end_headers()
                    answer(body, lambda **frame: self.wfile.write(json.dumps(frame).encode() + b"\n"))
                    return
                status, document, *more = answer if isinstance(answer, tuple) else (200, answer)
                text = json.dumps(document).encode() if document is not None else b""
                self.send_response(status)
                for name, value in (more[0] if more else {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_DELETE = answer

            def address_string(self):
                return "warmctl"

            def log_message(self, *_):
                pass

        self.server = Server(socket, Handler) if socket else TcpServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def end(self):
        self.server.shutdown()
        self.server.server_close()


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.socket = str(self.folder / "socket")
        self.daemon = Daemon(self.socket)
        self.addCleanup(self.daemon.end)

    def environment(self, **more):
        return {"PATH": os.environ["PATH"], "WARMD_HOST": self.socket, **more}

    def start(self, *arguments, **more):
        return subprocess.Popen([warmctl, *arguments], env=self.environment(), stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, preexec_fn=default_signals, **more)

    def run_it(self, *arguments, given="", **environment):
        done = subprocess.run([warmctl, *arguments], env=self.environment(**environment), input=given, text=True,
                              capture_output=True, timeout=LIMIT)
        return done.returncode, done.stdout, done.stderr

    def asked(self):
        return [request for request, _ in self.daemon.requests]


def finished(status=0, **more):
    return {"type": "exit", "exit_status": status, "elapsed_ms": 1.5, "path": "agent", "timed_out": False,
            "session_ended": False, **more}


def run_answer(path="pool", frames=(), status=0, **more):
    def answer(_, write):
        write(type="start", exec="exec-1", instance="inst-1", path=path)
        for frame in frames:
            write(**frame)
        write(**finished(status, **more))
    return answer


LOOK = "  next:  look at what there is: warmctl template list, checkpoint list, instance list --all\n"
RUN = "POST /v1/templates/t/run"


class Run(Case):
    def test_streams_and_status_are_the_commands_own(self):
        self.daemon.answers[RUN] = run_answer(frames=[{"type": "stdout", "data": "out\n"}, {"type": "keepalive"},
                                                      {"type": "stderr", "data": "err\n"}], status=42)
        self.assertEqual(self.run_it("run", "t", "--wait", "7s", "--", "program", "-x"), (42, "out\n", "err\n"))
        self.assertEqual(self.daemon.requests, [(RUN, {"command": ["program", "-x"], "wait": "7s"})])

    def test_options_are_passed_on(self):
        self.daemon.answers[RUN] = run_answer()
        self.run_it("run", "t", "-i", "--wait", "2s", "--timeout", "3s", "--env", "A=b=c", "--workdir", "/w", "--user",
                    "u", "--", "cat", given="input")
        self.assertEqual(self.daemon.requests[0][1], {"command": ["cat"], "wait": "2s", "timeout": "3s",
                                                      "env": {"A": "b=c"}, "workdir": "/w", "user": "u",
                                                      "stdin": "input"})

    def test_says_in_one_line_that_the_pool_was_empty(self):
        for path, words in (("linked", "restored one (linked)"), ("archive", "restored one (archive)"),
                            ("cold", "started one cold")):
            self.daemon.answers[RUN] = run_answer(path)
            self.assertEqual(self.run_it("run", "t", "--code", "1"),
                             (0, "", f"warmctl: no warm instance was idle: {words}\n"))
            self.assertEqual(self.run_it("-q", "run", "t", "--code", "1"), (0, "", ""))

    def test_progress_is_not_shown_where_there_is_no_terminal(self):
        def answer(_, write):
            write(type="progress", path="cold", detail="starting")
            run_answer()(None, write)
        self.daemon.answers[RUN] = answer
        self.assertEqual(self.run_it("run", "t", "--code", "1"), (0, "", ""))

    def test_json_prints_the_frames(self):
        self.daemon.answers[RUN] = run_answer("pool", [{"type": "stdout", "data": "x"}], 3)
        status, out, err = self.run_it("--json", "run", "t", "--code", "1")
        self.assertEqual((status, err), (3, ""))
        self.assertEqual([json.loads(line)["type"] for line in out.splitlines()], ["start", "stdout", "exit"])

    def test_a_time_limit_is_said(self):
        self.daemon.answers[RUN] = run_answer(status=124, timed_out=True)
        self.assertEqual(self.run_it("run", "t", "--code", "1"), (124, "", "warmctl: the command was killed after 2 ms\n"))

    def test_a_refusal_is_125(self):
        self.assertEqual(self.run_it("run", "t", "--code", "1"), (125, "", "warmctl: no /v1/templates/t/run\n" + LOOK))

    def test_a_stream_without_an_end_is_125(self):
        self.daemon.answers[RUN] = lambda _, write: write(type="start", exec="exec-1", instance="inst-1", path="pool")
        status, _, err = self.run_it("run", "t", "--code", "1")
        self.assertEqual(status, 125)
        self.assertIn("before the command's exit status", err)

    def test_ctrl_c_goes_to_the_instance_that_the_daemon_named(self):
        def answer(_, write):
            write(type="start", exec="exec-1", instance="inst-1", path="pool")
            write(type="stdout", data="started\n")
            self.daemon.signalled.wait(LIMIT)
            write(**finished(130))

        def signalled():
            self.daemon.signalled.set()
            return {}
        self.daemon.answers[RUN] = answer
        path = "POST /v1/instances/inst-1/execs/exec-1/signal"
        self.daemon.answers[path] = lambda _, write: write(**signalled())
        with self.start("run", "t", "--code", "1") as process:
            self.assertEqual(process.stdout.readline(), "started\n")
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(LIMIT), 130)
        self.assertIn((path, {"signal": "INT"}), self.daemon.requests)

    def test_ctrl_c_before_the_start_ends_it_at_once(self):
        asked, over = threading.Event(), threading.Event()
        self.addCleanup(over.set)

        def answer(_, __):
            asked.set()
            over.wait(LIMIT)
        self.daemon.answers[RUN] = answer
        with self.start("run", "t", "--code", "1") as process:
            self.assertTrue(asked.wait(LIMIT))
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(LIMIT), 130)

    def test_code_and_a_command_exclude_each_other(self):
        self.assertEqual(self.run_it("run", "t", "--code", "1", "--", "x")[0], 2)
        self.assertEqual(self.run_it("run", "t")[0], 2)
        self.assertEqual(self.asked(), [])


class RunOrHere(Case):
    ARGUMENTS = ("run", "t", "--code", "1", "--or-here", "--", "sh", "-c", "echo here $1; exit 7", "sh", "two words")

    def test_runs_here_when_nobody_answers(self):
        status, out, err = self.run_it(*self.ARGUMENTS, WARMD_HOST="/nonexistent/socket")
        self.assertEqual((status, out), (7, "here two words\n"))
        self.assertEqual(err, "warmctl: no daemon answers on /nonexistent/socket; running sh here instead\n")

    def test_runs_here_when_the_daemon_refuses(self):
        def failed(_, write):
            write(type="progress", path="cold", detail="starting")
            write(type="error", error={"code": "not_ready", "detail": "init did not end in time"})
        busy = (503, {"code": "busy", "detail": "nothing is free", "title": "busy"})
        for answer, words in ((busy, "nothing is free"), (failed, "init did not end in time")):
            self.daemon.answers[RUN] = answer
            status, out, err = self.run_it(*self.ARGUMENTS)
            self.assertEqual((status, out), (7, "here two words\n"))
            self.assertEqual(err, f"warmctl: {words}; running sh here instead\n")

    def test_does_not_run_twice_what_may_have_run(self):
        self.daemon.answers[RUN] = lambda _, write: write(type="start", exec="exec-1", instance="inst-1", path="pool")
        self.assertEqual(self.run_it(*self.ARGUMENTS)[:2], (125, ""))
        self.daemon.answers[RUN] = lambda _, __: None
        self.assertEqual(self.run_it(*self.ARGUMENTS)[:2], (125, ""))

    def test_what_runs_in_the_instance_does_not_run_here(self):
        self.daemon.answers[RUN] = run_answer(status=125)
        self.assertEqual(self.run_it(*self.ARGUMENTS), (125, "", ""))

    def test_a_program_that_is_not_there_is_127(self):
        status, _, err = self.run_it("run", "t", "--code", "1", "--or-here", "--", "/nonexistent/program")
        self.assertEqual(status, 127)
        self.assertIn("cannot run /nonexistent/program", err)

    def logged(self, *arguments):
        log = self.folder / "log"
        log.unlink(missing_ok=True)
        self.run_it(*arguments, WARMD_RUN_LOG=str(log))
        line, = [json.loads(line) for line in log.read_text().splitlines()]
        self.assertRegex(line.pop("at"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        wait = line.pop("wait_ms")
        self.assertGreaterEqual(wait, 0)
        self.assertLess(wait, LIMIT * 1000)
        return wait, line

    def test_what_was_run_is_logged(self):
        for path in ("pool", "linked", "archive", "cold"):
            self.daemon.answers[RUN] = run_answer(path, status=3)
            self.assertEqual(self.logged("run", "t", "--code", "1")[1], {"template": "t", "path": path, "status": 3})
        self.assertEqual(self.logged("run", "no", "--code", "1")[1], {"template": "no", "path": None, "status": 125})
        self.daemon.answers[RUN] = lambda _, write: write(type="start", exec="exec-1", instance="inst-1", path="pool")
        self.assertEqual(self.logged(*self.ARGUMENTS)[1], {"template": "t", "path": "pool", "status": 125})
        del self.daemon.answers[RUN]
        self.assertEqual(self.logged(*self.ARGUMENTS)[1], {"template": "t", "path": "here", "status": None})

    def test_the_logged_wait_ends_with_the_start_of_the_command(self):
        def answer(begin, run):
            def it(_, write):
                self.assertFalse(over.wait(begin))
                write(type="start", exec="exec-1", instance="inst-1", path="pool")
                self.assertFalse(over.wait(run))
                write(**finished())
            return it
        over = threading.Event()
        self.daemon.answers[RUN] = answer(0.2, 0)
        self.assertGreaterEqual(self.logged("run", "t", "--code", "1")[0], 200)
        self.daemon.answers[RUN] = answer(0, 1)
        self.assertLess(self.logged("run", "t", "--code", "1")[0], 1000)

    def test_a_log_gets_a_line_each_call_and_does_not_fail_one(self):
        self.daemon.answers[RUN] = run_answer()
        log = self.folder / "log"
        for _ in range(3):
            self.run_it("run", "t", "--code", "1", WARMD_RUN_LOG=str(log))
        self.assertEqual(len(log.read_text().splitlines()), 3)
        status, _, err = self.run_it("run", "t", "--code", "1", WARMD_RUN_LOG=str(self.folder))
        self.assertEqual((status, err.count("\n")), (0, 1))
        self.assertIn(f"WARMD_RUN_LOG: cannot open {self.folder}", err)
        self.assertEqual(self.run_it("run", "t", "--code", "1", WARMD_RUN_LOG=""), (0, "", ""))

    def test_wants_code_and_a_program(self):
        self.assertEqual(self.run_it("run", "t", "--code", "1", "--or-here")[0], 2)
        self.assertEqual(self.run_it("run", "t", "--or-here", "--", "x")[0], 2)


class Exec(Case):
    def test_runs_in_the_instance(self):
        path = "POST /v1/instances/inst-1/exec"

        def answer(_, write):
            write(type="start", exec="exec-1")
            write(type="stdout", data="6\n")
            write(**finished(3))
        self.daemon.answers[path] = answer
        self.assertEqual(self.run_it("exec", "inst-1", "--code", "disp(6)"), (3, "6\n", ""))
        self.assertEqual(self.daemon.requests, [(path, {"code": "disp(6)"})])

    def test_words_of_the_program_arrive_as_they_are(self):
        words = ["[1,2]", "[]", "[a b]", "", "--", "-x", "--json", "%%", "++", "a,b", '"q"', "a\nb", "\x01"]
        self.run_it("exec", "inst-1", "--", "program", *words)
        self.assertEqual(self.daemon.requests[0][1], {"command": ["program", *words]})

    def test_code_arrives_as_it_is(self):
        for code in ("[1,2]", "[]", "", "-1", "--json", "--", "a\nb", " x ", '"q"'):
            self.daemon.requests.clear()
            self.run_it("exec", "inst-1", "--code", code)
            self.assertEqual(self.daemon.requests[0][1], {"code": code})


LEASE = {"id": "lease-1", "template": "t", "instance": "inst-1", "state": "active", "path": "pool", "ttl": "1m",
         "created_at": "2026-01-31T12:00:00.000Z", "expires_at": "2026-01-31T12:01:00.000Z", "ended_at": None,
         "elapsed_ms": 0.4}
POOL = {"template": "t", "min_idle": 2, "max_size": 4, "idle_ttl": "0s", "max_lifetime": "24h", "frozen": False,
        "checkpoint": None, "idle": 1, "leased": 0, "filling": 1, "draining": 0, "waiting": 0,
        "held_back": "no checkpoint"}


class Pools(Case):
    def test_are_listed_and_shown(self):
        self.daemon.answers["GET /v1/pools"] = {"items": [POOL], "next_cursor": None}
        self.daemon.answers["GET /v1/pools/t"] = POOL
        status, out, _ = self.run_it("pool", "list")
        self.assertEqual(status, 0)
        self.assertEqual(out.splitlines()[1].split(), ["t", "1", "0", "1", "0", "0", "2", "4", "no", "checkpoint"])
        out = self.run_it("pool", "show", "t")[1]
        self.assertRegex(out, "idle_ttl +never")
        self.assertRegex(out, "held back +no checkpoint")
        self.assertEqual(json.loads(self.run_it("--json", "pool", "show", "t")[1]), POOL)


class Leases(Case):
    def test_acquire_prints_the_lease_and_its_instance(self):
        path = "POST /v1/pools/t/leases"
        self.daemon.answers[path] = (201, LEASE)
        self.assertEqual(self.run_it("lease", "acquire", "t", "--ttl", "5m"), (0, "lease-1 inst-1\n", ""))
        self.run_it("lease", "acquire", "t", "--wait", "2s", "--cold")
        self.assertEqual(self.daemon.requests, [(path, {"wait": "30s", "ttl": "5m", "cold": False}),
                                                (path, {"wait": "2s", "ttl": "1m", "cold": True})])

    def test_heartbeat_prints_when_it_expires(self):
        self.daemon.answers["POST /v1/leases/lease-1/heartbeat"] = LEASE
        self.assertEqual(self.run_it("lease", "heartbeat", "lease-1"), (0, "2026-01-31T12:01:00.000Z\n", ""))

    def test_release(self):
        self.daemon.answers["DELETE /v1/leases/lease-1"] = LEASE
        self.assertEqual(self.run_it("lease", "release", "lease-1"), (0, "", ""))

    def test_are_listed(self):
        self.daemon.answers["GET /v1/leases?all=true"] = {"items": [LEASE], "next_cursor": None}
        self.assertIn("lease-1", self.run_it("lease", "list", "--all")[1])

    def test_exec_runs_in_the_leased_instance(self):
        self.daemon.answers["GET /v1/leases/lease-1"] = LEASE

        def answer(_, write):
            write(type="start", exec="exec-1")
            write(**finished(5))
        self.daemon.answers["POST /v1/leases/lease-1/exec"] = answer
        self.assertEqual(self.run_it("lease", "exec", "lease-1", "--code", "1"), (5, "", ""))
        self.assertEqual(self.daemon.requests[1][1], {"code": "1"})
        self.assertEqual(self.run_it("lease", "exec", "lease-2", "--code", "1")[0], 125)


def operation(kind, instance="", checkpoint="", state="succeeded", phases=()):
    return {"id": "op-1", "kind": kind, "state": state, "template": "t", "instance": instance or None,
            "checkpoint": checkpoint or None, "phase": None, "created_at": "2026-01-31T12:00:00.000Z",
            "started_at": None, "finished_at": None, "error": None,
            "phases": [{"name": name, "started_at": "2026-01-31T12:00:00.000Z", "elapsed_ms": elapsed}
                       for name, elapsed in phases]}


class Bench(Case):
    """Every operation has ended when it is answered."""

    ARCHIVE = "POST /v1/checkpoints/ckpt-1/restore?path=archive"
    LINKED = "POST /v1/checkpoints/ckpt-1/restore?path=linked"

    def setUp(self):
        super().setUp()

        def execute(_, write):
            write(type="start", exec="exec-1")
            write(**finished())
        self.daemon.answers.update({
            "GET /v1/status": {"version": "1.2.3"},
            "GET /v1/pools/t": {**POOL, "filling": 0},
            "POST /v1/pools/t/leases": (201, LEASE),
            "DELETE /v1/leases/lease-1": LEASE,
            "POST /v1/templates/t/warm": operation("warm", "inst-1", phases=[("create", 1.0), ("init", 2.0)]),
            "POST /v1/instances/inst-1/checkpoint": operation("checkpoint", "inst-1", "ckpt-1", phases=[("export", 3.0)]),
            self.ARCHIVE: operation("restore", "inst-2", "ckpt-1", phases=[("restore", 4.0)]),
            self.LINKED: operation("restore", "inst-3", "ckpt-1", phases=[("restore", 5.0)]),
            "POST /v1/instances/inst-2/exec": execute,
            "POST /v1/instances/inst-3/exec": execute,
            "DELETE /v1/checkpoints/ckpt-1": operation("delete_checkpoint"),
            **{f"DELETE /v1/instances/inst-{n}": operation("terminate") for n in (1, 2, 3)},
        })

    def rows(self, *arguments):
        status, out, err = self.run_it("--json", "-q", "bench", "t", "--no-podman", *arguments)
        self.assertEqual((status, err), (0, ""))
        return {row["name"]: row for row in json.loads(out)["rows"]}

    def expect_removed(self, *ids):
        removed = sorted(path.rsplit("/", 1)[1] for path in self.asked() if path.startswith("DELETE"))
        self.assertEqual(removed, sorted(ids))

    def test_measures_everything_in_turns(self):
        rows = self.rows("-n", "3", "--cold", "1", "--code", "1")
        counts = {name: len(row["samples_ms"]) for name, row in rows.items()}
        self.assertEqual(counts, {
            "cold start": 1, "cold start: create": 1, "cold start: init": 1, "checkpoint": 1, "checkpoint: export": 1,
            "podman container restore --import": 0, "restore, archive": 3, "restore, archive: restore": 3,
            "restore, linked": 3, "restore, linked: restore": 3, "first exec after a restore": 3, "next exec": 3,
            "lease from the pool": 3})
        self.assertEqual(rows["podman container restore --import"]["problem"], "--no-podman")
        self.assertEqual(rows["restore, linked: restore"]["p50_ms"], 5.0)
        restores = [path for path in self.asked() if "restore?" in path]
        self.assertEqual(restores, [self.ARCHIVE, self.LINKED] * 3)
        self.expect_removed("ckpt-1", *["inst-2", "inst-3", "lease-1"] * 3)

    def test_prints_a_table(self):
        status, out, err = self.run_it("bench", "t", "-n", "1", "--no-podman")
        self.assertEqual((status, err), (0, "run 1 of 1\n"))
        self.assertIn("| restore, linked: restore | 5.0 | 5.0 | 5.0 | 1 |\n", out)
        self.assertIn("| podman container restore --import (not measured: --no-podman) | - | - | - | 0 |\n", out)
        self.assertIn(("POST /v1/instances/inst-3/exec", {"command": ["true"]}), self.daemon.requests)

    def test_a_restore_that_fails_is_a_row_with_the_reason(self):
        self.daemon.answers[self.LINKED] = (409, {"code": "conflict", "detail": "not unpacked", "title": "conflict"})
        rows = self.rows("-n", "1")
        self.assertEqual(rows["restore, linked"]["problem"], "not unpacked")
        self.assertEqual(len(rows["next exec"]["samples_ms"]), 1)
        self.expect_removed("inst-2", "ckpt-1", "lease-1")

    def test_without_a_pool_there_is_no_lease(self):
        del self.daemon.answers["GET /v1/pools/t"]
        self.assertEqual(self.rows("-n", "1")["lease from the pool"]["problem"], "the template has no pool")

    def test_a_command_that_fails_ends_it_and_nothing_is_left(self):
        def execute(_, write):
            write(type="start", exec="exec-1")
            write(type="stderr", data="boom")
            write(**finished(3))
        self.daemon.answers["POST /v1/instances/inst-3/exec"] = execute
        status, out, err = self.run_it("-q", "bench", "t", "-n", "1", "--no-podman")
        self.assertEqual((status, out, err), (1, "", "warmctl: the command ended with 3\n  cause: boom\n"
                                             "  next:  journalctl -u warmd; warmctl operation list\n"))
        self.expect_removed("inst-2", "inst-3", "ckpt-1")

    def test_ctrl_c_cancels_what_runs_and_removes_what_was_made(self):
        self.daemon.answers[self.LINKED] = (202, operation("restore", "inst-3", "ckpt-1", "running"))
        waited = threading.Event()

        def running(_, write):
            waited.set()
            write(**operation("restore", "inst-3", "ckpt-1", "running"))
        self.daemon.answers["GET /v1/operations/op-1?wait=500ms"] = running
        self.daemon.answers["DELETE /v1/operations/op-1"] = operation("restore", "inst-3", "ckpt-1", "cancelled")
        with self.start("bench", "t", "-n", "5", "--no-podman") as process:
            self.assertTrue(waited.wait(LIMIT))
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(LIMIT), 130)
        self.expect_removed("op-1", "inst-2", "ckpt-1")


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, case, *arguments, **environment):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            default_signals()
            os.execvpe(warmctl, [warmctl, *arguments], case.environment(**{"TERM": "xterm", **environment}))
        self.text = ""

    def read(self):
        """False at the end."""
        if not select.select([self.fd], [], [], LIMIT)[0]:
            raise AssertionError("nothing more came after: " + self.text)
        try:
            piece = os.read(self.fd, 65536)
        except OSError:
            return False
        self.text += piece.decode()
        return bool(piece)

    def wait_for(self, words):
        while words not in self.text:
            if not self.read():
                raise AssertionError(f"{words!r} is not in {self.text!r}")

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self):
        while self.read():
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]), self.text


class Progress(Case):
    def setUp(self):
        super().setUp()
        running = {**operation("warm", state="running"), "phase": "init"}
        ended = operation("warm", "inst-1", phases=[("init", 2.0)])
        self.daemon.answers["POST /v1/templates/t/warm"] = (202, running)
        for wait in ("150ms", "1s"):
            self.daemon.answers[f"GET /v1/operations/op-1?wait={wait}"] = [running, ended]

    def test_each_change_is_a_line_where_there_is_no_terminal(self):
        status, out, err = self.run_it("warm", "t")
        self.assertEqual((status, out), (0, "inst-1\n"))
        self.assertRegex(err, r"^warm t: running\ninit     2 ms\nwarm t: succeeded in \d+ ms\n$")
        self.assertEqual(self.run_it("warm", "t", "-q")[2], "")

    def test_a_terminal_has_one_line_that_is_drawn_anew(self):
        status, text = Terminal(self, "warm", "t").end()
        self.assertEqual(status, 0)
        self.assertIn("\r\x1b[K\x1b[33m|\x1b[0m warm t: init\x1b[2m  ", text)
        self.assertRegex(text, r"\x1b\[32mwarm t: succeeded in \d+ ms\x1b\[0m\r\n")

    def test_no_color_has_the_line_without_colours(self):
        for more, environment in (((), {"NO_COLOR": "1"}), (("--color=never",), {})):
            text = Terminal(self, "warm", "t", *more, **environment).end()[1]
            self.assertIn("\r\x1b[K| warm t: init", text)
            self.assertNotIn("\x1b[3", text)
            self.setUp()

    def test_a_dumb_terminal_has_neither(self):
        self.assertNotIn("\x1b", Terminal(self, "warm", "t", TERM="dumb").end()[1])

    def test_colours_where_they_are_asked_for(self):
        self.assertIn("\x1b[31mwarmctl:", self.run_it("--color", "always", "pool", "show", "x", NO_COLOR="1")[2])

    def test_an_interrupted_wait_says_that_the_operation_goes_on(self):
        asked, over = threading.Event(), threading.Event()
        self.addCleanup(over.set)

        def wait(_, __):
            asked.set()
            over.wait(LIMIT)
        self.daemon.answers["GET /v1/operations/op-1?wait=1s"] = wait
        with self.start("warm", "t") as process:
            self.assertTrue(asked.wait(LIMIT))
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(LIMIT), 130)
            self.assertIn("warmctl: op-1 goes on\n  next:  warmctl operation wait op-1", process.stderr.read())


class CommandLine(Case):
    def test_says_what_was_probably_meant(self):
        self.assertEqual(self.run_it("pool", "lst"), (2, "", "warmctl: lst: did you mean warmctl pool list?\n"
                                                             "  next:  warmctl pool --help\n"))
        self.assertEqual(self.run_it("status", "--jsno")[::2],
                         (2, "warmctl: --jsno: did you mean --json?\n  next:  warmctl status --help\n"))

    def test_a_missing_word_names_the_help(self):
        status, _, err = self.run_it("pool")
        self.assertEqual(status, 2)
        self.assertTrue(err.endswith("  next:  warmctl pool --help\n"), err)

    def test_nouns_and_their_short_forms_ask_the_same(self):
        for short, noun in ((("warm", "t"), ("template", "warm", "t")), (("checkpoint", "t"), ("checkpoint", "create", "t")),
                            (("restore", "t"), ("checkpoint", "restore", "t")), (("run", "t", "--code", "1"), ("template", "run", "t", "--code", "1")),
                            (("exec", "i", "--code", "1"), ("instance", "exec", "i", "--code", "1")),
                            (("operation", "o"), ("operation", "show", "o")), (("why", "t"), ("pool", "why", "t"))):
            self.daemon.requests.clear()
            self.run_it(*short)
            asked = list(self.daemon.requests)
            self.run_it(*noun)
            self.assertEqual(self.daemon.requests, asked * 2)

    def test_exit_statuses_are_documented_as_they_are_in_the_manual(self):
        page = subprocess.run([warmctl, "__man"], capture_output=True, text=True, check=True).stdout
        found = re.findall(r"^\.TP\n\\fB([^\n]*)\\fR\n", page[page.index(".SH EXIT STATUS"):page.index(".SH ENVIRONMENT")], re.M)
        docs = pathlib.Path(__file__).resolve().parents[2] / "docs/warmctl.md"
        rows = re.findall(r"^\| ([^|]+) \| ", docs.read_text().split("## Exit statuses")[1].split("##")[0], re.M)
        self.assertEqual([row for row in rows if row not in ("status", "---")], found)


class Tcp(Case):
    def setUp(self):
        super().setUp()
        self.daemon = Daemon(None)
        self.addCleanup(self.daemon.end)
        self.socket = f"tcp://127.0.0.1:{self.daemon.server.server_address[1]}"
        self.daemon.answers["GET /v1/whoami"] = {"role": "exec", "name": "token ci", "via": "tcp"}

    def test_the_token_goes_along(self):
        status, out, _ = self.run_it("whoami", WARMD_TOKEN="secret")
        self.assertEqual((status, out.split()), (0, ["role", "exec", "name", "token", "ci", "via", "tcp"]))
        self.assertEqual(self.daemon.headers[0]["Authorization"], "Bearer secret")
        self.assertEqual(self.daemon.headers[0]["Host"], self.socket.removeprefix("tcp://"))

    def test_the_token_can_be_in_a_file(self):
        (self.folder / "token").write_text("filed\n")
        self.run_it("whoami", WARMD_TOKEN_FILE=str(self.folder / "token"))
        self.assertEqual(self.daemon.headers[0]["Authorization"], "Bearer filed")
        status, _, err = self.run_it("whoami", WARMD_TOKEN_FILE="/nonexistent/token")
        self.assertEqual(status, 1)
        self.assertIn("next:", err)

    def test_without_a_token_none_is_sent(self):
        self.run_it("whoami")
        self.assertNotIn("Authorization", self.daemon.headers[0])

    def test_what_to_do_about_a_refusal_is_said(self):
        for status, code, words in ((401, "unauthenticated", "WARMD_TOKEN"), (403, "forbidden", "warmctl whoami")):
            self.daemon.answers["GET /v1/pools"] = (status, {"code": code, "detail": "no", "title": code})
            err = self.run_it("pool", "list")[2]
            self.assertIn("warmctl: no\n  next:  ", err)
            self.assertIn(words, err)


class Retries(Case):
    WARM = "POST /v1/templates/t/warm"

    def keys(self):
        return [headers["Idempotency-Key"] for (request, _), headers in zip(self.daemon.requests, self.daemon.headers)
                if request == self.WARM]

    def test_a_lost_connection_is_repeated_with_the_same_key(self):
        self.daemon.answers[self.WARM] = [DROP, operation("warm", "inst-1")]
        status, out, err = self.run_it("warm", "t")
        self.assertEqual((status, out), (0, "inst-1\n"))
        self.assertIn("warmctl: the connection to the daemon broke; trying again in 250ms\n", err)
        first, second = self.keys()
        self.assertEqual(first, second)
        self.assertGreaterEqual(len(first), 32)
        self.run_it("warm", "t")
        self.assertNotEqual(self.keys()[2], first)

    def test_what_the_lost_request_is_still_at_is_waited_for(self):
        under_way = (409, {"code": "conflict", "detail": "under way", "title": ""}, {"Retry-After": "0"})
        self.daemon.answers[self.WARM] = [DROP, under_way, operation("warm", "inst-1")]
        self.assertEqual(self.run_it("warm", "t", "-q"), (0, "inst-1\n", ""))
        self.assertEqual(len(set(self.keys())), 1)
        self.daemon.answers[self.WARM] = under_way
        self.assertEqual(self.run_it("warm", "t", "-q")[0], 1, "there is nothing of ours to wait for")

    def test_a_busy_daemon_is_asked_again_when_it_says(self):
        busy = (503, {"code": "busy", "detail": "the queue is full", "title": "busy"}, {"Retry-After": "1"})
        self.daemon.answers[self.WARM] = [busy, operation("warm", "inst-1")]
        self.assertEqual(self.run_it("warm", "t", "-q"), (0, "inst-1\n", ""))
        self.assertEqual(len(set(self.keys())), 1)

    def test_gives_up(self):
        busy = (503, {"code": "busy", "detail": "the queue is full", "title": "busy"}, {"Retry-After": "0"})
        self.daemon.answers[self.WARM] = busy
        status, _, err = self.run_it("warm", "t", "-q")
        self.assertEqual((status, len(self.keys())), (1, 4))
        self.assertIn("the queue is full", err)

    def test_what_is_refused_for_good_is_not_repeated(self):
        self.daemon.answers[self.WARM] = (409, {"code": "conflict", "detail": "no", "title": "no"})
        self.assertEqual(self.run_it("warm", "t")[0], 1)
        self.assertEqual(len(self.keys()), 1)

    def test_a_lease_says_itself_how_long_to_wait(self):
        path = "POST /v1/pools/t/leases"
        self.daemon.answers[path] = (503, {"code": "busy", "detail": "none", "title": "busy"}, {"Retry-After": "0"})
        self.assertEqual(self.run_it("lease", "acquire", "t")[0], 1)
        self.assertEqual(self.asked(), [path])
        self.assertIn("Idempotency-Key", self.daemon.headers[0])


STATUS = {"version": "1.2.3", "started_at": "2026-01-31T08:00:00.000Z", "recovered": True, "templates": 1,
          "operations": {"active": 0}, "instances": {"live": 2}, "leases": {"active": 1}, "pools": [POOL],
          "checkpoints": {"available": 3, "bytes": 184000000},
          "store": {"free_bytes": 5000000000, "total_bytes": 9000000000, "unpacked_bytes": 400000000}, "last_event": 5}


def change(number, state):
    data = {"id": number, "at": "2026-01-31T12:00:00.000Z", "kind": "instance", "subject": "inst-1", "template": "t",
            "state": state, "reason": ""}
    return f"id: {number}\nevent: change\ndata: {json.dumps(data)}\n\n"


HELLO = 'retry: 50\n\nid: 5\nevent: hello\ndata: {"newest":5}\n\n'


class Looking(Case):
    def setUp(self):
        super().setUp()
        self.over = threading.Event()
        self.addCleanup(self.over.set)
        self.daemon.answers.update({"GET /v1/status": STATUS, "GET /readyz": {"status": "ok"}})

    def test_status_is_a_summary(self):
        status, out, err = self.run_it("status")
        self.assertEqual((status, err), (0, ""))
        self.assertRegex(out, r"ready +yes\n")
        self.assertRegex(out, r"store +5.0 GB free of 9.0 GB, 184 MB in tarballs, 400 MB unpacked\n")
        self.assertRegex(out, r"\nt +1 +0 +1 +0 +0 +2 +4 +no checkpoint\n")
        self.assertEqual(json.loads(self.run_it("status", "--json")[1]), STATUS)

    def test_status_says_why_the_daemon_is_not_ready(self):
        self.daemon.answers["GET /readyz"] = (503, {"code": "unavailable", "detail": "no Podman", "hint": "start it", "title": ""})
        self.assertRegex(self.run_it("status")[1], r"ready +no: no Podman \(next: start it\)\n")

    def test_status_says_when_priming_failed(self):
        self.assertNotIn("priming", self.run_it("status")[1])
        self.daemon.answers["GET /v1/status"] = STATUS | {"priming": {"state": "failed", "elapsed_ms": 0, "reason": "no CRIU"}}
        self.assertRegex(self.run_it("status")[1], r"priming +failed: no CRIU\n")

    def test_doctor_shows_the_fix_of_a_problem_and_fails(self):
        good = {"check": "podman", "status": "ok", "found": "Podman answers", "why": "it must", "fix": ""}
        bad = {"check": "libcriu", "status": "problem", "found": "there is none", "why": "crun loads it", "fix": "apt-get install libcriu2"}
        better = {"check": "memory", "status": "advice", "found": "little", "why": "more is more", "fix": "buy some"}
        self.daemon.answers["GET /v1/doctor"] = {"status": "advice", "findings": [good, better]}
        status, out, err = self.run_it("doctor")
        self.assertEqual((status, err), (0, ""))
        self.assertRegex(out, r"warmd +ok +answers on ")
        self.assertRegex(out, r"memory +advice +little\n +why +more is more\n +fix +buy some\n")
        self.assertNotIn("it must", out)
        self.daemon.answers["GET /v1/doctor"] = {"status": "problem", "findings": [good, bad]}
        status, out, err = self.run_it("doctor")
        self.assertEqual(status, 1)
        self.assertRegex(out, r"libcriu +problem +there is none\n +why +crun loads it\n +fix +apt-get install libcriu2\n")
        status, out, err = self.run_it("doctor", "--json")
        self.assertEqual(status, 1)
        self.assertEqual(json.loads(out)["findings"][1:], [good, bad])
        self.assertEqual(json.loads(out)["environment"], {}, "of a daemon that does not tell it")
        self.daemon.answers["GET /v1/doctor"] = {"status": "ok", "findings": [good], "environment": {"criu": "4.1"}}
        self.assertEqual(json.loads(self.run_it("doctor", "--json")[1])["environment"], {"criu": "4.1"})

    def test_events_go_on_after_a_broken_stream(self):
        self.daemon.answers["GET /v1/events"] = [
            Raw("text/event-stream", HELLO, ": keepalive\n\n", change(6, "warming")),
            Raw("text/event-stream", change(7, "idle"), lambda: self.over.wait(LIMIT))]
        with self.start("events") as process:
            self.assertEqual(process.stdout.readline(), "12:00:00.000  inst-1  t  warming\n")
            self.assertEqual(process.stdout.readline(), "12:00:00.000  inst-1  t  idle\n")
            process.terminate()
        self.assertEqual([headers["Last-Event-ID"] for headers in self.daemon.headers], [None, "6"])

    def test_events_since_as_documents(self):
        self.daemon.answers["GET /v1/events"] = [Raw("text/event-stream", change(6, "idle")), (403, {"code": "forbidden", "detail": "no"})]
        status, out, err = self.run_it("events", "--json", "--since", "5")
        self.assertEqual(status, 1)
        self.assertEqual(json.loads(out)["subject"], "inst-1")
        self.assertIn("connecting again", err)
        self.assertEqual(self.daemon.headers[0]["Last-Event-ID"], "5")

    def test_watch_draws_what_changes_and_polls_when_the_stream_breaks(self):
        broken = threading.Event()
        self.daemon.answers["GET /v1/events"] = [
            Raw("text/event-stream", HELLO, change(6, "warming"), lambda: broken.wait(LIMIT)), DROP]
        self.daemon.answers["GET /v1/status"] = [(200, STATUS, {"ETag": '"a"'}), (304, None),
                                                 (200, {**STATUS, "version": "9.9.9"}, {"ETag": '"b"'})]
        terminal = Terminal(self, "watch")
        terminal.wait_for("inst-1  t  warming")
        terminal.wait_for("live")
        broken.set()
        terminal.wait_for("polling")
        terminal.wait_for("9.9.9")
        terminal.type("q")
        status, text = terminal.end()
        self.assertEqual(status, 0)
        self.assertTrue(text.startswith("\x1b[?1049h") and text.endswith("\x1b[?1049l"), repr(text))
        asked = [headers["If-None-Match"] for (path, _), headers in zip(self.daemon.requests, self.daemon.headers)
                 if path == "GET /v1/status"]
        self.assertEqual(asked[:2], [None, '"a"'])

    def test_watch_once_and_without_a_terminal(self):
        self.assertRegex(self.run_it("watch", "--once")[1], r"^warmd +1.2.3\n")
        self.daemon.answers["GET /v1/events"] = [Raw("text/event-stream", HELLO, change(6, "idle")), (403, {"code": "forbidden", "detail": "no"})]
        self.assertEqual(self.run_it("watch")[1], "12:00:00.000  inst-1  t  idle\n")


def checkpoint(name, state="available", digest="new", day=1):
    return {"id": name, "template": "t", "template_digest": digest, "state": state, "reason": None, "source": None,
            "image": "i", "image_id": "i", "size_bytes": 1000000, "sha256": None, "phases": [], "environment": {},
            "statistics": {}, "created_at": f"2026-01-{day:02}T12:00:00.000Z", "available_at": None}


def deletion(name, reason):
    return {"checkpoint": name, "template": "t", "state": "available", "size_bytes": 1000000,
            "created_at": "2026-01-01T12:00:00.000Z", "reason": reason}


class Store(Case):
    def setUp(self):
        super().setUp()

        def page(*items):
            return {"items": list(items), "next_cursor": None}
        checkpoints = page(checkpoint("ckpt-4", day=4), checkpoint("ckpt-3", "failed", day=3), checkpoint("ckpt-2", day=2),
                           checkpoint("ckpt-1", digest="old"))
        self.daemon.answers.update({
            "GET /v1/status": STATUS, "GET /v1/checkpoints": checkpoints, "GET /v1/checkpoints?template=t": checkpoints,
            "GET /v1/templates": page({"name": "t", "digest": "new"}), "GET /v1/templates/t": {"name": "t", "digest": "new"},
            "GET /v1/instances": page(), "GET /v1/pools": page({**POOL, "checkpoint": "ckpt-4"}), "GET /v1/pools/t": POOL,
            "GET /v1/operations?limit=1000": page(), "GET /v1/leases?all=true&limit=1000": page(LEASE),
            **{f"DELETE /v1/checkpoints/ckpt-{n}": operation("delete_checkpoint") for n in range(1, 5)}})

    def pruned(self):
        """What the daemon was asked to prune, without dry runs."""
        return [body for request, body in self.daemon.requests if request == "POST /v1/prune" and not body["dry_run"]]

    def prune_answers(self, gone=("ckpt-3", "ckpt-2", "ckpt-1"), **more):
        plan = [deletion("ckpt-3", "failed"), deletion("ckpt-2", "superseded"), deletion("ckpt-1", "earlier_template")]
        ended = {**operation("prune"), "deletions": [entry for entry in plan if entry["checkpoint"] in gone], **more}
        self.daemon.answers["POST /v1/prune"] = [{"deletions": plan, "bytes": 3000000}, ended]
        self.daemon.answers["GET /v1/operations/" + ended["id"]] = ended

    def test_df_says_what_can_be_reclaimed(self):
        entry = {"template": "t", "checkpoints": 4, "pinned": 1, "bytes": 4000000, "unpacked_bytes": 400000000, "reclaimable_bytes": 3000000}
        usage = {"templates": [entry], "tarball_bytes": 4000000, "unpacked_bytes": 400000000, "reclaimable_bytes": 3000000,
                 "reserved_bytes": 0, "free_bytes": 52000000000, "total_bytes": 107000000000, "min_free_bytes": 1000000000}
        self.daemon.answers["GET /v1/df"] = usage
        out = self.run_it("df")[1]
        self.assertRegex(out, r"\nt +4 +1 +4.0 MB +400 MB +3.0 MB\n")
        self.assertRegex(out, r"free +52 GB\n")
        self.assertRegex(out, r"stays free +1.0 GB\n")
        self.assertEqual(json.loads(self.run_it("--json", "df")[1]), usage)
        self.daemon.answers["GET /v1/df"] = {**usage, "free_bytes": 999999999}
        self.assertRegex(self.run_it("df")[1], r"free +1000 MB +\(too little for a checkpoint\)\n")

    def test_verify_reads_those_that_are_available_and_says_which_are_damaged(self):
        damaged = {**operation("verify_checkpoint", checkpoint="ckpt-2", state="failed"),
                   "error": {"code": "corrupt", "detail": "it is damaged", "hint": "make another"}}
        self.daemon.answers.update({
            "POST /v1/checkpoints/ckpt-4/verify": operation("verify_checkpoint", checkpoint="ckpt-4"),
            "POST /v1/checkpoints/ckpt-2/verify": damaged,
            "POST /v1/checkpoints/ckpt-1/verify": operation("verify_checkpoint", checkpoint="ckpt-1"),
            "POST /v1/checkpoints/ckpt-4/verify?restore=true": operation("verify_checkpoint", checkpoint="ckpt-4")})
        status, out, err = self.run_it("-q", "checkpoint", "verify", "--all")
        self.assertEqual((status, out), (1, "ckpt-4\nckpt-1\n"))
        self.assertIn("it is damaged", err)
        self.assertEqual(self.run_it("-q", "checkpoint", "verify", "ckpt-4", "--restore")[:2], (0, "ckpt-4\n"))
        self.assertEqual(self.run_it("checkpoint", "verify")[0], 2)
        self.assertEqual(self.run_it("checkpoint", "verify", "ckpt-4", "--all")[0], 2)

    def test_prune_wants_to_be_sure(self):
        self.prune_answers()
        status, out, err = self.run_it("prune")
        self.assertEqual(status, 2)
        self.assertEqual([line.split()[0] for line in out.splitlines()], ["CHECKPOINT", "ckpt-3", "ckpt-2", "ckpt-1"])
        self.assertRegex(out, r"earlier template\n")
        self.assertIn("add --yes", err)
        self.prune_answers()
        status, _, err = self.run_it("prune", "--dry-run")
        self.assertEqual((status, err), (0, "warmctl: would delete 3 checkpoints, 3.0 MB\n"))
        self.assertEqual(self.pruned(), [])

    def test_prune_deletes_what_it_has_shown(self):
        self.prune_answers()
        self.assertEqual(self.run_it("prune", "--yes", "--keep", "2")[::2], (0, "warmctl: deleted 3 checkpoints, 3.0 MB\n"))
        self.assertEqual(self.pruned(), [{"keep": 2, "only": ["ckpt-3", "ckpt-2", "ckpt-1"], "dry_run": False}])

    def test_prune_says_that_there_is_nothing_to_delete(self):
        self.daemon.answers["POST /v1/prune"] = {"deletions": [], "bytes": 0}
        self.assertEqual(self.run_it("prune", "--yes"), (0, "", "warmctl: nothing to delete\n"))

    def test_prune_asks_on_a_terminal(self):
        for answer, count in (("n", 0), ("y", 1)):
            self.prune_answers()
            terminal = Terminal(self, "prune")
            terminal.wait_for("delete 3 checkpoints, 3.0 MB? [y/N]")
            terminal.type(answer + "\n")
            self.assertEqual(terminal.end()[0], 0)
            self.assertEqual(len(self.pruned()), count)

    def test_prune_says_what_has_gone_though_something_could_not(self):
        failed = {"state": "failed", "error": {"code": "conflict", "detail": "in use"}}
        self.prune_answers(gone=("ckpt-2", "ckpt-1"), **failed)
        status, out, err = self.run_it("--json", "prune", "--yes")
        self.assertEqual(status, 1)
        self.assertIn("in use", err)
        self.assertIn("deleted 2 checkpoints, 2.0 MB of 3", err)
        self.assertEqual([(entry["checkpoint"], entry["deleted"]) for entry in map(json.loads, out.splitlines())],
                         [("ckpt-3", False), ("ckpt-2", True), ("ckpt-1", True)])

    def test_pins_are_set_and_taken_back(self):
        for word, request in (("pin", "POST"), ("unpin", "DELETE")):
            path = f"{request} /v1/checkpoints/ckpt-1/pin"
            self.daemon.answers[path] = {**checkpoint("ckpt-1"), "pinned": word == "pin"}
            self.assertEqual(self.run_it("checkpoint", word, "ckpt-1"), (0, "", ""))
            self.assertIn(path, self.asked())
        status, _, err = self.run_it("checkpoint", "pin", "ckpt-9")
        self.assertEqual(status, 1)

    def test_a_pin_is_in_the_list(self):
        self.daemon.answers["GET /v1/checkpoints"]["items"][0]["pinned"] = True
        self.assertRegex(self.run_it("checkpoint", "list")[1], r"ckpt-4 .* pinned\n")

    def test_why(self):
        self.assertEqual(self.run_it("why", "t")[0], 0)
        self.daemon.answers["GET /v1/pools/t"] = {**POOL, "idle": 0, "filling": 0, "leased": 4}
        status, out, _ = self.run_it("why", "t")
        self.assertEqual(status, 1)
        self.assertRegex(out, r"because +4 of at most 4 instances are leased\n")
        self.assertRegex(out, r"last leases .*: pool, waited 0 ms\n")
        document = json.loads(self.run_it("--json", "why", "t")[1])
        self.assertEqual((document["served"], document["leases"][0]["id"]), (False, "lease-1"))

    def test_why_of_a_template_that_is_not_there(self):
        self.daemon.answers["GET /v1/templates"]["items"] = [{"name": "octave", "digest": "d"}]
        self.assertIn("next:  did you mean octave?", self.run_it("why", "octvae")[2])


OLD = {"podman": "5.4.2", "runtime": "crun", "criu": "4.1.1", "kernel": "6.12.48-amd64", "architecture": "amd64",
       "cpu_model": "Old CPU", "cpu_flags": "avx avx2 fpu sse2", "xsave_size": "832"}
NEW = OLD | {"cpu_model": "New CPU", "cpu_flags": "avx avx2 avx512f fpu sse2", "xsave_size": "2696"}


class Fleet(Case):
    """The daemon is never asked."""

    def tearDown(self):
        self.assertEqual(self.asked(), [])

    def file(self, name, document):
        path = self.folder / name
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return str(path)

    def agent(self, name, environment, *findings):
        return self.file(name + ".json", {"status": "ok", "findings": list(findings), "environment": environment})

    def test_plan_says_where_to_warm_so_that_every_agent_restores(self):
        files = [self.agent("build1", NEW), self.agent("build2", OLD), self.agent("build3", NEW)]
        status, out, err = self.run_it("fleet", "plan", *files)
        self.assertEqual((status, err), (0, ""))
        self.assertRegex(out, r"(?m)^CLASS +AGENT +ARCHITECTURE .*\n1 +build1 +amd64 .* New CPU\n1 +build3 .*\n2 +build2 ")
        self.assertRegex(out, r"(?m)^MADE ON +ON 1 +ON 2\n1 \(build1, \.\.\.\) +yes +no\n2 \(build2\) +yes +yes\n")
        self.assertRegex(out, r"(?m)^1 \(build1, \.\.\.\) +2 \(build2\) +cpu_flags avx512f \(not here\): the application")
        self.assertRegex(out, r"(?m)^warm on +build2\n")

    def test_plan_without_a_baseline_says_what_all_have_and_who_is_in_the_way(self):
        files = [self.agent("a", OLD), self.agent("b", OLD | {"runtime": "runc"}), self.agent("c", NEW)]
        status, out, _ = self.run_it("fleet", "plan", *files)
        self.assertEqual(status, 0)
        self.assertRegex(out, r"(?m)^warm on +no agent")
        self.assertRegex(out, r"(?m)^nearest +a, for 2 of 3 agents$")
        self.assertRegex(out, r"(?m)^by processor +a, b$")
        self.assertRegex(out, r"(?m)^all have +avx avx2 fpu sse2$")
        self.assertRegex(out, r"(?m)^IN THE WAY +BECAUSE OF\nb +runtime crun \(here runc\): ")

    def test_plan_as_a_document(self):
        bad = {"check": "criu", "status": "problem", "found": "none", "why": "", "fix": ""}
        status, out, err = self.run_it("fleet", "plan", "--json", self.agent("a", OLD, bad), self.agent("b", NEW))
        self.assertEqual((status, err), (0, ""))
        plan = json.loads(out)
        self.assertEqual(plan["classes"], [["a"], ["b"]])
        self.assertEqual(plan["baseline"]["warm_on"], ["a"])
        self.assertEqual(plan["agents"][0]["problems"], ["criu"])
        no = [one for one in plan["matrix"] if not one["compatible"]]
        self.assertEqual([(one["made_on"], one["restores_on"]) for one in no], [("b", "a")])
        self.assertEqual(no[0]["differences"][0]["field"], "cpu_flags")
        self.assertEqual(plan["checkpoints"], [])

    def test_plan_says_which_agents_restore_checkpoints(self):
        files = [self.agent("a", OLD), self.agent("b", NEW)]
        made = [self.file(name, checkpoint(name, day=day) | {"environment": made_on})
                for name, day, made_on in (("ckpt-1", 1, OLD), ("ckpt-2", 2, NEW))]
        status, out, _ = self.run_it("fleet", "plan", "--checkpoint", made[0], *files, "--checkpoint", made[1])
        self.assertEqual(status, 0)
        self.assertRegex(out, r"(?m)^CHECKPOINT +AGENT +RESTORES +BECAUSE OF\nckpt-1 +a +yes\nckpt-1 +b +yes\n"
                              r"ckpt-2 +a +no +cpu_flags avx512f .*\n +xsave_size 2696 \(here 832\): .*\nckpt-2 +b +yes\n")
        plan = json.loads(self.run_it("fleet", "plan", "--json", "--checkpoint", made[1], *files)[1])
        self.assertEqual(plan["checkpoints"][0]["checkpoint"], "ckpt-2")
        self.assertEqual([one["compatible"] for one in plan["checkpoints"][0]["restores_on"]], [False, True])

    def test_plan_says_what_it_takes_for_granted(self):
        vague = {name: value for name, value in OLD.items() if name != "xsave_size"}
        bad = {"check": "criu", "status": "problem", "found": "none", "why": "", "fix": ""}
        status, _, err = self.run_it("fleet", "plan", self.agent("a", vague, bad))
        self.assertEqual(status, 0)
        self.assertIn("a does not tell its xsave_size: not compared", err)
        self.assertIn("a has problems that its doctor knows (criu)", err)

    def test_plan_names_the_file_that_is_wrong_and_the_next_step(self):
        good = self.agent("a", OLD)
        (self.folder / "other").mkdir()
        for wrong, words, step in (
                (self.file("bad.json", "{"), "bad.json is no document of the doctor's", "doctor --json > bad.json"),
                (self.file("old.json", {"status": "ok", "findings": []}), "old.json does not tell", "install this version"),
                (self.file("ckpt.json", checkpoint("ckpt-1")), "it is a checkpoint's", "--checkpoint"),
                (str(self.folder / "none.json"), "No such file", "doctor --json >"),
                (str(self.folder / "other"), "Is a directory", "doctor --json >"),
                (self.file("other/a.json", {"status": "ok", "findings": [], "environment": OLD}), "two files", "name of its agent")):
            status, out, err = self.run_it("fleet", "plan", good, wrong)
            self.assertEqual((status, out), (1, ""), wrong)
            self.assertIn(words, err)
            self.assertIn(wrong, err)
            self.assertRegex(err, r"(?m)^  next:  .*" + re.escape(step))
        status, _, err = self.run_it("fleet", "plan", good, "--checkpoint", good)
        self.assertEqual(status, 1)
        self.assertIn("is no checkpoint's document: it is the doctor's", err)
        self.assertEqual(self.run_it("fleet", "plan")[0], 2)


class Shells(Case):
    def setUp(self):
        super().setUp()
        self.daemon.answers["GET /v1/templates"] = {"items": [{"name": "octave", "description": "GNU Octave"}], "next_cursor": None}

    def script(self, shell):
        path = self.folder / f"completion.{shell}"
        path.write_text(subprocess.run([warmctl, "completion", shell], capture_output=True, text=True, check=True).stdout)
        return str(path)

    def run_shell(self, *command):
        environment = self.environment(PATH=f"{pathlib.Path(warmctl).parent}:{os.environ['PATH']}")
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.split()

    def complete_in_bash(self, *words):
        return self.run_shell("bash", "-c", 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _warmctl; '
                              'printf "%s\\n" "${COMPREPLY[@]}"', "bash", self.script("bash"), "warmctl", *words)

    def test_bash_completes(self):
        self.assertEqual(self.complete_in_bash("chec"), ["checkpoint"])
        self.assertEqual(self.complete_in_bash("warm", ""), ["octave"])
        self.assertEqual(self.complete_in_bash("completion", "z"), ["zsh"])
        self.assertEqual(self.run_shell("bash", "-c", 'source "$1"; complete -p warmctl', "bash", self.script("bash"))[-1], "warmctl")

    def test_no_daemon_is_silence(self):
        self.socket = "/nonexistent/socket"
        self.assertEqual(self.complete_in_bash("warm", ""), [])

    def test_a_daemon_that_does_not_answer_is_waited_for_a_second(self):
        over = threading.Event()
        self.addCleanup(over.set)
        self.daemon.answers["GET /v1/templates"] = lambda _, __: over.wait(LIMIT)
        self.assertEqual(self.complete_in_bash("warm", ""), [])
        self.assertFalse(over.is_set())

    def test_scripts_are_well_formed(self):
        for shell, check in (("bash", ["shellcheck"]), ("zsh", ["zsh", "-n"]), ("fish", ["fish", "-n"])):
            with self.subTest(shell):
                if shutil.which(check[0]) is None:
                    self.skipTest(check[0] + " is not installed")
                self.assertEqual(self.run_shell(*check, self.script(shell)), [])

    def test_zsh_completes(self):
        if shutil.which("zsh") is None:
            self.skipTest("zsh is not installed")
        found = self.run_shell("zsh", "-f", "-c", 'compdef() { :; }; _describe() { print -l -- ${(P)2}; }; source "$1"; '
                               'words=(warmctl warm ""); CURRENT=3; _warmctl', "zsh", self.script("zsh"))
        self.assertEqual(found, ["octave:GNU", "Octave"])

    def test_fish_completes(self):
        if shutil.which("fish") is None:
            self.skipTest("fish is not installed")
        found = self.run_shell("fish", "--no-config", "-c", f"source {self.script('fish')}; complete -C 'warmctl warm '")
        self.assertIn("octave", found)

    def test_manual_pages_are_without_warnings(self):
        if shutil.which("groff") is None:
            self.skipTest("groff is not installed")
        made = self.folder / "warmctl.1"
        made.write_text(subprocess.run([warmctl, "__man"], capture_output=True, text=True, check=True).stdout)
        written = pathlib.Path(__file__).resolve().parents[2] / "docs/man"
        for page in (made, written / "warmd.8", written / "warmd.toml.5"):
            done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", str(page)], capture_output=True, text=True, timeout=LIMIT)
            self.assertEqual((done.returncode, done.stderr), (0, ""), page)

    def test_the_manual_has_every_key_of_the_configuration(self):
        docs = pathlib.Path(__file__).resolve().parents[2] / "docs"
        keys = re.findall(r"^\| `([a-z_.\[\]]+)`", (docs / "templates.md").read_text(), re.M)
        page = (docs / "man/warmd.toml.5").read_text()
        self.assertGreater(len(keys), 20)
        self.assertEqual([key for key in keys if f"\\fB{key}\\fR" not in page], [])


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    warmctl = str(pathlib.Path(sys.argv.pop(1)).resolve())
    unittest.main()
