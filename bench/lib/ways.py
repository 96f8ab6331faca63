"""The ways to a ready application that are compared: by hand with Podman alone, and through warmd.

Each has restore(), which returns a handle and warmd's own phases; execute(handle, command); remove(handle).
"""

import itertools
import os
import tomllib

from host import PREFIX, phases_of, run, succeeds, wait_until


class Application:
    """What a template says, run by Podman alone."""

    def __init__(self, text):
        self.template = tomllib.loads(text)

    def start(self, name):
        settings = [f"--env={key}={value}" for key, value in self.template.get("env", {}).items()]
        run("podman", "run", "--detach", f"--network={self.template.get('network', 'none')}", "--name", name, *settings,
            self.template["image"], *self.template.get("command", []))

    def wait_until_ready(self, name):
        """The template's own conditions, one after the other, as often as it takes."""
        for phase in "initialised", "ready":
            condition = self.template["warm"].get(phase, {})
            commands = [["test", "-e", condition["file"]]] if "file" in condition else []
            commands += [condition["exec"]] if "exec" in condition else []
            for command in commands:
                wait_until(lambda: succeeds("podman", "exec", name, *command), 300, f"{name} is {phase}")

    def code_command(self, code):
        """The command that has the session evaluate code: that of warm.ready, whose last argument is code."""
        return [*self.template["warm"]["ready"]["exec"][:-1], code]


class ByHand:
    """podman container checkpoint once, and podman container restore --import for each copy."""

    name = "by hand"

    def __init__(self, application, tarball):
        self.tarball = str(tarball)
        self.numbers = itertools.count(1)  # next() of it is atomic
        source = PREFIX + "source"
        try:
            application.start(source)
            application.wait_until_ready(source)
            run("podman", "container", "checkpoint", "--compress=none", f"--export={self.tarball}", source)
        finally:
            succeeds("podman", "rm", "--force", "--time", "0", source)

    def restore(self):
        name = f"{PREFIX}copy-{next(self.numbers)}"
        run("podman", "container", "restore", "--import", self.tarball, "--name", name)
        return name, {}

    def execute(self, name, command):
        return run("podman", "exec", name, *command)

    def remove(self, name):
        run("podman", "rm", "--force", "--time", "0", name)

    def forget(self):
        os.unlink(self.tarball)


class ThroughWarmd:
    """POST /v1/checkpoints/ID/restore by one of warmd's paths."""

    def __init__(self, service, checkpoint, path):
        self.name = f"warmd, {path}"
        self.service = service
        self.target = f"/v1/checkpoints/{checkpoint}/restore?path={path}"

    def restore(self):
        operation = self.service.warmd.operation("POST", self.target)
        self.service.made.add(operation["instance"])
        return operation["instance"], phases_of(operation)

    def execute(self, instance, command):
        return self.service.warmd.execute(f"/v1/instances/{instance}/exec", {"command": command})

    def remove(self, instance):
        self.service.warmd.operation("DELETE", f"/v1/instances/{instance}")
