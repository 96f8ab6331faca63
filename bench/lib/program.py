"""What the measuring programs have in common as programs: arguments, failures, and their last words."""

import json
import os
import signal
import sys

from warmd import Failed


def positive(word):
    value = int(word)
    if value < 1:
        raise ValueError(word)
    return value


def write_json(file, result):
    if file:
        file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def report_left(left):
    """Prints what is left of the measurement; the program's exit status."""
    print("Left: " + ", ".join(f"{count} {what}" for what, count in left.items()))
    return 1 if any(left.values()) else 0


def main(work):
    """Runs `work` as a program: it cleans up when it is stopped, and says in a line what went wrong."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    name = os.path.basename(sys.argv[0])
    try:
        sys.exit(work())
    except Failed as error:
        sys.exit(f"{name}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def need_root():
    if os.geteuid() != 0:
        raise Failed("needs root")
