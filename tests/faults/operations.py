"""What a client does, one thing at a time: how it is made ready, done, and done again when nobody knows how it went."""

import secrets
import shutil

from harness import Failure, wait_for


class Outcome:
    """How a request went, as its client saw it: code is "" on success."""

    def __init__(self, code="", text=""):
        self.code = code
        self.text = text


class Step:
    """One operation. `prepare` runs undisturbed; `act` may be broken off anywhere (harness.Broken), and tells the history
    what was acknowledged; `retry` must lead to success, with a new key when the old one's operation was interrupted."""

    keyed = True

    def prepare(self, world, history):
        pass

    def act(self, world, history, key):
        raise NotImplementedError

    def retry(self, world, history, key):
        """The same request once more, as a client that got no answer sends it. Success, or the truth about the first."""
        outcome = self.act(world, history, key if self.keyed else None)
        if outcome.code in ("interrupted", "cancelled") or (outcome.code and self.keyed):
            outcome = self.act(world, history, secrets.token_hex(8) if self.keyed else None)
        if outcome.code:
            raise Failure(f"I5: {type(self).__name__} does not succeed when it is done again: {outcome.code} {outcome.text}")


def operation(world, history, method, target, key):
    """Starts an operation, and waits for its end. The row and the outcome."""
    answer = world.call(method, target, key=key)
    if answer.status not in (200, 202):
        if not answer.code:
            raise Failure(f"I5: {method} {target} answers {answer.status} without an error's document: {answer.text!r}")
        return None, Outcome(answer.code, answer.text)
    history.operations.add(answer.body["id"])
    ended = world.finish(answer.body["id"])
    if ended["state"] == "succeeded":
        return ended, Outcome()
    return ended, Outcome(ended["error"]["code"], str(ended["error"]))


def memory_in(world, instance):
    """None where only the instance itself knows: it is asked later, when it is looked after."""
    if not world.engine.remembers:
        return None
    return world.engine.state()["containers"][f"warmd-{instance}"]["memory"]


def dumped_memory(world, instance):
    """None where the first restore will tell."""
    return world.engine.state()["exports"][f"warmd-{instance}"] if world.engine.remembers else None


class Warm(Step):
    template = "plain"

    def act(self, world, history, key):
        row, outcome = operation(world, history, "POST", f"/v1/templates/{self.template}/warm", key)
        if not outcome.code:
            history.instances[row["instance"]] = memory_in(world, row["instance"])
        return outcome


class WarmProbed(Warm):
    """With a command that says when the application is ready."""

    template = "probed"


class CheckpointTemplate(Step):
    template = "plain"

    def act(self, world, history, key):
        row, outcome = operation(world, history, "POST", f"/v1/templates/{self.template}/checkpoints", key)
        if not outcome.code:
            history.checkpoints[row["checkpoint"]] = dumped_memory(world, row["instance"])
            self.made = row["checkpoint"]
        return outcome


class CheckpointInstance(Step):
    def prepare(self, world, history):
        self.source = world.do("POST", "/v1/templates/plain/warm")["instance"]

    def act(self, world, history, key):
        history.ending.add(self.source)
        row, outcome = operation(world, history, "POST", f"/v1/instances/{self.source}/checkpoint", key)
        if not outcome.code:
            history.checkpoints[row["checkpoint"]] = dumped_memory(world, self.source)
        return outcome

    def retry(self, world, history, key):
        outcome = self.act(world, history, key)
        if outcome.code and world.get(f"/v1/instances/{self.source}")["state"] not in ("idle", "leased"):
            self.prepare(world, history)  # it did not outlive the attempt
        if outcome.code:
            outcome = self.act(world, history, secrets.token_hex(8))
        if outcome.code:
            raise Failure(f"I5: a checkpoint of an instance does not succeed when it is done again: {outcome.code} {outcome.text}")


class Restore(Step):
    query = "?path=linked"

    def prepare(self, world, history):
        self.checkpoint = world.keeper

    def act(self, world, history, key):
        row, outcome = operation(world, history, "POST", f"/v1/checkpoints/{self.checkpoint}/restore{self.query}", key)
        if not outcome.code:
            memory, dumped = memory_in(world, row["instance"]), history.checkpoints[self.checkpoint]
            if memory is not None and memory != dumped:
                raise Failure(f"I1: checkpoint {self.checkpoint} was restored as something else")
            history.instances[row["instance"]] = dumped
        return outcome


class RestoreLinked(Restore):
    pass


class RestoreArchive(Restore):
    query = "?path=archive"


class RestoreUnpacking(Restore):
    """Linked, where the unpacked images have been lost."""

    def prepare(self, world, history):
        super().prepare(world, history)
        shutil.rmtree(world.state / "unpacked" / self.checkpoint, ignore_errors=True)


class RestoreTemplate(Step):
    """By whatever way is open."""

    def act(self, world, history, key):
        row, outcome = operation(world, history, "POST", "/v1/templates/plain/restore", key)
        if not outcome.code:
            history.instances[row["instance"]] = memory_in(world, row["instance"])
        return outcome


class Exec(Step):
    keyed = False

    def prepare(self, world, history):
        self.instance = world.do("POST", "/v1/templates/plain/warm")["instance"]
        history.instances[self.instance] = memory_in(world, self.instance)

    def act(self, world, history, key):
        answer = world.call("POST", f"/v1/instances/{self.instance}/exec", {"command": world.engine.ask})
        if answer.status != 200:
            return Outcome(answer.code or f"status {answer.status}", answer.text)
        word = answer.body["stdout"].strip()
        if word != (history.instances[self.instance] or word) or not word:
            raise Failure(f"I1: instance {self.instance} answers {answer.body}")
        return Outcome()


class Terminate(Step):
    keyed = False

    def prepare(self, world, history):
        self.instance = world.do("POST", "/v1/templates/plain/warm")["instance"]

    def act(self, world, history, key):
        history.ending.add(self.instance)
        row, outcome = operation(world, history, "DELETE", f"/v1/instances/{self.instance}", None)
        return outcome

    def retry(self, world, history, key):
        outcome = self.act(world, history, None)
        state = world.get(f"/v1/instances/{self.instance}")["state"]
        # Ended already, and so it says: that is as good.
        if state not in ("terminated", "draining") or outcome.code not in ("", "conflict"):
            raise Failure(f"I5: instance {self.instance} cannot be ended: {state}, {outcome.code} {outcome.text}")


class Delete(Step):
    keyed = False

    def prepare(self, world, history):
        made = CheckpointTemplate()
        outcome = made.act(world, history, None)
        if outcome.code:
            raise Failure(f"no checkpoint to delete: {outcome.code} {outcome.text}")
        self.checkpoint = made.made

    def act(self, world, history, key):
        history.doomed.add(self.checkpoint)
        row, outcome = operation(world, history, "DELETE", f"/v1/checkpoints/{self.checkpoint}", None)
        if not outcome.code:
            history.gone.add(self.checkpoint)
        return outcome

    def retry(self, world, history, key):
        outcome = self.act(world, history, None)
        if outcome.code not in ("", "not_found"):
            raise Failure(f"I5: checkpoint {self.checkpoint} cannot be deleted: {outcome.code} {outcome.text}")
        history.gone.add(self.checkpoint)


class Lease(Step):
    """Where no instance is idle: one is restored."""

    pool = "pooled"

    def prepare(self, world, history):
        self.lease = None

    def act(self, world, history, key):
        answer = world.call("POST", f"/v1/pools/{self.pool}/leases", {"wait": "60s", "ttl": "10m"}, key, timeout=70)
        if answer.status not in (200, 201):
            return Outcome(answer.code or f"status {answer.status}", answer.text)
        self.lease = answer.body["id"]
        if answer.body["state"] != "active":
            return Outcome("interrupted", answer.text)
        history.leases[self.lease] = answer.body["instance"]
        return Outcome()


class LeaseIdle(Lease):
    """Where one stands ready, and another is restored in its place."""

    pool = "ready"

    def prepare(self, world, history):
        super().prepare(world, history)
        made = CheckpointTemplate()
        made.template = self.pool
        if (outcome := made.act(world, history, None)).code:
            raise Failure(f"no checkpoint for the pool: {outcome.code} {outcome.text}")
        wait_for(lambda: world.get(f"/v1/pools/{self.pool}")["idle"] == 1, 30, "an instance stands in the pool")


class Release(Step):
    keyed = False

    def prepare(self, world, history):
        lease = Lease()
        outcome = lease.act(world, history, None)
        if outcome.code:
            raise Failure(f"no lease to release: {outcome.code} {outcome.text}")
        self.lease = lease.lease

    def act(self, world, history, key):
        history.releasing.add(self.lease)
        answer = world.call("DELETE", f"/v1/leases/{self.lease}")
        if answer.status != 200:
            return Outcome(answer.code or f"status {answer.status}", answer.text)
        if answer.body["state"] == "active":
            raise Failure(f"I5: lease {self.lease} was released and is active")
        return Outcome()


class Run(Step):
    keyed = False

    @staticmethod
    def starts(world):
        return len([row for row in world.items("operations") if row["kind"] == "warm" and row["template"] == "pooled"])

    def act(self, world, history, key):
        starts = self.starts(world)
        answer = world.call("POST", "/v1/templates/pooled/run", {"command": world.engine.ask})
        if answer.status != 200:
            return Outcome(answer.code or f"status {answer.status}", answer.text)
        # One that was started for want of another has a memory of its own.
        known = self.starts(world) > starts or answer.body["stdout"] in history.checkpoints.values()
        if answer.body["exit_status"] != 0 or world.engine.remembers and not known:
            raise Failure(f"I1: a run answers {answer.body}")
        return Outcome()


STEPS = {step.__name__: step for step in (Warm, WarmProbed, CheckpointTemplate, CheckpointInstance, RestoreLinked, RestoreArchive,
                                          RestoreUnpacking, RestoreTemplate, Exec, Terminate, Delete, Lease, LeaseIdle, Release, Run)}
