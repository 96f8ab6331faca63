#!/usr/bin/env python3
"""Keep-alive clients that poll the status, clients that follow the events, and clients that send a byte a second, all at
once. Fails when an answer is wrong, is late, or the daemon grows.

    load_test.py FAKE_WARMD [--seconds 60]      against a daemon of its own, on an engine without containers
    load_test.py --socket PATH --pid PID        against one that runs
"""

import argparse
import asyncio
import json
import math
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

TEMPLATE = """
image = "localhost/load:1"
command = ["sh", "-c", "while :; do sleep 1; done"]
[warm]
quiet_for = "0s"
"""
MOST_MEMORY = 64  # MiB


class Figures:
    def __init__(self):
        self.times = []
        self.errors = []
        self.events = 0
        self.refused_slow = 0


async def read_answer(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    size = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            size = int(line.split(b":")[1])
    return status, await reader.readexactly(size)


async def poll(path, number, count, end, figures):
    """One client, once a second, on one connection."""
    await asyncio.sleep(number / count)
    try:
        reader, writer = await asyncio.open_unix_connection(path)
        while (began := time.monotonic()) < end:
            writer.write(b"GET /v1/status HTTP/1.1\r\nHost: load\r\n\r\n")
            status, body = await read_answer(reader)
            figures.times.append(time.monotonic() - began)
            if status != 200 or "version" not in json.loads(body):
                figures.errors.append(f"status {status}: {body[:100]!r}")
            await asyncio.sleep(max(0, began + 1 - time.monotonic()))
        writer.close()
    except (OSError, asyncio.IncompleteReadError, ValueError) as error:
        figures.errors.append(f"poller: {error!r}")


async def follow(path, end, figures):
    """One client of the event stream, which must last to the end."""
    try:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"GET /v1/events HTTP/1.1\r\nHost: load\r\nAccept: text/event-stream\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n")[0]:
            figures.errors.append(f"events: {head[:100]!r}")
            return
        while (left := end - time.monotonic()) > 0:
            try:
                piece = await asyncio.wait_for(reader.read(65536), left)
            except asyncio.TimeoutError:
                break
            if not piece:
                figures.errors.append("an event stream ended early")
                return
            figures.events += piece.count(b"\nevent:") + piece.count(b"\r\nevent:")
        writer.close()
    except OSError as error:
        figures.errors.append(f"events: {error!r}")


async def dawdle(path, end, figures):
    """One client that sends a byte a second, again and again."""
    request = b"GET /v1/status HTTP/1.1\r\nHost: slow\r\n" + b"X-Filler: " + b"x" * 4096
    while time.monotonic() < end:
        try:
            reader, writer = await asyncio.open_unix_connection(path)
            for byte in request:
                writer.write(bytes([byte]))
                try:
                    piece = await asyncio.wait_for(reader.read(4096), 1)
                except asyncio.TimeoutError:
                    if time.monotonic() >= end:
                        break
                    continue
                figures.refused_slow += b" 408 " in piece
                break
            writer.close()
        except OSError:
            await asyncio.sleep(0.1)


def call(path, method, target):
    import http.client
    import socket

    connection = http.client.HTTPConnection("load", timeout=60)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(path)
    connection.request(method, target)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text)


async def make_changes(path, template, end):
    """So that there is something to tell: an instance is made and ended, over and over."""
    while template and time.monotonic() < end:
        status, operation = await asyncio.to_thread(call, path, "POST", f"/v1/templates/{template}/warm?wait=30s")
        if status == 200:
            await asyncio.to_thread(call, path, "DELETE", f"/v1/instances/{operation['instance']}?wait=30s")
        await asyncio.sleep(0.5)


async def load(path, template, options):
    figures = Figures()
    end = time.monotonic() + options.seconds
    await asyncio.gather(
        *(poll(path, i, options.pollers, end, figures) for i in range(options.pollers)),
        *(follow(path, end, figures) for _ in range(options.events)),
        *(dawdle(path, end, figures) for _ in range(options.slow)),
        make_changes(path, template, end),
    )
    return figures


def peak_memory(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmHWM in /proc")


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, math.ceil(share * len(values)) - 1)]


def judge(figures, memory, options):
    expected = options.pollers * options.seconds
    p50, p99 = percentile(figures.times, 0.5), percentile(figures.times, 0.99)
    print(
        f"{options.pollers} pollers, {options.events} event streams, {options.slow} slow clients, {options.seconds} s: "
        f"{len(figures.times)} answers, {len(figures.errors)} errors, p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms, "
        f"{figures.events} events, {figures.refused_slow} slow requests refused, peak memory {memory:.0f} MiB"
    )
    wrong = [f"error: {error}" for error in figures.errors[:5]]
    if len(figures.times) < 0.9 * expected:
        wrong.append(f"only {len(figures.times)} of about {expected} answers")
    if p99 * 1000 > options.p99:
        wrong.append(f"p99 is above {options.p99} ms")
    if memory > MOST_MEMORY:
        wrong.append(f"peak memory is above {MOST_MEMORY} MiB")
    if options.events and not figures.events:
        wrong.append("no event arrived")
    if options.slow and options.seconds > 6 and not figures.refused_slow:
        wrong.append("no slow request was refused")
    for line in wrong:
        print(line)
    return bool(wrong)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", nargs="?", help="fake-warmd")
    parser.add_argument("--socket")
    parser.add_argument("--pid", type=int)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--pollers", type=int, default=1000)
    parser.add_argument("--events", type=int, default=100)
    parser.add_argument("--slow", type=int, default=200)
    parser.add_argument("--p99", type=int, default=50, metavar="MS", help="the longest that is good")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if not options.program:
        figures = asyncio.run(load(options.socket, None, options))
        return judge(figures, peak_memory(options.pid), options)
    with tempfile.TemporaryDirectory() as folder:
        directory = pathlib.Path(folder)
        (directory / "templates.d").mkdir()
        (directory / "templates.d/load.toml").write_text(TEMPLATE, encoding="utf-8")
        path = str(directory / "api.sock")
        (directory / "warmd.toml").write_text(
            f'[log]\nlevel = "error"\n[api]\nsocket = "{path}"\n[store]\ndirectory = "{directory}/state"\n', encoding="utf-8"
        )
        with subprocess.Popen([options.program, "--config", folder], stdout=subprocess.PIPE, text=True) as daemon:
            try:
                if daemon.stdout.readline().strip() != "ready":
                    raise RuntimeError("the daemon did not start")
                figures = asyncio.run(load(path, "load", options))
                failed = judge(figures, peak_memory(daemon.pid), options)
            finally:
                daemon.terminate()
            if daemon.wait(60) != 0:
                print(f"the daemon ended with status {daemon.returncode}")
                failed = True
        return failed


if __name__ == "__main__":
    sys.exit(main())
