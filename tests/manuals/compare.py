"""Whether what a command printed is what its manual says."""

import json
import re

# These tell documents from each other: they must be as the manual has them.
TELLING = {"type", "code", "kind", "state", "status"}


class Differs(Exception):
    """It is something else."""


def pattern(line):
    return ".*".join(re.escape(part) for part in line.rstrip().split("…"))


def compare_output(expected, found):
    """Line by line; `…` alone stands for any lines."""
    parts = [r"(?:.*\n)*?" if line.strip() == "…" else pattern(line) + r"[ ]*\n" for line in expected.splitlines()]
    if not found.endswith("\n"):
        found += "\n"
    if not re.fullmatch("".join(parts), found):
        raise Differs(f"the manual says\n{expected}and it is\n{found}")


def kind_of(value):
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


def difference(expected, found, path=""):
    """What the manual has otherwise than the answer, or an empty text. `"…": "…"` stands for more members."""
    if expected is None or found is None or expected == "…":
        return ""
    if kind_of(expected) != kind_of(found):
        return f"{path or 'it'} is {kind_of(found)}, not {kind_of(expected)}"
    if isinstance(expected, dict):
        missing = expected.keys() - found.keys() - {"…"}
        more = set() if "…" in expected else found.keys() - expected.keys()
        if missing or more:
            return f"{path or 'it'} has {sorted(more) or 'nothing'} more and lacks {sorted(missing) or 'nothing'}"
        for name in expected.keys() - {"…"}:
            told = f"{path}.{name}".lstrip(".")
            if name in TELLING and not isinstance(expected[name], (dict, list)) and expected[name] not in (found[name], "…", None):
                return f"{told} is {found[name]!r}, not {expected[name]!r}"
            words = difference(expected[name], found[name], told)
            if words:
                return words
    if isinstance(expected, list) and found:
        for number, item in enumerate(expected):
            words = [difference(item, other, f"{path}[{number}]") for other in found]
            if all(words):
                return words[0]
    return ""


def documents_of(text):
    """Those that begin a line, or follow another: `curl` puts nothing between two answers."""
    decoder = json.JSONDecoder()
    found = []
    at = 0
    while at < len(text):
        try:
            item, end = decoder.raw_decode(text, at)
            if isinstance(item, (dict, list)):
                found.append(item)
                at = end
                continue
        except ValueError:
            pass
        at = text.find("\n", at) + 1 or len(text)
    return found


def compare_json(text, part, found):
    """The last document that was found, or some of them in this order."""
    expected = [json.loads(line) for line in text.splitlines()] if part else [json.loads(text)]
    answers = documents_of(found)
    if not part:
        answers = answers[-1:]
    for item in expected:
        words = "there is no such document"
        while answers:
            words = difference(item, answers.pop(0))
            if not words:
                break
        if words:
            raise Differs(f"{words}; the manual says\n{json.dumps(item)}\nand it is\n{found[:4000]}")
