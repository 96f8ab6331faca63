#!/usr/bin/env python3
"""That warmctl knows the commands and options of the manuals, of those too that stand in a sentence or are not executed.

    commands_test.py WARMCTL
"""

import functools
import re
import subprocess
import sys

sys.dont_write_bytecode = True
from blocks import ROOT, blocks, documents  # noqa: E402

# Commands that the manuals promise and this version does not have yet.
COMMAND = re.compile(r"\bwarmctl((?: [^\s|;&<>()`]+)+)")
INLINE = re.compile(r"`(warmctl [^`]+)`")


@functools.cache
def help_of(words):
    done = subprocess.run([sys.argv[1], *words, "--help"], capture_output=True, text=True, check=False)
    # Of a word that is no command it prints the help of what it knows before it.
    return done.stdout if f"Usage: {' '.join(['warmctl', *words])} " in done.stdout else ""


def commands(file):
    text = (ROOT / file).read_text(encoding="utf-8")
    for block in blocks(file):
        if block.kind == "sh":
            for number, line in enumerate(re.sub(r"\\\n *", " ", block.text).splitlines(), block.line + 1):
                yield from ((number, found) for found in COMMAND.findall(line.partition("  #")[0]))
        text = text.replace(block.text, "\n" * block.text.count("\n")) if block.text.strip() else text
    for number, line in enumerate(text.splitlines(), 1):
        for inline in INLINE.findall(line):
            yield from ((number, found) for found in COMMAND.findall(inline))


def offence(words):
    """What is wrong with the words after `warmctl`, or an empty text."""
    words = [word for word in words if word]
    while words and words[0].startswith("-"):  # options that all commands have
        option = words.pop(0)
        if option.startswith("--") and option.partition("=")[0] not in help_of(()):
            return f"has no option {option}"
    # A word in capitals stands for any.
    if not words or words[0].isupper():
        return ""
    if not help_of((words[0],)):
        return f"has no command {words[0]}"
    path = (words[0],)
    if len(words) > 1 and re.fullmatch(r"[a-z]+", words[1]) and help_of((words[0], words[1])):
        path = (words[0], words[1])
    for word in words[len(path):]:
        if word == "--":
            break
        option = word.partition("=")[0].rstrip(",.")
        if re.fullmatch(r"--[a-z-]+", option) and option not in help_of(path) and option not in help_of(()):
            return f"{' '.join(path)} has no option {option}"
    return ""


def main():
    bad = []
    count = 0
    for file in documents():
        for number, found in commands(file):
            count += 1
            words = offence(found.split(" "))
            if words:
                bad.append(f"{file}:{number}: warmctl {words}")
    if count < 50:
        bad.append(f"only {count} commands are found")
    for line in bad:
        print(line)
    if bad:
        sys.exit(f"commands: {len(bad)} offences")
    print(f"commands: {count} of warmctl")


main()
