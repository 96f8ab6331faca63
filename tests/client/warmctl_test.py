#!/usr/bin/env python3
"""Tests of warmctl against a daemon that is played here: warmctl_test.py WARMCTL [UNITTEST-ARGUMENT...]."""

import http.server
import json
import os
import pathlib
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


class Daemon:
    """Answers "METHOD /path" with what `answers` has for it: a document, (status, document), or a function that gets the
    request's body and a function that writes one frame. `requests` is what was asked, in order."""

    def __init__(self, socket):
        self.answers = {}
        self.requests = []
        self.signalled = threading.Event()
        daemon = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                daemon.requests.append((f"{self.command} {self.path}", body))
                missing = (404, {"code": "not_found", "detail": f"no {self.path}", "title": "not found"})
                answer = daemon.answers.get(f"{self.command} {self.path}", missing)
                if callable(answer):
                    self.send_response(200)
                    self.send_header("Content-Type", "application/x-ndjson")
                    self.end_headers()
                    answer(body, lambda **frame: self.wfile.write(json.dumps(frame).encode() + b"\n"))
                    return
                status, document = answer if isinstance(answer, tuple) else (200, answer)
                text = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_DELETE = answer

            def address_string(self):
                return "warmctl"

            def log_message(self, *_):
                pass

        self.server = Server(socket, Handler)
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
        self.assertEqual(self.run_it("run", "t", "--code", "1"), (125, "", "warmctl: no /v1/templates/t/run\n"))

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
        self.assertEqual((status, out, err), (1, "", "warmctl: the command ended with 3\n  cause: boom\n"))
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


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    warmctl = str(pathlib.Path(sys.argv.pop(1)).resolve())
    unittest.main()
