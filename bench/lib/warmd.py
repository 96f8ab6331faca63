"""warmd's API by its socket. No process of curl or warmctl starts within what is measured."""

import http.client
import json
import socket

SOCKET = "/run/warmd/warmd.sock"
FINAL = ("succeeded", "failed", "cancelled")


class Failed(Exception):
    """What was attempted, and why it did not work. `code` is warmd's own, where it is warmd that failed."""

    def __init__(self, words, code=""):
        super().__init__(words)
        self.code = code


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        # Longer than the longest ?wait=.
        super().__init__("warmd", timeout=120)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Warmd:
    """Each call has a connection of its own, so threads may share one object."""

    def __init__(self, path=SOCKET):
        self.path = path

    def call(self, method, target, body=None):
        """The document of the answer. Raises Failed for any other than a success."""
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(body).encode()
        connection = Connection(self.path)
        try:
            connection.request(method, target, body=body, headers=headers)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Failed(f"{method} {target}: {error}") from error
        finally:
            connection.close()
        try:
            document = json.loads(text)
        except ValueError as error:
            raise Failed(f"{method} {target}: {answer.status}, and no JSON: {text[:200]!r}") from error
        if answer.status >= 300:
            raise Failed(f"{method} {target}: {answer.status} {describe(document)}", document.get("code", ""))
        return document

    def operation(self, method, target):
        """Starts a long action and returns the operation when it has succeeded. Raises Failed when it has not."""
        document = self.call(method, with_wait(target))
        while document["state"] not in FINAL:
            document = self.call("GET", with_wait(f"/v1/operations/{document['id']}"))
        if document["state"] != "succeeded":
            error = document["error"]
            raise Failed(f"{method} {target}: {document['state']}: {describe(error)}", error["code"])
        return document

    def execute(self, target, request):
        """Posts a command or code and returns what it printed. Raises Failed unless it ended with 0."""
        document = self.call("POST", target, request)
        if document["exit_status"] != 0:
            raise Failed(f"POST {target}: {request} ended with {document['exit_status']}: {document['stderr'].strip()}")
        return document["stdout"]


def with_wait(target):
    return f"{target}{'&' if '?' in target else '?'}wait=60s"


def describe(problem):
    return ": ".join(problem[name] for name in ("code", "detail", "cause", "hint") if problem.get(name))
