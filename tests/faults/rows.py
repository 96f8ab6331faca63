"""The rows of the table of faults. Each is planned as jobs, which run in processes of their own, with a World each."""

import errno
import os
import random
import re
import resource
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import harness
from harness import CHANGES, FILES, Broken, Failpoints, Failure, History, check, settle, wait_for
from operations import STEPS, CheckpointTemplate, Outcome, Warm, operation

FOREVER = 2**32 - 1
REAL = ("kill", "start", "random", "service", "container")  # those for which the real Podman need not be told to fail
ROWS = {}  # name of the row's family -> (plan, perform)


def replay(job, number):
    words = [os.path.join(os.path.dirname(os.path.abspath(__file__)), "run"), "--warmd", job["warmd"], "--library", job["library"],
             *(["--podman", job["podman"]] if job["podman"] else []), "--only", job["row"], "--at", str(number), "--seed", str(job["seed"])]
    return shlex.join(words)


def plan(options):
    common = {"warmd": os.path.abspath(options.warmd), "library": os.path.abspath(options.library), "seed": options.seed,
              "podman": options.podman, "all": options.all, "keep": options.keep, "shares": 1 if options.podman else 4 * max(1, options.jobs), "every": options.every}
    jobs = []
    for family, (make, _) in ROWS.items():
        if options.podman and family not in REAL or not options.podman and family == "service":
            continue
        for job in make(common):
            name = job["row"]
            if not name.startswith(options.only):
                continue
            if options.at is not None:
                if name != options.only or job.get("share", 0):
                    continue
                job["numbers"] = [options.at]
            jobs.append({**common, "family": family, **job})
    return jobs


def perform(job):
    harness.patience = 5 if job["podman"] else 2
    result = {"cases": 0, "counts": {}, "failures": []}
    try:
        ROWS[job["family"]][1](job, result)
    finally:
        # A daemon that outlives its row takes the next one's containers for nobody's.
        for bench in Bench.open:
            bench.close()
        Bench.open.clear()
    return result


def count(result, key, by=1):
    result["counts"][key] = result["counts"].get(key, 0) + by


class Bench:
    """A world for many cases, one after the other: it is tidied in between, and made anew after a failure."""

    open = []

    def __init__(self, job, podman_timeout="5s", environment=None, start=True):
        Bench.open.append(self)
        self.job = job
        self.podman_timeout = "60s" if job["podman"] else podman_timeout
        self.environment = environment
        self.world = None
        self.base = None
        self.traces = {}
        if start:
            self.renew()

    def renew(self, keep=False):
        if self.world is not None:
            self.world.close(keep)
        self.world = harness.World(self.job["warmd"], self.job["library"], podman_timeout=self.podman_timeout, environment=self.environment,
                                   podman=self.job["podman"])
        self.world.start()
        self.base = History()
        for template in ("pooled", "plain"):
            made = CheckpointTemplate()
            made.template = template
            outcome = made.act(self.world, self.base, None)
            if outcome.code:
                raise Failure(f"the first checkpoint cannot be made: {outcome.code} {outcome.text}")
        self.world.keeper = made.made
        if not self.world.engine.remembers:
            restore_some(self.world, self.base)
        self.clear()
        self.traces = self.world.engine.still_traces()

    def history(self):
        """What binds the daemon at the beginning of a case."""
        history = History()
        history.checkpoints.update(self.base.checkpoints)
        return history

    def tidy(self):
        """As at the beginning, but for rows of what was."""
        self.clear()
        seen = []

        def no_more():
            seen.append(self.world.engine.traces())
            return all(seen[-1][what] <= most for what, most in self.traces.items())

        try:
            wait_for(no_more, 20, "what containers leave is gone")
        except Failure as failure:
            raise Failure(f"I2: there are {seen[-1]}, and were {self.traces}") from failure

    def clear(self):
        world = self.world
        world.engine.faults()
        for lease in world.items("leases", everything=False):
            world.call("DELETE", f"/v1/leases/{lease['id']}")
        for checkpoint in world.items("checkpoints"):
            if checkpoint["id"] not in self.base.checkpoints:
                operation(world, History(), "DELETE", f"/v1/checkpoints/{checkpoint['id']}", None)
        settle(world)
        for instance in world.items("instances", everything=False):
            operation(world, History(), "DELETE", f"/v1/instances/{instance['id']}", None)
        settle(world)

    def case(self, result, number, fn):
        """Runs one case; a failure is told with its replay, and the next case begins in a world of its own."""
        try:
            struck = fn()
            if struck:
                result["cases"] += 1
                if isinstance(struck, str):
                    count(result, struck)
            self.tidy()
        except (Failure, Broken, KeyError, TypeError) as failure:
            where = self.world.failpoints.describe() if self.world else ""
            words = self.world.last_words(6) if self.world else ""
            kept = f" (left in {self.world.directory})" if self.job["keep"] else ""
            result["cases"] += 1
            result["failures"].append({"replay": replay(self.job, number),
                                       "what": f"at {number} ({where}): {type(failure).__name__} {failure}{kept}\n    " + words.replace("\n", "\n    ")})
            if len(result["failures"]) >= 5:
                raise Enough from failure
            self.renew(keep=self.job["keep"])

    def close(self):
        world, self.world = self.world, None
        if world is not None:
            world.close()


class Enough(Exception):
    """So many failures of one job that more would tell nothing."""


def each(job, result, bench, numbers, fn):
    try:
        for number in numbers:
            bench.case(result, number, lambda number=number: fn(number))
    except Enough:
        count(result, "given up")
    finally:
        bench.close()


def quiet(world, seconds=0.06):
    """Until no counted call was made for a while: what an operation leaves to be done is done. True when one was struck."""
    failpoints = world.failpoints
    end = time.monotonic() + 20
    last, since = -1, time.monotonic()
    while time.monotonic() < end:
        if failpoints.struck:
            return True
        if failpoints.count != last:
            last, since = failpoints.count, time.monotonic()
        elif time.monotonic() - since > seconds:
            return False
        time.sleep(0.004)
    return False


def measure(world, step, history, kinds=CHANGES, prefix=""):
    """The calls of one undisturbed run."""
    step.prepare(world, history)
    quiet(world)
    world.failpoints.arm(Failpoints.COUNT, kinds=kinds, prefix=prefix)
    step.act(world, history, secrets.token_hex(8) if step.keyed else None)
    quiet(world, 0.15)
    kinds_seen = world.failpoints.kinds()
    world.failpoints.disarm()
    return kinds_seen


def shares(job, every=1):
    """Which of the numbers from 1 on are this job's: `every` n-th, dealt out among the shares."""
    offset = random.Random(f"{job['row']} {job['seed']}").randrange(every)
    return lambda top: [n for n in range(1 + offset, top + 1, every)][job["share"]::job["shares"]]


# Rows 1 and 2: kill -9 before each call of each operation, and of the start after it.

def plan_kills(common):
    for name in STEPS:
        for share in range(common["shares"] if common["all"] else 1):
            yield {"row": f"kill/{name}", "step": name, "share": share, "shares": common["shares"] if common["all"] else 1}


def kill_once(world, step, history, number):
    """Runs the step and kills the daemon before its call `number`. False when it has fewer."""
    key = secrets.token_hex(8) if step.keyed else None
    step.prepare(world, history)
    quiet(world)
    world.failpoints.arm(Failpoints.KILL, number)
    try:
        step.act(world, history, key)
    except Broken:
        pass
    struck = quiet(world, 0.1)
    world.failpoints.disarm()
    if not struck:
        return None, None
    world.reap()
    return world.failpoints.describe().split(" ")[0], key


def recheck(bench, step, history, key):
    """After a restart: the invariants, the client's second attempt, and what was acknowledged restored."""
    world = bench.world
    settle(world)
    check(world, history)
    step.retry(world, history, key)
    settle(world)
    check(world, history)


def restore_some(world, history):
    """The newest acknowledged checkpoints come back as what was dumped."""
    for identity in sorted(history.checkpoints)[-2:]:
        if identity in history.doomed:
            continue
        row, outcome = operation(world, history, "POST", f"/v1/checkpoints/{identity}/restore", None)
        if outcome.code:
            raise Failure(f"I1: checkpoint {identity} cannot be restored: {outcome.code} {outcome.text}")
        memory = world.memory_of(row["instance"])
        if history.checkpoints[identity] is None:
            history.checkpoints[identity] = memory
        if memory != history.checkpoints[identity]:
            raise Failure(f"I1: checkpoint {identity} was restored as something else")


def perform_kills(job, result):
    bench = Bench(job)
    step_of = STEPS[job["step"]]
    numbers = job.get("numbers")
    if numbers is None:
        seen = measure(bench.world, step_of(), bench.history())
        bench.tidy()
        numbers = shares(job, job["every"] if job["all"] else 11)(len(seen) + 1)
        if job["podman"]:  # seconds each: a sample
            numbers = sorted(random.Random(f"{job['row']} {job['seed']}").sample(range(1, len(seen) + 1), min(len(seen), 8 if job["all"] else 1)))
        if job["share"] == 0:
            count(result, "calls of it", len(seen))

    def once(number):
        world, history, step = bench.world, bench.history(), step_of()
        kind, key = kill_once(world, step, history, number)
        if kind is None:
            return False
        world.start()
        recheck(bench, step, history, key)
        restore_some(world, history)
        return kind

    each(job, result, bench, numbers, once)


ROWS["kill"] = (plan_kills, perform_kills)

# What a start finds: an operation broken off at its middle. And the start is broken off, too, at each of its calls.

MESSES = ("CheckpointTemplate", "Delete", "LeaseIdle", "RestoreLinked")


def plan_starts(common):
    for name in MESSES:
        for share in range(common["shares"] if common["all"] else 1):
            yield {"row": f"start/{name}", "step": name, "share": share, "shares": common["shares"] if common["all"] else 1}


def perform_starts(job, result):
    bench = Bench(job)
    step_of = STEPS[job["step"]]
    middle = len(measure(bench.world, step_of(), bench.history())) // 2
    bench.tidy()
    # The calls of a start that has something to do.
    history = bench.history()
    kill_once(bench.world, step_of(), history, middle)
    bench.world.failpoints.arm(Failpoints.COUNT)
    bench.world.start()
    quiet(bench.world, 0.2)
    calls = bench.world.failpoints.count
    bench.world.failpoints.disarm()
    bench.tidy()
    numbers = job.get("numbers") or shares(job, job["every"] if job["all"] else 13)(calls + 1)
    if job["podman"] and not job.get("numbers"):
        numbers = sorted(random.Random(f"{job['row']} {job['seed']}").sample(range(1, calls + 1), 3 if job["all"] else 1))
    if job["share"] == 0:
        count(result, "calls of it", calls)

    def once(number):
        world, history, step = bench.world, bench.history(), step_of()
        kind, key = kill_once(world, step, history, random.Random(number).randrange(1, 2 * middle) if job["all"] else middle)
        if kind is None:
            return False
        killed = 0
        # Again and again, later each time: what one start has mended the next need not.
        for at in (number, number, number // 2 or 1):
            world.failpoints.arm(Failpoints.KILL, at)
            world.start(wait=False)
            wait_for(lambda: world.failpoints.struck or serves(world) or not world.alive(), 20, "warmd starts or is killed")
            if not world.failpoints.struck:
                quiet(world, 0.1)
            world.failpoints.disarm()
            if world.failpoints.struck:
                world.reap()
                killed += 1
            else:
                world.kill()
        world.start()
        recheck(bench, step, history, key)
        result["cases"] += max(0, killed - 1)
        return "killed starts" if killed else False

    each(job, result, bench, numbers, once)


def serves(world):
    try:
        return world.call("GET", "/healthz", timeout=2).status == 200
    except Broken:
        return False


ROWS["start"] = (plan_starts, perform_starts)

# SIGTERM in the middle of an operation, and kill -9 in the middle of what that sets off (row 17).


def plan_stops(common):
    for name in ("CheckpointTemplate", "RestoreArchive", "Lease", "Exec", "Run", "Delete"):
        yield {"row": f"stop/{name}", "step": name, "share": 0, "shares": 1}


def perform_stops(job, result):
    bench = Bench(job)
    step_of = STEPS[job["step"]]
    calls = len(measure(bench.world, step_of(), bench.history()))
    bench.tidy()
    numbers = job.get("numbers") or shares(job, 2 if job["all"] else 12)(calls)

    def once(number):
        world, history, step = bench.world, bench.history(), step_of()
        key = secrets.token_hex(8) if step.keyed else None
        step.prepare(world, history)
        quiet(world)
        world.failpoints.arm(Failpoints.COUNT)
        client = threading.Thread(target=attempt, args=(world, step, history, key))
        client.start()
        wait_for(lambda: world.failpoints.count >= number or not client.is_alive(), 20, "the operation is under way")
        killed = number % 3 == 0
        if killed:
            world.failpoints.arm(Failpoints.KILL, 1 + number // 3 % 12)
        world.daemon.send_signal(signal.SIGTERM)
        code = world.reap(30)
        client.join()
        struck = world.failpoints.struck
        world.failpoints.disarm()
        if code != (-9 if struck else 0):
            raise Failure(f"warmd ended with {code} on SIGTERM")
        if not struck:
            # It drained: what it has left needs no recovery, but what its engine holds.
            pass
        world.start()
        recheck(bench, step, history, key)
        return "killed while stopping" if struck else "SIGTERM"

    each(job, result, bench, numbers, once)


def attempt(world, step, history, key):
    try:
        return step.act(world, history, key)
    except Broken:
        return Outcome("broken")


ROWS["stop"] = (plan_stops, perform_stops)

# kill -9 at any time, with many clients at work.


def plan_random(common):
    for share in range(common["shares"]):
        yield {"row": "random/mixed", "share": share, "shares": common["shares"]}


def perform_random(job, result):
    bench = Bench(job)
    many = (10 if job["podman"] else 150) if job["all"] else (2 if job["podman"] else 8)
    numbers = job.get("numbers") or [job["seed"] * 100000 + n for n in range(many)][job["share"]::job["shares"]]
    mixture = ["Warm", "CheckpointTemplate", "CheckpointInstance", "RestoreLinked", "RestoreArchive", "Exec", "Terminate", "Delete", "Lease", "Run"]

    def once(number):
        world, dice = bench.world, random.Random(number)
        histories, threads = [], []
        end = threading.Event()

        def client(name, history, seed):
            rng = random.Random(seed)
            try:
                while not end.is_set():
                    step = STEPS[rng.choice(mixture)]()
                    step.prepare(world, history)
                    step.act(world, history, rng.randbytes(8).hex() if step.keyed else None)
            except (Broken, Failure, KeyError, TypeError) as failure:
                # Preparations break, too; what was acknowledged is checked below. I1 is told at once.
                if str(failure).startswith(("I1", "'I1")):
                    problems.append(str(failure))

        problems = []
        for i in range(6):
            histories.append(bench.history())
            threads.append(threading.Thread(target=client, args=(i, histories[-1], dice.random())))
        for thread in threads:
            thread.start()
        end.wait(dice.uniform(0.02, 0.7))
        os.kill(world.daemon.pid, signal.SIGKILL)
        end.set()
        world.reap()
        for thread in threads:
            thread.join()
        if problems:
            raise Failure("; ".join(problems))
        world.start()
        settle(world)
        history = merge(histories)
        check(world, history)
        restore_some(world, history)
        return "random"

    each(job, result, bench, numbers, once)


def merge(histories):
    merged = History()
    for history in histories:
        for name, value in vars(history).items():
            getattr(merged, name).update(value)
    return merged


ROWS["random"] = (plan_random, perform_random)

# Rows 3 and 4: the disk is full, the quota is used up, the disk fails: once, at each call of each operation, or from it on.

ERRORS = {"nospace": (errno.ENOSPC, False), "nospace-stays": (errno.ENOSPC, True), "quota": (errno.EDQUOT, False), "io": (errno.EIO, False)}
REFUSALS = {errno.ENOSPC: {"no_space"}, errno.EDQUOT: {"no_space"},
            errno.EIO: {"internal", "corrupt", "engine_failed"}}
# To remove a file takes no space.
TAKES_SPACE = tuple(kind for kind in FILES if kind not in ("unlink", "rmdir"))


def plan_errors(common):
    for fault in ERRORS:
        for name in STEPS:
            if name in ("WarmProbed", "RestoreTemplate") and not common["all"]:
                continue
            yield {"row": f"{fault}/{name}", "step": name, "fault": fault, "share": 0, "shares": 1}


def perform_errors(job, result):
    error, stays = ERRORS[job["fault"]]
    kinds = FILES if error == errno.EIO else TAKES_SPACE
    bench = Bench(job)
    step_of = STEPS[job["step"]]
    seen = measure(bench.world, step_of(), bench.history(), kinds, str(bench.world.state))
    bench.tidy()
    numbers = job.get("numbers") or shares(job, job["every"] if job["all"] else 12)(len(seen))

    def once(number):
        world, history, step = bench.world, bench.history(), step_of()
        key = secrets.token_hex(8) if step.keyed else None
        step.prepare(world, history)
        quiet(world)
        world.failpoints.arm(Failpoints.FAIL, number, FOREVER if stays else number, error, kinds, str(world.state))
        try:
            outcome = step.act(world, history, key)
        except Broken as broken:
            raise Failure(f"I5: the connection broke: {broken}") from broken
        if not world.failpoints.struck:
            quiet(world, 0.1)
        struck = world.failpoints.struck
        world.failpoints.disarm()
        if not struck:
            return False
        if not world.alive():
            raise Failure("warmd has ended")
        if outcome.code and outcome.code not in REFUSALS[error]:
            raise Failure(f"I5: the client is told {outcome.code}: {outcome.text}")
        if error != errno.EIO:
            world.require_space_returned()
        step.retry(world, history, key)  # at once: no restart is needed for it
        # What cleaning up could not be done meanwhile is done by the next sweep; a start is one, and half a minute shorter.
        world.kill()
        world.start()
        settle(world)
        check(world, history)
        if number % 3 == 0:
            restore_some(world, history)
        return f"refused as {outcome.code}" if outcome.code else "done all the same"

    each(job, result, bench, numbers, once)


ROWS["disk"] = (plan_errors, perform_errors)

# Rows 8 and 9: Podman does each of its worst things at each of its calls.

PODMAN = {
    "error": {}, "reset": {}, "lost": {}, "garbage": {}, "nonsense": {}, "slow": {}, "truncated": {"after": 20000},
    "cut": {"after": 30},
    # Not of a removal: that is given two minutes, because a dump that its client gave up holds the container until it ends.
    "hang": {"call": "^(?!DELETE)"}, "restart": None, "refuse": None,
}


def plan_podman(common):
    for fault in PODMAN:
        for name in STEPS:
            if not common["all"] and name not in ("Warm", "CheckpointTemplate", "RestoreLinked", "Lease", "Exec"):
                continue
            yield {"row": f"podman-{fault}/{name}", "step": name, "fault": fault, "share": 0, "shares": 1}


def perform_podman(job, result):
    rule = PODMAN[job["fault"]]
    # Deadlines that a test can wait for.
    bench = Bench(job, podman_timeout="700ms")
    step_of = STEPS[job["step"]]
    world = bench.world
    history = bench.history()
    step = step_of()
    step.prepare(world, history)
    before = world.engine.state()["calls"]
    step.act(world, history, None)
    quiet(world, 0.1)
    calls = world.engine.state()["calls"] - before
    bench.tidy()
    numbers = job.get("numbers") or shares(job, 1 if job["all"] else 5)(calls)

    def once(number):
        world, history, step = bench.world, bench.history(), step_of()
        key = secrets.token_hex(8) if step.keyed else None
        step.prepare(world, history)
        if rule is not None:
            world.engine.faults({"call": ".", "do": job["fault"], "skip": number - 1, **rule})
            outcome = step.act(world, history, key)
            struck = world.engine.state()["struck"]
        else:
            # Between two calls and during one: it ends when it is slow, and comes back a little later or never.
            world.engine.faults({"call": ".", "do": "slow", "skip": number - 1, "pause": 0.05})
            outcomes = []
            client = threading.Thread(target=lambda: outcomes.append(attempt(world, step, history, key)))
            client.start()
            wait_for(lambda: world.engine.state()["struck"] or not client.is_alive(), 20, "Podman is called")
            struck = world.engine.state()["struck"]
            if job["fault"] == "restart":
                world.engine.restart()
                client.join()
            else:
                world.engine.listen(False)
                client.join()
                world.engine.listen(True)
            outcome = outcomes[0]
        world.engine.faults()
        if not struck:
            return False
        if outcome.code not in ("", "engine_failed", "unavailable", "timeout", "not_ready", "corrupt", "conflict"):
            raise Failure(f"I5: the client is told {outcome.code}: {outcome.text}")
        if not world.alive():
            raise Failure("warmd has ended")
        world.kill()  # and the sweep of its start
        world.start()
        recheck(bench, step, history, key)
        return f"told {outcome.code}" if outcome.code else "done all the same"

    each(job, result, bench, numbers, once)


ROWS["podman"] = (plan_podman, perform_podman)

# Row 9 on the real Podman: its service is killed at any time of a call, and the next connection starts it.


def plan_service(common):
    for name in ("Warm", "CheckpointTemplate", "CheckpointInstance", "RestoreLinked", "RestoreArchive", "Exec", "Terminate", "Lease"):
        yield {"row": f"service/{name}", "step": name, "share": 0, "shares": 1}


def perform_service(job, result):
    bench = Bench(job)
    step_of = STEPS[job["step"]]
    step, history = step_of(), bench.history()
    step.prepare(bench.world, history)
    began = time.monotonic()
    step.act(bench.world, history, None)
    duration = time.monotonic() - began
    bench.tidy()
    numbers = job.get("numbers") or [job["seed"] * 1000 + n for n in range(4 if job["all"] else 1)]

    def once(number):
        world, history, step = bench.world, bench.history(), step_of()
        key = secrets.token_hex(8) if step.keyed else None
        step.prepare(world, history)
        outcomes = []
        client = threading.Thread(target=lambda: outcomes.append(attempt(world, step, history, key)))
        client.start()
        client.join(random.Random(number).uniform(0, duration))
        world.engine.restart()
        client.join()
        outcome = outcomes[0]
        if outcome.code not in ("", "engine_failed", "unavailable", "timeout", "not_ready", "corrupt", "conflict"):
            raise Failure(f"I5: the client is told {outcome.code}: {outcome.text}")
        world.kill()
        world.start()
        recheck(bench, step, history, key)
        return f"told {outcome.code}" if outcome.code else "done all the same"

    each(job, result, bench, numbers, once)


ROWS["service"] = (plan_service, perform_service)

# Row 10: the application ends, or is killed for want of memory, while it is warmed, idle, leased, at work.


def plan_containers(common):
    yield {"row": "container/ended", "share": 0, "shares": 1}


def perform_containers(job, result):
    bench = Bench(job)
    # The last two take a Podman that can be slowed down, and a look into its files.
    cases = ("warming", "idle", "leased", "pooled", "working", "checkpointing")
    numbers = job.get("numbers") or range(1, 5 if job["podman"] else 2 * len(cases) + 1)

    def once(number):
        world, history = bench.world, bench.history()
        oom = number > len(cases)
        case = cases[(number - 1) % len(cases)]
        if case == "warming":
            answer = world.call("POST", "/v1/templates/never/warm")
            names = wait_for(lambda: [name for name, container in world.engine.state()["containers"].items()
                                      if container["labels"].get("warmd.template") == "never" and container["status"] == "running"], 20, "it is warmed")
            world.engine.kill(names[0], oom)
            ended = world.finish(answer.body["id"])
            if ended["state"] != "failed" or ended["error"]["code"] != "not_ready" or "exited with 137" not in str(ended["error"]):
                raise Failure(f"the warm-up of a container that was killed ends as {ended['state']} {ended['error']}")
            if oom and "out of memory" not in str(ended["error"]):
                raise Failure(f"nothing says that memory was short: {ended['error']}")
        elif case in ("idle", "working"):
            step = STEPS["Exec"]()
            step.prepare(world, history)
            history.ending.add(step.instance)
            if case == "working":
                answers = []
                client = threading.Thread(target=lambda: answers.append(
                    world.call("POST", f"/v1/instances/{step.instance}/exec", {"command": ["sh", "-c", "touch begun; sleep 100"]})))
                client.start()
                wait_for(lambda: list((world.directory / "containers").glob("*/begun")), 20, "the command runs")
                world.engine.kill(f"warmd-{step.instance}", oom)
                client.join()
                # Its own exit status, or the end of the instance: what is not true is success.
                if answers[0].status == 200 and answers[0].body["exit_status"] != 137:
                    raise Failure(f"a command whose container was killed answers {answers[0].text}")
            else:
                world.engine.kill(f"warmd-{step.instance}", oom)
            answer = world.call("POST", f"/v1/instances/{step.instance}/exec", {"command": world.engine.ask})
            if answer.code != "conflict":
                raise Failure(f"a command in a container that has ended answers {answer.text}")
            wait_for(lambda: world.get(f"/v1/instances/{step.instance}")["state"] == "terminated", 35, "the instance is terminated")
        elif case in ("leased", "pooled"):
            step = STEPS["LeaseIdle" if case == "pooled" else "Lease"]()
            step.prepare(world, history)
            if case == "leased":
                step.act(world, history, None)
                instance = history.leases[step.lease]
                history.releasing.add(step.lease)
                world.engine.kill(f"warmd-{instance}", oom)
                answer = world.call("POST", f"/v1/leases/{step.lease}/exec", {"command": world.engine.ask})
                if answer.code != "conflict":
                    raise Failure(f"a command in a lease whose container has ended answers {answer.text}")
                wait_for(lambda: world.get(f"/v1/leases/{step.lease}")["state"] == "lost", 35, "the lease is lost")
            else:
                for row in world.items("instances", everything=False):
                    if row["template"] == "ready":
                        world.engine.kill(f"warmd-{row['id']}", oom)
                # Whoever asks now is given one that runs.
                step.act(world, history, None)
                answer = world.call("POST", f"/v1/leases/{step.lease}/exec", {"command": world.engine.ask})
                if answer.status != 200:
                    raise Failure(f"a lease was given of a container that has ended: {answer.text}")
        else:
            world.engine.faults({"call": "/checkpoint$", "do": "slow", "pause": 0.05})
            step = STEPS["CheckpointInstance"]()
            step.prepare(world, history)
            world.engine.kill(f"warmd-{step.source}", oom)
            outcome = step.act(world, history, None)
            if outcome.code not in ("conflict", "not_found"):
                raise Failure(f"a checkpoint of a container that has ended: {outcome.code} {outcome.text}")
        settle(world)
        world.kill()
        world.start()
        settle(world)
        check(world, history)
        return ("out of memory, " if oom else "killed, ") + case

    each(job, result, bench, numbers, once)


ROWS["container"] = (plan_containers, perform_containers)

# Row 12: somebody sets the clock, a day on or a day back.


def plan_clock(common):
    yield {"row": "clock/jump", "share": 0, "shares": 1}


def perform_clock(job, result):
    bench = Bench(job)
    numbers = job.get("numbers") or range(1, 5)
    day = 24 * 3600

    def once(number):
        world, history = bench.world, bench.history()
        control = world.failpoints.control
        control.clock = 0
        jump = day if number % 2 else -day
        lease = STEPS["Lease"]()
        lease.prepare(world, history)
        lease.act(world, history, None)
        operation_running = world.call("POST", "/v1/templates/never/warm").body["id"]
        control.clock = jump
        if number > 2:
            # Also across a restart: the row was written before the jump.
            world.kill()
            world.start()
        # Longer than the pool's look at its leases, which is once a second.
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            if world.get(f"/v1/leases/{lease.lease}")["state"] != "active":
                raise Failure(f"a lease of ten minutes ended when the clock jumped by {jump} s")
            time.sleep(0.1)
        if number <= 2:
            state = world.get(f"/v1/operations/{operation_running}")["state"]
            if state != "running":
                raise Failure(f"an operation that has a minute is {state} when the clock jumped by {jump} s")
            world.call("DELETE", f"/v1/operations/{operation_running}")
            world.finish(operation_running)
        made = CheckpointTemplate()
        if (outcome := made.act(world, history, None)).code:
            raise Failure(f"no checkpoint after the clock has jumped: {outcome.text}")
        row, outcome = operation(world, history, "POST", "/v1/templates/plain/restore", None)
        if outcome.code:
            raise Failure(f"no restore after the clock has jumped: {outcome.text}")
        # Which one is the newest the wall clock says: not one that was made after that was set back.
        if jump > 0 and row["checkpoint"] != made.made:
            raise Failure(f"the newest checkpoint is {made.made}, and {row['checkpoint']} was restored")
        # A lease of a second ends after a second.
        answer = world.call("POST", "/v1/pools/pooled/leases", {"ttl": "1s"})
        wait_for(lambda: world.get(f"/v1/leases/{answer.body['id']}")["state"] == "expired", 10, "a lease of a second expires")
        settle(world)
        check(world, history)
        control.clock = 0
        world.kill()
        world.start()
        settle(world)
        check(world, history)
        return "a day on" if jump > 0 else "a day back"

    each(job, result, bench, numbers, once)


ROWS["clock"] = (plan_clock, perform_clock)

# Row 13: no descriptors, no memory for a connection, a connection that is gone before it was accepted.


def plan_descriptors(common):
    yield {"row": "descriptors/accept", "share": 0, "shares": 1}
    yield {"row": "descriptors/open", "share": 0, "shares": 1}
    yield {"row": "descriptors/limit", "share": 0, "shares": 1}


def perform_descriptors(job, result):
    bench = Bench(job, start=job["row"] != "descriptors/limit")
    what = job["row"].split("/")[1]
    if what == "accept":
        errors = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.ECONNABORTED, errno.EPROTO, errno.EINTR)
        numbers = job.get("numbers") or range(1, len(errors) + 1)

        def once(number):
            world = bench.world
            world.failpoints.arm(Failpoints.FAIL, 1, 3, errors[number - 1], ("accept",))
            answers = []
            clients = [threading.Thread(target=lambda: answers.append(world.call("GET", "/v1/status").status)) for _ in range(8)]
            for client in clients:
                client.start()
            for client in clients:
                client.join()
            struck = world.failpoints.struck
            world.failpoints.disarm()
            if answers != [200] * 8 or not struck:
                raise Failure(f"accept failed with {errno.errorcode[errors[number - 1]]}, and clients got {answers}, struck {struck}")
            return errno.errorcode[errors[number - 1]]

        return each(job, result, bench, numbers, once)
    if what == "open":
        cases = [(name, call) for name in ("Warm", "CheckpointTemplate", "RestoreLinked", "RestoreUnpacking", "Delete", "Lease", "Exec")
                 for call in range(1, 13 if job["all"] else 4)]
        numbers = job.get("numbers") or range(1, len(cases) + 1)

        def once(number):
            world, history = bench.world, bench.history()
            name, call = cases[number - 1]
            step = STEPS[name]()
            key = secrets.token_hex(8) if step.keyed else None
            step.prepare(world, history)
            quiet(world)
            world.failpoints.arm(Failpoints.FAIL, call, call, errno.EMFILE, ("open", "create", "socket"))
            try:
                outcome = step.act(world, history, key)
            except Broken as broken:
                raise Failure(f"I5: the connection broke: {broken}") from broken
            struck = world.failpoints.struck
            world.failpoints.disarm()
            if not struck:
                return False
            if not world.alive():
                raise Failure("warmd has ended")
            settle(world)
            world.kill()
            world.start()
            recheck(bench, step, history, key)
            return f"EMFILE, told {outcome.code}" if outcome.code else "EMFILE, done all the same"

        return each(job, result, bench, numbers, once)

    def once(number):
        # A limit that two hundred clients exceed. Those that get in are served, and afterwards all are.
        world = bench.world = harness.World(job["warmd"], job["library"])
        world.limits = {resource.RLIMIT_NOFILE: 100}
        world.start()
        bench.base = History()
        idle = []
        for _ in range(200):
            client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            client.settimeout(5)
            try:
                client.connect(world.socket)
            except OSError:
                client.close()
                continue
            idle.append(client)
        for client in idle:
            client.close()
        wait_for(lambda: serves(world), 20, "warmd answers when the crowd is gone")
        row, outcome = operation(world, History(), "POST", "/v1/templates/plain/warm", None)
        if outcome.code:
            raise Failure(f"no warm-up when the crowd is gone: {outcome.text}")
        return "200 clients, 100 descriptors"

    return each(job, result, bench, job.get("numbers") or [1], once)


ROWS["descriptors"] = (plan_descriptors, perform_descriptors)

# Row 14: clients that go in the middle of what they asked for.


def raw(world, method, target, body=b"", headers=()):
    """A connection with a request sent, which the caller ends as it likes."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(20)
    client.connect(world.socket)
    lines = [f"{method} {target} HTTP/1.1", "Host: faults", f"Content-Length: {len(body)}", *headers]
    if method == "GET":
        lines.remove(f"Content-Length: {len(body)}")
    client.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    return client


def resources(world):
    """Threads, descriptors and resident memory in KiB of the daemon."""
    status = dict(line.split(":", 1) for line in open(f"/proc/{world.daemon.pid}/status").read().splitlines())
    return int(status["Threads"]), len(os.listdir(f"/proc/{world.daemon.pid}/fd")), int(status["VmRSS"].split()[0])


def plan_clients(common):
    yield {"row": "clients/vanish", "share": 0, "shares": 1}


def perform_clients(job, result):
    bench = Bench(job)
    cases = ("exec", "run", "events", "wait", "lease", "body", "logs")
    numbers = job.get("numbers") or range(1, len(cases) + 1)

    def once(number):
        world, history = bench.world, bench.history()
        case = cases[number - 1]
        step = STEPS["Exec"]()
        step.prepare(world, history)
        settle(world)
        threads_before, files_before, _ = resources(world)
        held = []
        for i in range(20):
            begun = b'{"command": ["sh", "-c", "echo begun; exec sleep 1000"]}'
            json_kind = ("Content-Type: application/json",)
            if case == "exec":
                client = raw(world, "POST", f"/v1/instances/{step.instance}/exec", begun, json_kind)
                received = b""
                while b"begun" not in received and b"YmVndW4" not in received:
                    received += client.recv(65536)
            elif case == "run":
                client = raw(world, "POST", "/v1/templates/plain/run", begun, json_kind)
                client.recv(1)
            elif case == "events":
                client = raw(world, "GET", "/v1/events", headers=("Accept: text/event-stream",))
                client.recv(1)
            elif case == "wait":
                started = world.call("POST", "/v1/templates/never/warm").body["id"] if i == 0 else started
                client = raw(world, "GET", f"/v1/operations/{started}?wait=60s")
            elif case == "lease":
                client = raw(world, "POST", "/v1/pools/never/leases", b'{"wait": "60s"}', json_kind)
            elif case == "body":
                client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                client.connect(world.socket)
                client.sendall(b"POST /v1/templates/plain/run HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{")
            else:
                client = raw(world, "GET", f"/v1/instances/{step.instance}/logs")
            held.append(client)
        for client in held:
            client.close()
        if case == "wait":
            world.call("DELETE", f"/v1/operations/{started}")
            world.finish(started)
        def back():
            threads, files, _ = resources(world)
            return threads <= threads_before and files <= files_before

        try:
            wait_for(back, 40, "threads and descriptors are as before")
        except Failure as failure:
            raise Failure(f"{failure}: {case}: {resources(world)} were {(threads_before, files_before)}") from failure
        settle(world)
        if case in ("exec", "run"):
            alive = [pid for group in (world.directory / "containers").glob("*") for pid in ()]
            running = [entry for entry in os.listdir("/proc") if entry.isdigit() and command_of(entry) == b"sleep\0" + b"1000\0"
                       and is_below(entry, world.directory)]
            if running or alive:
                raise Failure(f"commands of clients that are gone still run: {running}")
        if step.act(world, history, None).code:
            raise Failure("the instance is of no use any more")
        world.kill()
        world.start()
        settle(world)
        check(world, history)
        return f"20 of {case}"

    each(job, result, bench, numbers, once)


def command_of(pid):
    try:
        return open(f"/proc/{pid}/cmdline", "rb").read()
    except OSError:
        return b""


def is_below(pid, directory):
    try:
        return os.readlink(f"/proc/{pid}/cwd").startswith(str(directory))
    except OSError:
        return False


ROWS["clients"] = (plan_clients, perform_clients)

# Row 15: many clients with conflicting requests.


def plan_model(common):
    yield {"row": "model/conflicts", "share": 0, "shares": 1}


def perform_model(job, result):
    bench = Bench(job)
    numbers = job.get("numbers") or [job["seed"] * 1000 + n for n in range(10 if job["all"] else 1)]

    def once(number):
        world, history, dice = bench.world, bench.history(), random.Random(number)
        made = CheckpointTemplate()
        made.act(world, history, None)
        step = STEPS["Exec"]()
        step.prepare(world, history)
        target = made.made
        answers, lock = [], threading.Lock()
        barrier = threading.Barrier(64)
        leases = []  # (lease, instance, from, to): held by a client between these moments

        def client(kind, seed):
            rng = random.Random(seed)
            barrier.wait()
            try:
                if kind == "delete":
                    record(kind, operation(world, History(), "DELETE", f"/v1/checkpoints/{target}", None)[1].code)
                elif kind == "terminate":
                    record(kind, operation(world, History(), "DELETE", f"/v1/instances/{step.instance}", None)[1].code)
                elif kind == "key":
                    while True:
                        answer = world.call("POST", "/v1/templates/plain/warm", key="the-same")
                        if answer.code != "conflict":
                            break
                        time.sleep(0.01)
                    record(kind, answer.body.get("id", answer.code))
                elif kind == "lease":
                    answer = world.call("POST", "/v1/pools/pooled/leases", {"wait": "30s", "ttl": "1m"})
                    if answer.status != 201:
                        return record(kind, answer.code)
                    began = time.monotonic()
                    word = rng.randbytes(6).hex()
                    told = world.call("POST", f"/v1/leases/{answer.body['id']}/exec", {"command": ["sh", "-c", f"cat mine 2>/dev/null; echo {word} > mine"]})
                    ended = time.monotonic()
                    world.call("DELETE", f"/v1/leases/{answer.body['id']}")
                    with lock:
                        leases.append((answer.body["id"], answer.body["instance"], began, ended, told.status, told.body.get("stdout") if told.body else None))
                    record(kind, "")
                else:
                    record(kind, operation(world, History(), "POST", f"/v1/checkpoints/{target}/restore", None)[1].code)
            except (Broken, Failure) as failure:
                record("failure", repr(failure))

        def record(kind, code):
            with lock:
                answers.append((kind, code))

        kinds = ["delete"] * 10 + ["terminate"] * 8 + ["key"] * 16 + ["lease"] * 18 + ["restore"] * 12
        dice.shuffle(kinds)
        threads = [threading.Thread(target=client, args=(kind, dice.random())) for kind in kinds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        of = lambda kind: [code for known, code in answers if known == kind]
        if of("failure"):
            raise Failure(f"clients failed: {of('failure')[:3]}")
        history.ending.add(step.instance)
        history.doomed.add(target)
        if of("terminate").count("") != 1 or set(of("terminate")) - {"", "conflict"}:
            raise Failure(f"one instance was ended {of('terminate').count('')} times: {of('terminate')}")
        if of("delete").count("") < 1 or set(of("delete")) - {"", "not_found", "conflict"}:
            raise Failure(f"one checkpoint was deleted as {of('delete')}")
        if len(set(of("key"))) != 1 or not of("key")[0].startswith("op-"):
            raise Failure(f"one key began {set(of('key'))}")
        if set(of("restore")) - {"", "not_found", "conflict", "corrupt"}:
            raise Failure(f"restores of a checkpoint that was being deleted ended as {set(of('restore'))}")
        if len({instance for _, instance, *_ in leases}) != len(leases):
            raise Failure("an instance was leased twice")
        for identity, instance, _, _, status, out in leases:
            if status != 200 or out != "":
                raise Failure(f"lease {identity} was not alone in {instance}: {status} {out!r}")
        if set(of("lease")) - {"", "busy"}:
            raise Failure(f"leases ended as {set(of('lease'))}")
        settle(world)
        history.gone.add(target)
        check(world, history)
        world.kill()
        world.start()
        settle(world)
        check(world, history)
        return "64 clients"

    each(job, result, bench, numbers, once)


ROWS["model"] = (plan_model, perform_model)

# Row 5: the power is cut: what was not synced is gone, and so are renamed files whose directory was not synced.


def plan_power(common):
    for name in ("CheckpointTemplate", "CheckpointInstance", "Warm", "Delete", "Lease", "RestoreUnpacking"):
        for share in range(common["shares"] if common["all"] else 1):
            yield {"row": f"power/{name}", "step": name, "share": share, "shares": common["shares"] if common["all"] else 1}


def perform_power(job, result):
    bench = Bench(job)
    step_of = STEPS[job["step"]]
    calls = len(measure(bench.world, step_of(), bench.history()))
    bench.tidy()
    numbers = job.get("numbers") or shares(job, 1 if job["all"] else 19)(calls + 4)

    def once(number):
        world, history, step = bench.world, bench.history(), step_of()
        if "WARMD_DURABLE" not in world.environment:
            world.terminate()
            world.keep_durable()
            world.start()
        kind, key = kill_once(world, step, history, number)
        if kind is None:
            world.kill()  # the cut comes when all is done
        world.cut_power()
        # What ran is gone, too.
        for name in world.engine.state()["containers"]:
            world.engine.kill(name)
        history.ending.update(history.instances)
        history.releasing.update(history.leases)
        world.start()
        settle(world)
        check(world, history)
        restore_some(world, history)
        return "power cuts"

    each(job, result, bench, numbers, once)


ROWS["power"] = (plan_power, perform_power)

# The same from outside: does the preloaded library see every call that strace sees, and does strace's own kill end as well?
# strace counts for each thread by itself, and from the daemon's start on.

OF_STRACE = {"write": "write", "pwrite64": "pwrite", "writev": "writev", "fsync": "fsync", "fdatasync": "fdatasync", "rename": "rename",
             "renameat2": "rename", "unlink": "unlink", "unlinkat": "unlink", "mkdir": "mkdir", "rmdir": "rmdir", "link": "link",
             "symlink": "symlink", "ftruncate": "ftruncate", "fallocate": "fallocate"}


def plan_strace(common):
    if shutil.which("strace") is None:
        print("strace: skipped: not installed", file=sys.stderr)
        return
    yield {"row": "strace/compare", "share": 0, "shares": 1}
    for share in range(common["shares"] if common["all"] else 1):
        yield {"row": "strace/kill", "share": share, "shares": common["shares"] if common["all"] else 1}


def perform_strace(job, result):
    bench = Bench(job)
    if job["row"] == "strace/compare":
        def once(number):
            world, history = bench.world, bench.history()
            world.terminate()
            trace = world.directory / "trace"
            # strace is given the library as well, and that takes itself out of the environment.
            world.wrapper = ["strace", "-f", "-y", "-E", f"LD_PRELOAD={world.library}", "-E", f"WARMD_FAILPOINTS={world.failpoints.path}",
                             "-o", str(trace), "-e", "trace=open,openat,creat," + ",".join(OF_STRACE)]
            world.failpoints.arm(Failpoints.COUNT, kinds=FILES, prefix=str(world.state))
            world.start()
            for name in ("Warm", "CheckpointTemplate", "RestoreLinked", "RestoreArchive", "RestoreUnpacking", "Delete", "Lease"):
                step = STEPS[name]()
                step.prepare(world, history)
                step.act(world, history, None)
            quiet(world, 0.3)
            # The daemon is strace's child.
            pid = int(open(f"/proc/{world.daemon.pid}/task/{world.daemon.pid}/children").read().split()[0])
            os.kill(pid, signal.SIGTERM)
            world.reap(30)
            world.wrapper = []
            seen = {}
            for kind in world.failpoints.kinds():
                seen[kind] = seen.get(kind, 0) + 1
            world.failpoints.disarm()
            traced = calls_in(trace, str(world.state))
            world.start()
            for kind in sorted(seen.keys() | traced.keys()):
                if seen.get(kind, 0) != traced.get(kind, 0):
                    raise Failure(f"{kind}: strace sees {traced.get(kind, 0)} calls, the library {seen.get(kind, 0)}")
                count(result, kind, seen[kind])
            return True

        return each(job, result, bench, job.get("numbers") or [1], once)

    cases = [(call, n) for call in ("fsync", "fdatasync", "pwrite64", "write", "rename", "unlink", "unlinkat", "link", "sendto") for n in
             range(1, 16 if job["all"] else 3)]
    numbers = job.get("numbers") or list(range(1, len(cases) + 1))[job["share"]::job["shares"]]

    def once(number):
        call, n = cases[number - 1]
        world, history = bench.world, bench.history()
        world.terminate()
        world.wrapper = ["strace", "-f", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={n}"]
        world.start(wait=False)
        step, key = STEPS["CheckpointTemplate"](), secrets.token_hex(8)
        try:
            wait_for(lambda: serves(world) or not world.alive(), 20, "warmd starts or is killed")
            step.act(world, history, key)
            STEPS["Lease"]().act(world, history, None)
        except Broken:
            pass
        killed = not world.alive()
        if not killed:
            try:
                world.daemon.wait(timeout=0.2)
                killed = True
            except subprocess.TimeoutExpired:
                world.kill()
        world.wrapper = []
        world.start()
        recheck(bench, step, history, key)
        return call if killed else False

    return each(job, result, bench, numbers, once)


def calls_in(trace, below):
    """How often strace saw calls on files below the directory, by kind."""
    counts = {}
    for line in open(trace, errors="replace"):
        match = re.match(r"\d+ +([a-z0-9_]+)\((.*)", line)  # a resumed call has no arguments, and was counted where it began
        if match is None or below not in match[2]:
            continue
        call, arguments = match[1], match[2]
        if call in ("open", "openat", "creat"):
            path = re.search(r'"([^"]*)"', arguments)
            if "O_CREAT" not in arguments or path is None or not path[1].startswith(below):
                continue
            kind = "create"
        else:
            first = re.match(r'(?:AT_FDCWD<[^>]*>, |\d+<([^>]*)>, )?(?:\d+<([^>]*)>|"([^"]*)")?', arguments)
            place = next((part for part in (first.groups() if first else ()) if part), "")
            if call in ("link", "symlink"):
                place = re.findall(r'"([^"]*)"', arguments)[-1]
            if not place.startswith(below):
                continue
            kind = OF_STRACE[call]
            if call == "unlinkat" and "AT_REMOVEDIR" in arguments:
                kind = "unlink"
        counts[kind] = counts.get(kind, 0) + 1
    return counts


ROWS["strace"] = (plan_strace, perform_strace)
