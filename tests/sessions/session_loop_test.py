#!/usr/bin/env python3
"""Tests of the session loops: plays the agent's side of docs/agent-protocol.md, "A session".

    session_loop_test.py python|bash|r|java [-- COMMAND [ARGUMENT...]] [-- UNITTEST-ARGUMENT...]

COMMAND starts the loop; the default runs the file in this repository. With `chroot ROOT PROGRAM...` everything that
both sides share is below ROOT. Exit status 77, with the reason, where the default cannot run.
"""

import collections
import os
import pathlib
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.parse

SESSIONS = pathlib.Path(__file__).resolve().parents[2] / "dockerfiles/agent/sessions"
LIMIT = 10  # seconds, after which a test fails that waits for something
JAVA_OPTIONS = ["-XX:-UsePerfData", "-XX:+UseSerialGC", "--add-opens=java.base/java.lang=ALL-UNNAMED",
                "--add-opens=java.base/java.util=ALL-UNNAMED", "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED"]
COMMANDS = {
    "python": [str(SESSIONS / "session_loop.py")],
    "bash": [str(SESSIONS / "session_loop.bash")],
    "r": ["Rscript", str(SESSIONS / "session_loop.R")],
    "java": ["java", *JAVA_OPTIONS, str(SESSIONS / "SessionLoop.java")],
}
command = []
Answer = collections.namedtuple("Answer", "status out err")


def default_signals():
    """As the agent starts it: whoever started these tests in the background has SIGINT ignored, and so would the loop."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


def encode(field):
    return urllib.parse.quote(field, safe="")


class Session:
    def __init__(self):
        self.root = pathlib.Path(command[1] if command[0] == "chroot" else "/")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="session-", dir=self.root / "tmp"))
        fifo = self.folder / "requests"
        os.mkfifo(fifo)
        self.fifo = os.open(fifo, os.O_RDWR)
        self.output = [bytearray(), bytearray()]
        self.ended = [False, False]
        self.changed = threading.Condition()
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
            preexec_fn=default_signals,
            env={"PATH": os.environ["PATH"], "HOME": "/", "LANG": "C.UTF-8", "WARM_SESSION": self.inside(fifo)})
        self.readers = [threading.Thread(target=self.read, args=pair)
                        for pair in enumerate((self.process.stdout, self.process.stderr))]
        for reader in self.readers:
            reader.start()

    def inside(self, path):
        return "/" + str(path.relative_to(self.root))

    def read(self, which, pipe):
        while data := os.read(pipe.fileno(), 65536):
            with self.changed:
                self.output[which] += data
                self.changed.notify_all()
        with self.changed:
            self.ended[which] = True
            self.changed.notify_all()

    def wait_for(self, which, text, start=0):
        """The place of text in an output."""
        with self.changed:
            found = -1

            def there():
                nonlocal found, start
                found = self.output[which].find(text, start)
                start = max(start, len(self.output[which]) - len(text))
                return found >= 0 or self.ended[which]

            self.changed.wait_for(there, LIMIT)
            if found < 0:
                raise AssertionError(f"no {text!r} {'before the end' if self.ended[which] else f'in {LIMIT} s'}; "
                                     f"last: {self.output[0][-500:]!r} {self.output[1][-2000:]!r}")
            return found

    def send(self, kind, *fields):
        """Writes a request, with the empty line after it, and returns its nonce."""
        nonce = secrets.token_hex(16)
        line = memoryview(" ".join((nonce, kind, *map(encode, fields))).encode() + b"\n\n")
        while line:
            line = line[os.write(self.fifo, line):]
        return nonce

    def send_code(self, code, *variables, workdir=None):
        return self.send("exec", workdir or self.inside(self.folder), code, *variables)

    def answer(self, nonce):
        """Waits for both markers and takes what is before them."""
        parts = []
        statuses = []
        for which in 0, 1:
            marker = f"\x1ewarm {nonce} ".encode()
            begin = self.wait_for(which, marker)
            end = self.wait_for(which, b"\n", begin)
            with self.changed:
                parts.append(bytes(self.output[which][:begin]).decode())
                statuses.append(int(self.output[which][begin + len(marker):end]))
                del self.output[which][:end + 1]
                if self.output[which]:
                    raise AssertionError(f"output after the marker: {self.output[which]!r}")
        if statuses[0] != statuses[1]:
            raise AssertionError(f"two statuses: {statuses}")
        return Answer(statuses[0], *parts)

    def run(self, code, *variables, workdir=None):
        return self.answer(self.send_code(code, *variables, workdir=workdir))

    def resume(self, seed, *variables):
        tmpdir = pathlib.Path(tempfile.mkdtemp(prefix="warm-", dir=self.folder))
        return self.inside(tmpdir), self.answer(self.send("resume", str(seed), self.inside(tmpdir), *variables))

    def wait_until_it_sleeps(self):
        # A signal that comes just before a system call blocks is seen only after it: in bash's read, in Python's sleep.
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat")
        while stat.read_text().rpartition(")")[2].split()[0] != "S":
            os.sched_yield()

    def interrupt(self):
        os.killpg(self.process.pid, signal.SIGINT)  # as the agent does

    def close(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for reader in self.readers:
            reader.join()
        self.process.stdout.close()
        self.process.stderr.close()
        os.close(self.fifo)
        shutil.rmtree(self.folder)


class Loop:
    """What holds for every language; the subclasses say it in theirs."""

    has_directory = True  # the process can change its working directory
    has_seed = True
    error_status = 1

    @classmethod
    def setUpClass(cls):
        cls.session = Session()
        cls.addClassCleanup(cls.session.close)
        cls.first = cls.session.run(" ")

    def tearDown(self):
        # One process serves all requests, whatever the tests did.
        self.assertIsNone(self.session.process.poll(), "the session has ended")
        self.assertEqual(self.session.run(self.say("out", "still here")), Answer(0, "still here\n", ""))

    def run_code(self, code, *variables, **options):
        return self.session.run(code, *variables, **options)

    def say(self, stream, text):
        return {"out": self.out, "err": self.err}[stream] % text

    def test_empty_request_answers_0(self):
        self.assertEqual(self.first, Answer(0, "", ""))

    def test_streams_are_separate(self):
        code = "\n".join((self.say("out", "one"), self.say("err", "two"), self.say("out", "three")))
        self.assertEqual(self.run_code(code), Answer(0, "one\nthree\n", "two\n"))

    def test_large_output_is_complete_and_in_order(self):
        answer = self.run_code(self.large)
        filler = "x" * 93
        self.assertEqual(answer.status, 0)
        self.assertEqual(len(answer.out), 100000 * 101)
        # Not assertEqual: the difference of such texts takes minutes to print.
        self.assertTrue(answer.out == "".join(f"{i:06d} {filler}\n" for i in range(100000)))
        self.assertTrue(answer.err == "".join(f"err {k}\n" for k in range(100)), answer.err[:200])

    def test_output_appears_while_code_runs(self):
        fifo = self.session.folder / "go"
        os.mkfifo(fifo)
        nonce = self.session.send_code(self.wait % self.session.inside(fifo))
        self.session.wait_for(0, b"waiting\n")
        self.session.wait_for(1, b"waiting too\n")
        fifo.write_text("gone\n")
        self.assertEqual(self.session.answer(nonce), Answer(0, "waiting\ngone\n", "waiting too\n"))
        fifo.unlink()

    def test_error_is_reported_and_status_is_1(self):
        answer = self.run_code(self.error)
        self.assertEqual((answer.status, answer.out), (self.error_status, "before\n"))
        self.assertIn(self.error_message, answer.err)
        self.assertNotIn("session_loop", answer.err)
        self.assertNotIn("SessionLoop", answer.err)

    def test_exit_ends_the_request_not_the_process(self):
        for code in self.exits:
            with self.subTest(code):
                self.assertEqual(self.run_code(code), Answer(3, "before\n", ""))

    def test_variables_persist(self):
        self.assertEqual(self.run_code(self.assign).status, 0)
        self.assertEqual(self.run_code(self.show), Answer(0, "kept 42\n", ""))

    def test_variables_persist_over_exit_and_error(self):
        self.run_code(self.assign)
        self.run_code(self.exits[0])
        self.run_code(self.error)
        self.assertEqual(self.run_code(self.show), Answer(0, "kept 42\n", ""))

    def test_environment_is_of_one_request(self):
        self.assertEqual(self.run_code(self.environment, "WARM_A=x y=é\n'\"%41"), Answer(0, "<x y=é\n'\"%41>\n", ""))
        self.assertEqual(self.run_code(self.environment), Answer(0, "<>\n", ""))
        self.run_code(self.exits[0], "WARM_A=1")
        self.assertEqual(self.run_code(self.environment), Answer(0, "<>\n", ""))

    def test_environment_that_was_there_comes_back(self):
        _, answer = self.session.resume(1, "WARM_A=for good")
        self.assertEqual(answer, Answer(0, "", ""))
        self.assertEqual(self.run_code(self.environment, "WARM_A=1"), Answer(0, "<1>\n", ""))
        self.assertEqual(self.run_code(self.environment), Answer(0, "<for good>\n", ""))
        self.session.resume(1, "WARM_A=")

    def test_working_directory_is_of_one_request(self):
        here = self.run_code(self.directory).out
        self.assertEqual(here, self.session.inside(self.session.folder) + "\n")
        self.assertEqual(self.run_code(self.directory, workdir="/usr/bin/.."), Answer(0, "/usr\n", ""))
        if self.has_directory:
            self.assertEqual(self.run_code(self.change_directory).status, 0)
            self.assertEqual(os.readlink(f"/proc/{self.session.process.pid}/cwd"), os.getcwd()
                             if self.session.root == pathlib.Path("/") else str(self.session.root))

    def test_missing_working_directory_is_an_error(self):
        answer = self.run_code(self.say("out", "no"), workdir="/nonexistent/warm")
        self.assertEqual((answer.status, answer.out), (1, ""))
        self.assertIn("/nonexistent/warm", answer.err)

    def test_any_text_is_code(self):
        text = "é ü 漢 😀 'a' \"b\" `c` $d %41 %% \\ & ;"
        self.assertEqual(self.run_code(self.quote(text)), Answer(0, text + "\n", ""))

    def test_code_of_many_lines_and_kilobytes(self):
        code = "\n".join(self.say("out", f"{i} {'y' * 80}") for i in range(self.lines))
        answer = self.run_code(code)
        self.assertEqual((answer.status, answer.err), (0, ""))
        self.assertEqual(answer.out.splitlines(), [f"{i} {'y' * 80}" for i in range(self.lines)])

    def test_interrupt_ends_an_endless_loop(self):
        nonce = self.session.send_code(self.endless)
        self.session.wait_for(0, b"running\n")
        self.session.interrupt()
        answer = self.session.answer(nonce)
        self.assertEqual((answer.status, answer.out), (130, "running\n"), answer.err)

    def test_interrupt_ends_sleep(self):
        nonce = self.session.send_code(self.sleep)
        self.session.wait_for(0, b"running\n")
        self.session.wait_until_it_sleeps()
        self.session.interrupt()
        answer = self.session.answer(nonce)
        self.assertEqual((answer.status, answer.out), (130, "running\n"), answer.err)

    def test_interrupt_between_requests_does_nothing(self):
        for _ in range(5):
            self.session.interrupt()
            self.assertEqual(self.run_code(self.say("out", "idle")), Answer(0, "idle\n", ""))

    def test_seed_decides_random_numbers(self):
        if not self.has_seed:
            self.skipTest("the language has no global seed")
        twin = Session()
        self.addCleanup(twin.close)
        for code in self.randoms:
            with self.subTest(code):
                numbers = []
                for session, seed in ((self.session, 1), (self.session, 2), (twin, 1), (twin, 2147483647)):
                    self.assertEqual(session.resume(seed)[1], Answer(0, "", ""))
                    answer = session.run(code)
                    self.assertEqual((answer.status, answer.err), (0, ""))
                    numbers.append(answer.out)
                self.assertEqual(numbers[0], numbers[2])
                self.assertEqual(len(set(numbers)), 3, numbers)

    def test_temporary_files_follow_resume(self):
        before = self.run_code(self.temporary).out
        for seed in 1, 2:
            tmpdir, answer = self.session.resume(seed, "WARM_B=é")
            self.assertEqual(answer, Answer(0, "", ""))
            self.assertEqual(self.run_code(self.tmpdir), Answer(0, tmpdir + "\n", ""))
            answer = self.run_code(self.temporary)
            self.assertEqual((answer.status, answer.err), (0, ""))
            self.assertTrue(answer.out.startswith(tmpdir + self.below_tmpdir), answer.out)
            self.assertNotEqual(answer.out, before)

    def test_unknown_request_is_answered(self):
        answer = self.session.answer(self.session.send("nonsense", "a b"))
        self.assertEqual((answer.status, answer.out), (1, ""))
        self.assertIn("nonsense", answer.err)

    def test_replaced_streams_do_not_stop_the_marker(self):
        for code in self.stream_breakers:
            with self.subTest(code):
                self.assertEqual(self.run_code(code).status, 0)
                self.assertEqual(self.run_code(self.say("out", "a") + "\n" + self.say("err", "b")), Answer(0, "a\n", "b\n"))

    def test_session_ends_with_its_requests(self):
        session = Session()
        self.addCleanup(session.close)
        session.run(" ")
        session.wait_until_it_sleeps()
        os.killpg(session.process.pid, signal.SIGTERM)
        self.assertNotEqual(session.process.wait(LIMIT), 0)


class PythonTest(Loop):
    out = "print('%s')"
    err = "import sys; print('%s', file=sys.stderr)"
    large = ("import sys\nfor k in range(100):\n    print(f'err {k}', file=sys.stderr)\n"
             "    for i in range(1000):\n        print(f'{k * 1000 + i:06d} {\"x\" * 93}')")
    wait = "import sys\nprint('waiting'); print('waiting too', file=sys.stderr)\nprint(open('%s').read(), end='')"
    error = "print('before')\ndef f():\n    raise LookupError('boom')\nf()"
    error_message = "LookupError: boom"
    exits = ("print('before')\nimport sys\nsys.exit(3)", "print('before')\nraise SystemExit(3)",
             "print('before')\nimport os\nif os.fork() == 0: exit(4)\nos.wait()\nexit(3)")
    assign = "x = 42\nimport json"
    show = "def f(): return json.dumps(x)\nprint('kept', f())"
    environment = "import os\nprint('<' + os.environ.get('WARM_A', '') + '>')"
    directory = "import os; print(os.getcwd())"
    change_directory = "import os; os.chdir('/usr')"
    lines = 5000
    endless = "print('running')\nwhile True: pass"
    sleep = "print('running')\nimport time\ntime.sleep(1000)"
    randoms = ("import random; print(random.random())",)
    temporary = "import tempfile; print(tempfile.mktemp())"
    tmpdir = "import os; print(os.environ['TMPDIR'])"
    below_tmpdir = "/tmp"
    stream_breakers = (
        "import sys; sys.stdout.close(); sys.stderr.close()", "import os; os.close(1); os.close(2)",
        "import sys, io; sys.stdout = io.StringIO(); sys.stderr = None",
        "import sys, io; sys.stdout = io.TextIOWrapper(sys.stdout.buffer); print('x')",
        "import sys; del sys.stdout", "import os; os.dup2(os.open('/dev/null', os.O_WRONLY), 1); print('x')",
        "import sys; sys.stdout = sys.stdout.detach()")

    def quote(self, text):
        return f"print({text!r})"

    def test_traceback_is_that_of_the_code_alone(self):
        answer = self.run_code(self.error)
        self.assertEqual(answer.err.count("  File "), 2, answer.err)
        self.assertTrue(answer.err.startswith('Traceback (most recent call last):\n  File "<string>", line 4'))
        answer = self.run_code("x = 1\ny = (")
        self.assertEqual(answer.status, 1)
        self.assertIn("SyntaxError", answer.err)
        self.assertNotIn("Traceback", answer.err)

    def test_exit_statuses(self):
        for code, status, err in (("exit()", 0, ""), ("exit('why')", 1, "why\n"), ("exit(256 + 7)", 7, ""),
                                  ("exit(-1)", 255, ""), ("exit(True)", 1, "")):
            self.assertEqual(self.run_code(code), Answer(status, "", err), code)

    def test_interpreter_state_comes_back(self):
        self.run_code("import sys, os, signal\nsys.path.insert(0, '/x'); sys.argv.append('y'); os.environ['WARM_C'] = '1'\n"
                      "signal.signal(signal.SIGINT, signal.SIG_IGN)")
        answer = self.run_code("import sys, os, signal\nprint(sys.path[0] == '', sys.argv, 'WARM_C' in os.environ,\n"
                               "  signal.getsignal(signal.SIGINT) is signal.default_int_handler)")
        self.assertEqual(answer, Answer(0, "True ['-c'] False True\n", ""))

    def test_main_is_the_module_of_the_code(self):
        code = "import pickle, sys\ndef g(): pass\npickle.dumps(g)\nprint(__name__, 'KEPT' in globals(), sys.modules['__main__'].g is g)"
        self.assertEqual(self.run_code(code), Answer(0, "__main__ False True\n", ""))

    def test_output_of_c_libraries_belongs_to_its_request(self):
        code = "import ctypes; libc = ctypes.CDLL(None); libc.printf(b'from C\\n')"
        self.assertEqual(self.run_code(code), Answer(0, "from C\n", ""))

    def test_numpy_takes_the_seed(self):
        if self.run_code("import numpy").status:
            self.skipTest("no NumPy here")
        numbers = []
        for seed in 1, 2, 1:
            self.session.resume(seed)
            numbers.append(self.run_code("print(numpy.random.rand(3))").out)
        self.assertEqual(numbers[0], numbers[2])
        self.assertNotEqual(numbers[0], numbers[1])


class RTest(Loop):
    out = "cat('%s\\n')"
    err = "cat('%s\\n', file = stderr())"
    large = ("for (k in 0:99) {\n    cat('err ', k, '\\n', sep = '', file = stderr())\n"
             "    writeLines(sprintf('%06d %s', k * 1000L + 0:999, strrep('x', 93)))\n}")
    wait = "cat('waiting\\n'); message('waiting too')\nf <- file('%s', 'r', raw = TRUE)\nwriteLines(readLines(f, 1)); close(f)"
    error = "cat('before\\n')\nf <- function() stop('boom')\nf()\ncat('no\\n')"
    error_message = "Error in f() : boom\n"
    exits = ("cat('before\\n'); quit(status = 3); cat('no')", "cat('before\\n')\nq('no', 3, FALSE)",
             "cat('before\\n'); f <- function() tryCatch(base::quit(status = 256 + 3), error = print, finally = 1); f()",
             "cat('before\\n'); try(sapply(1, function(i) q(status = 3)), silent = TRUE); cat('no')",
             "cat('before\\n'); sink(tempfile()); sink(stdout(), type = 'message'); quit(status = 3)")
    assign = "x <- 42; library(tools)"
    show = "f <- function() c(x, if (!'package:tools' %in% search()) 'no')\ncat('kept', f()); cat('\\n')"
    environment = "cat('<', Sys.getenv('WARM_A'), '>\\n', sep = '')"
    directory = "cat(getwd(), '\\n', sep = '')"
    change_directory = "setwd('/usr')"
    lines = 5000
    endless = "cat('running\\n')\nrepeat {}"
    sleep = "cat('running\\n')\nSys.sleep(1000)\ncat('no\\n')"
    randoms = ("cat(runif(2), '\\n')", "cat(sample(1e6, 3), rnorm(1), '\\n')")
    temporary = "cat(tempfile(), '\\n', sep = '')"
    tmpdir = "cat(Sys.getenv('TMPDIR'), '\\n', sep = '')"
    below_tmpdir = "/Rtmp"
    stream_breakers = (
        "sink('/dev/null'); cat('x')", "sink('/dev/null'); sink('/dev/null'); cat('x')",
        "f <- file('/dev/null', 'w'); sink(f, type = 'message'); message('x')", "closeAllConnections()",
        "closeAllConnections(); kept <- lapply(1:3, function(i) file('/dev/null', 'r'))",
        "invisible(lapply(kept, close)); rm(kept)")

    def quote(self, text):
        escaped = text.replace("\\", "\\\\").replace("'", "\\'")
        return f"cat('{escaped}\\n')"

    def test_values_are_printed(self):
        code = "1 + 1\nx <- 2\ninvisible(3)\n'é'\nNULL\nsetClass('P', representation(a = 'numeric')); new('P', a = 1)"
        out = '[1] 2\n[1] "é"\nNULL\nAn object of class "P"\nSlot "a":\n[1] 1\n\n'
        self.assertEqual(self.run_code(code), Answer(0, out, ""))
        code = "print.mine <- function(x, ...) cat('mine\\n')\nstructure(1, class = 'mine')"
        self.assertEqual(self.run_code(code), Answer(0, "mine\n", ""))

    def test_errors_and_warnings_are_those_of_the_code_alone(self):
        self.assertEqual(self.run_code("stop('boom')"), Answer(1, "", "Error: boom\n"))
        self.assertEqual(self.run_code("warning('hm')"), Answer(0, "", "Warning message:\nhm\n"))
        answer = self.run_code("f <- function() { warning('hm'); stop('boom') }\nf()")
        self.assertEqual((answer.status, answer.out), (1, ""))
        self.assertIn("Error in f() : boom", answer.err)
        self.assertIn("In f() : hm", answer.err)
        answer = self.run_code("for (i in 1:20000) warning(i)")
        self.assertEqual(answer.status, 0)
        self.assertLess(answer.err.count("\n"), 120)
        answer = self.run_code("options(warn = 2); f()")
        self.run_code("options(warn = 0)")
        self.assertEqual(answer.status, 1)
        self.assertIn("(converted from warning) hm", answer.err)

    def test_syntax_error_is_found_first(self):
        answer = self.run_code("cat('no')\nx <- (1 +")
        self.assertEqual((answer.status, answer.out), (1, ""))
        self.assertIn("unexpected end of input", answer.err)
        self.assertNotIn("parse(", answer.err)

    def test_code_cannot_leave_the_loop(self):
        for code in ("break", "next", "invokeRestart('abort')", "f <- function(n) f(n + 1); f(1)"):
            self.assertEqual(self.run_code(code).status, 1, code)
        for code, status in (("quit()", 0), ("quit(status = -1)", 255), ("return(1)", 0)):
            self.assertEqual(self.run_code(code), Answer(status, "[1] 1\n" if "return" in code else "", ""), code)

    def test_interpreter_state_comes_back(self):
        here = self.run_code("cat(.libPaths())").out
        self.run_code(".libPaths('/tmp'); Sys.setenv(WARM_C = 1); Sys.unsetenv('HOME'); rm(list = ls(all.names = TRUE))")
        answer = self.run_code("cat(.libPaths()); cat(Sys.getenv(c('WARM_C', 'HOME')))")
        self.assertEqual(answer, Answer(0, here + " /", ""))

    def test_plots_are_complete_after_their_request(self):
        answer = self.run_code("pdf('plot.pdf'); plot(1:10)")
        self.assertEqual(answer, Answer(0, "", ""))
        self.assertIn(b"%%EOF", (self.session.folder / "plot.pdf").read_bytes()[-10:])

    def test_forked_children_do_not_answer(self):
        code = "r <- parallel::mclapply(1:2, function(i) if (i == 1) quit(status = 9) else i, mc.cores = 2); r[[2]]"
        answer = self.run_code(code)
        self.assertEqual((answer.status, answer.out), (0, "[1] 2\n"), answer.err)


class JavaTest(Loop):
    has_directory = False
    out = "System.out.println(\"%s\");"
    err = "System.err.println(\"%s\");"
    large = ("for (int k = 0; k < 100; k++) {\n    System.err.println(\"err \" + k);\n    for (int i = 0; i < 1000; i++)\n"
             "        System.out.printf(\"%06d %s%n\", k * 1000 + i, \"x\".repeat(93));\n}")
    wait = ("System.out.println(\"waiting\"); System.err.println(\"waiting too\");\n"
            "System.out.print(Files.readString(Path.of(\"%s\")));")
    error = ("System.out.println(\"before\");\nvoid f() {\n    throw new IllegalStateException(\"boom\");\n}\nf();\n"
             "System.out.println(\"no\");")
    error_message = "java.lang.IllegalStateException: boom\n\tat f(line 3)\n\tat (line 5)\n"
    exits = ("System.out.println(\"before\"); exit(3); System.out.println(\"no\");",
             "System.out.println(\"before\");\nint g() { exit(256 + 3); return 1; }\nint h = g();\nSystem.out.println(\"no\");",
             "try { System.out.println(\"before\"); exit(3); } catch (Throwable e) { exit(1); }",
             "System.out.println(\"before\");\nList.of(1).forEach(i -> exit(3));\nSystem.out.println(\"no\")")
    assign = "int x = 42;\nimport java.time.Duration;\nrecord R(int a) { }"
    show = "R f() { return new R((int) Duration.ofSeconds(x).toSeconds()); }\nSystem.out.println(\"kept \" + f().a())"
    environment = "System.out.println(\"<\" + env.getOrDefault(\"WARM_A\", \"\") + \">\")"
    directory = "System.out.println(System.getProperty(\"user.dir\"))"
    lines = 100  # the compiler runs for each
    endless = "System.out.println(\"running\");\nwhile (true) { }\nSystem.out.println(\"no\");"
    sleep = "System.out.println(\"running\");\nThread.sleep(1000000);\nSystem.out.println(\"no\");"
    randoms = ("System.out.println(Math.random())", "var l = new ArrayList<Integer>();\n"
               "for (int i = 0; i < 99; i++) l.add(i);\nCollections.shuffle(l);\nSystem.out.println(l)",
               "System.out.println(new SplittableRandom().nextLong())")
    temporary = "System.out.println(Path.of(System.getProperty(\"java.io.tmpdir\"), \"x\" + System.nanoTime()))"
    tmpdir = "System.out.println(env.get(\"TMPDIR\"))"
    below_tmpdir = "/x"
    stream_breakers = (
        "System.out.close(); System.err.close();", "System.setOut(new PrintStream(new ByteArrayOutputStream()));",
        "System.setOut(null);")

    def quote(self, text):
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'System.out.println("{escaped}")'

    def test_compiler_messages_name_the_line(self):
        answer = self.run_code("System.out.println(1);\n\nint y =\n    nothing;\nSystem.out.println(2);")
        self.assertEqual((answer.status, answer.out), (1, "1\n"))
        self.assertTrue(answer.err.startswith("line 4: error: cannot find symbol\n"), answer.err)
        self.assertIn("\n    nothing;\n    ^\n", answer.err)
        for code in "int z = (", "void q() {", "foo bar baz;", "int n = \"s\";", "}", "class K { int m() { } }":
            answer = self.run_code("System.out.println(1);\n" + code)
            self.assertEqual((answer.status, answer.out), (1, "1\n"), code)
            self.assertIn("line 2: error: ", answer.err)

    def test_causes_are_reported(self):
        code = "void c() { try { Integer.parseInt(\"x\"); } catch (Exception e) { throw new RuntimeException(\"outer\", e); } }\nc();"
        answer = self.run_code(code)
        self.assertEqual((answer.status, answer.out), (1, ""))
        self.assertIn("java.lang.RuntimeException: outer\n", answer.err)
        self.assertIn("Caused by: java.lang.NumberFormatException: For input string: \"x\"\n", answer.err)

    def test_declarations_may_come_later(self):
        code = "int a1() { return b1(); }\nint b1() { return 7; }\nSystem.out.println(a1());"
        self.assertEqual(self.run_code(code), Answer(0, "7\n", ""))
        answer = self.run_code("int a2() { return b2(); }\na2();")
        self.assertEqual((answer.status, answer.out), (1, ""))
        self.assertIn("b2", answer.err)

    def test_programs_and_getenv_see_the_environment(self):
        code = ("System.out.println(System.getenv(\"WARM_D\"));\n"
                "var b = new ProcessBuilder(\"sh\", \"-c\", \"echo $WARM_D\").inheritIO();\n"
                "b.environment(); b.start().waitFor();")
        self.assertEqual(self.run_code(code, "WARM_D=a b"), Answer(0, "a b\na b\n", ""))
        self.assertEqual(self.run_code(code), Answer(0, "null\n\n", ""))

    def test_last_expressions_need_no_semicolon(self):
        self.assertEqual(self.run_code("1 + 1"), Answer(0, "", ""))
        self.assertEqual(self.run_code("// nothing\n/* at all */"), Answer(0, "", ""))

    def test_interrupt_ends_a_loop_that_catches_everything(self):
        nonce = self.session.send_code(
            "System.out.println(\"running\");\nwhile (true) { try { Thread.sleep(1); } catch (Exception e) { } }")
        self.session.wait_for(0, b"running\n")
        self.session.interrupt()
        answer = self.session.answer(nonce)
        self.assertEqual((answer.status, answer.out), (130, "running\n"), answer.err)


class BashTest(Loop):
    out = "echo '%s'"
    err = "echo '%s' >&2"
    large = ("x=$(printf 'x%%.0s' {1..93})\nfor ((k = 0; k < 100; k++)); do echo err $k >&2\n"
             "  for ((i = 0; i < 1000; i++)); do printf '%06d %s\\n' $((k * 1000 + i)) $x; done; done").replace("%%", "%")
    wait = "echo waiting; echo waiting too >&2; cat %s"
    error = "echo before; set -u; f() { echo $boom; }; f"
    error_status = 127  # as bash -c has it
    error_message = "boom: unbound variable"
    exits = ("echo before; exit 3", "echo before; f() { while :; do exit 3; done; }; f || echo no", "echo before; (exit 3)",
             "echo before; builtin exit 3; echo no", "echo before; set -e; if false; then :; fi; (exit 3); echo no",
             "trap 'echo before' EXIT; exit 3", "trap 'echo before; exit 3' EXIT INT; exit 1",
             "trap 'echo before; exit 3' EXIT", "set -eu; trap 'echo before; exit 3' EXIT; false; echo no",
             "echo before; eval 'exit 3'; echo no", "echo before; exec 1>&- 2>&-; exit 3",
             "echo before; x=$(exit 3)", "echo before; kill -USR2 $BASHPID & wait $!; exit 3")
    assign = "x=42; set +eu"
    show = "echo kept $x"
    environment = "echo \"<${WARM_A-}>\""
    directory = "pwd -P"
    change_directory = "cd /usr"
    lines = 2000
    endless = "echo running; while :; do :; done"
    # The child says it: while bash forks, the signal may be lost on it.
    sleep = "sh -c 'echo running; exec sleep 1000'; echo no"
    randoms = ("echo $RANDOM $RANDOM",)
    temporary = "mktemp -u"
    tmpdir = "echo $TMPDIR"
    below_tmpdir = "/tmp."
    stream_breakers = ("exec 1>&- 2>&-", "exec > /dev/null 2>&1", "exec 2>&1")

    def quote(self, text):
        return "echo '" + text.replace("'", "'\\''") + "'"

    def test_answers_are_those_of_bash_c(self):
        for code in (
                "nosuch", "false", "true | (exit 5)", "echo a; echo (", "for", "echo a\nf() {\n nosuch\n}\nf",
                "set -e; echo a; f() { false; }; f; echo b", "set -e; f() { false; echo in; }; f || echo b; (exit 4); echo no",
                "set -u; echo a; echo $unset_1; echo b", "echo ${unset_1:?why}; echo b", "cd /nonexistent; echo $?",
                "exit", "false; exit", "exit 258", "exit x", "(exit 7)", "return 3; echo $?", "echo $0 $# \"$*\"",
                "trap 'echo bye $?' EXIT; false", "trap 'echo bye $?' EXIT; set -e; (exit 9); echo no",
                "trap 'echo bye' EXIT; trap - EXIT", "trap 'echo got; exit 6' USR1; kill -USR1 $$; echo no",
                "set -o pipefail; false | true", "exec nosuch", "readonly r_1=1; r_1=2; echo $?", "cat; read x; echo $?",
                "IFS=:; set -f; shopt -s nullglob extglob; echo /[x]*", "kill -0 $$ && echo $BASH_SUBSHELL"):
            with self.subTest(code):
                session = Session()
                self.addCleanup(session.close)
                prefix = command[:2] if command[0] == "chroot" else []
                expected = subprocess.run(
                    [*prefix, "bash", "-c", code], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                    env={"PATH": os.environ["PATH"], "HOME": "/", "LANG": "C.UTF-8"})
                answer = session.run(code)
                self.assertEqual((answer.status, answer.out), (expected.returncode, expected.stdout))
                # Where bash -c says "bash: -c: line 1: " in front of a syntax error, eval does not.
                drop = re.compile(r"-c: line \d+: |eval: line \d+: |line \d+: ")
                self.assertEqual(drop.sub("", answer.err), drop.sub("", expected.stderr))
                self.assertEqual(session.run("echo here"), Answer(0, "here\n", ""))

    def test_break_and_continue_do_not_leave_the_loop(self):
        for code in ("break", "continue", "while :; do break 9; done", "for i in 1 2; do continue 9; done"):
            self.assertEqual(self.run_code(f"echo a; {code}"), Answer(0, "a\n", ""), code)

    def test_state_survives_exit(self):
        self.run_code("a=(1 'x y' $'z\\n'); declare -A m=([k]='v\"'); f() { echo \"f $1\"; }; alias g='echo g'; export e_1=é\n"
                      "shopt -s expand_aliases extglob; readonly c_1=c; declare -i n=7; declare -n r=n; unset PWD_1; exit 5")
        code = "declare -p a m n r c_1; f 1; g; sh -c 'echo $e_1'; shopt -q extglob; echo $?; echo $$ $BASHPID"
        answer = self.run_code(code)
        self.assertEqual((answer.status, answer.err), (0, ""))
        self.assertEqual(answer.out.splitlines(), [
            """declare -a a=([0]="1" [1]="x y" [2]=$'z\\n')""", r"""declare -A m=([k]="v\"" )""", 'declare -i n="7"',
            'declare -n r="n"', 'declare -r c_1="c"', "f 1", "g", "é", "0", f"{self.session.process.pid} {self.session.process.pid}"])

    def test_options_persist_and_do_not_show_the_loop(self):
        session = Session()
        self.addCleanup(session.close)
        session.run("set -eux; echo on", "WARM_A=1")
        answer = session.run("echo ${-//[^eux]/}")
        self.assertEqual(answer.out, "eux\n")
        answer = session.run("echo a; exit 3")
        self.assertEqual((answer.status, answer.out), (3, "a\n"))
        self.assertEqual(answer.err, "+ eval 'echo a; exit 3'\n++ echo a\n++ exit 3\n")
        self.assertEqual(session.run("false").status, 1)
        session.run("set +eux")
        self.assertEqual(session.run("echo a; false; echo $unset_1"), Answer(0, "a\n\n", ""))

    def test_traps_are_of_one_request(self):
        self.run_code("trap 'echo no' EXIT INT ERR DEBUG; false")
        self.assertEqual(self.run_code("set +e; false; trap -p ERR DEBUG; true"), Answer(0, "", ""))

    def test_variables_of_the_request_become_what_they_were(self):
        self.run_code("WARM_D='not exported'; export WARM_E=old")
        answer = self.run_code("sh -c 'echo $WARM_D $WARM_E'; WARM_D=changed; unset WARM_E", "WARM_D=d", "WARM_E=e")
        self.assertEqual(answer, Answer(0, "d e\n", ""))
        answer = self.run_code("declare -p WARM_D WARM_E")
        self.assertEqual(answer, Answer(0, 'declare -- WARM_D="not exported"\ndeclare -x WARM_E="old"\n', ""))


def main():
    global command
    language, *rest = sys.argv[1:] or ["--help"]
    parts = [[]]
    for word in rest:
        if word == "--":
            parts.append([])
        else:
            parts[-1].append(word)
    tests = {"python": PythonTest, "bash": BashTest, "r": RTest, "java": JavaTest}
    if language not in tests or parts[0] or len(parts) > 3:
        sys.exit(__doc__)
    command = parts[1] if len(parts) > 1 and parts[1] else COMMANDS[language]
    if not shutil.which(command[0]):
        print(f"session_loop_test: skipped: {command[0]} is not installed")
        sys.exit(77)
    if command[0] == "java" and "jdk.jshell@" not in subprocess.run(
            ["java", "--list-modules"], capture_output=True, text=True, check=False).stdout:
        print("session_loop_test: skipped: this java has no module jdk.jshell: a JDK has it")
        sys.exit(77)
    case = type(tests[language].__name__, (tests[language], unittest.TestCase), {})
    globals()["Case"] = case
    unittest.main(argv=[sys.argv[0]] + [f"Case.{t}" if t.startswith("test") else t for t in (parts[2] if len(parts) > 2 else [])], verbosity=2, module=sys.modules[__name__])


main()
