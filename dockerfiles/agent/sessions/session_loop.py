#!/usr/bin/env python3
"""Evaluates the requests of warm-agent in one long-lived Python (docs/agent-protocol.md, "A session").

Code runs as with `python3 -c CODE`, but the globals of __main__ and imported modules persist; not sys.path, sys.argv,
replaced standard streams, handlers of SIGINT, the environment and the working directory. WARM_PRELOAD names modules to
import before the first request, separated by spaces.

A resume reseeds `random` and NumPy's global generator. Generators that code has made itself, such as those of
numpy.random.default_rng(), it must seed itself. atexit handlers run when the session ends. os._exit() ends it.
"""

import builtins
import ctypes
import importlib
import linecache
import os
import random
import signal
import sys
import tempfile
import types
from urllib.parse import unquote_to_bytes

PID = os.getpid()
START = os.getcwd()
LIBC = ctypes.CDLL(None)
# The agent's streams, out of reach of code that closes or redirects them.
KEPT = {1: os.dup(1), 2: os.dup(2)}
ERRORS = {1: sys.stdout.errors, 2: sys.stderr.errors}
ENCODING = sys.stdout.encoding
STREAMS = {}
# What code sees as __main__: a module without our names.
MAIN = types.ModuleType("__main__")
MAIN.__builtins__ = builtins


def evaluate(code):
    # Python 3.13 shows the lines of such code in tracebacks; before, this does.
    lines = code.decode(errors="replace").splitlines(keepends=True)
    linecache.cache["<string>"] = (len(code), None, lines, "<string>")
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        exec(compile(code, "<string>", "exec", dont_inherit=True), MAIN.__dict__)
        return 0
    except SystemExit as leaving:
        if leaving.code is None or isinstance(leaving.code, int):
            return (leaving.code or 0) & 0xFF
        print(leaving.code, file=sys.stderr)
        return 1
    except BaseException as error:
        # The first frame is ours.
        error = error.with_traceback(error.__traceback__.tb_next)
        sys.excepthook(type(error), error, error.__traceback__)
        return 130 if isinstance(error, KeyboardInterrupt) else 1


def execute(workdir, code, *variables):
    environment, path = dict(os.environb), sys.path
    entries = list(path)
    try:
        os.chdir(workdir)
        os.environb.update(pair.split(b"=", 1) for pair in variables)
        sys.argv = ["-c"]
        return evaluate(code)
    finally:
        sys.path = path
        path[:] = entries
        for name in os.environb.keys() - environment.keys():
            del os.environb[name]
        os.environb.update(environment)
        os.chdir(START)


def resume(seed, tmpdir, *variables):
    os.environb.update(pair.split(b"=", 1) for pair in variables)
    os.environb[b"TMPDIR"] = tmpdir
    random.seed(int(seed))
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(int(seed))
    for cached in "tempdir", "_name_sequence":
        if hasattr(tempfile, cached):
            setattr(tempfile, cached, None)
    return 0


def open_stream(fd, name):
    # With line buffering output appears while the code runs.
    new = open(fd, "w", buffering=1, encoding=ENCODING, errors=ERRORS[fd], closefd=False)
    setattr(sys, f"__{name}__", new)
    setattr(sys, name, new)
    return new


def restore_stream(fd, name):
    """Flushes, and undoes what code has done to sys.stdout or sys.stderr and to the descriptor."""
    for stream in getattr(sys, name, None), STREAMS[fd]:
        try:
            stream.flush()
        except Exception:  # anything may stand there
            pass
    stream = None
    os.dup2(KEPT[fd], fd)
    setattr(sys, name, STREAMS[fd])  # may destroy a wrapper, and with it the buffer that both share
    try:
        STREAMS[fd].flush()
    except ValueError:  # closed or detached
        STREAMS[fd] = open_stream(fd, name)


def serve(nonce, kind, *fields):
    try:
        if kind not in KINDS:
            raise ValueError(f"unknown request: {kind}")
        status = KINDS[kind](*map(unquote_to_bytes, fields))
    except KeyboardInterrupt:  # after the code had ended
        status = 130
    except Exception as error:
        print(f"session: {error}", file=sys.stderr)
        status = 1
    signal.signal(signal.SIGINT, lambda *_: None)
    LIBC.fflush(None)
    restore_stream(1, "stdout")
    restore_stream(2, "stderr")
    if os.getpid() != PID:  # a child that code has forked and that came back from it
        os._exit(status)
    for fd in KEPT.values():
        os.write(fd, b"\x1ewarm %s %d\n" % (nonce.encode(), status))


KINDS = {"exec": execute, "resume": resume}


def main():
    signal.signal(signal.SIGINT, lambda *_: None)
    sys.modules["__main__"] = MAIN
    sys.path[0] = ""
    STREAMS.update({1: open_stream(1, "stdout"), 2: open_stream(2, "stderr")})
    for name in os.environ.get("WARM_PRELOAD", "").split():
        importlib.import_module(name)
    with open(os.environ["WARM_SESSION"], "rb") as requests:
        for line in requests:
            if line != b"\n":
                serve(*line.decode().split())


main()
