"""The fenced blocks of a manual: what tests/manuals/run executes and tests/style/manuals looks at.

The first line of a block says what is in it:

    ```sh                     commands: executed, in one shell for the whole document; each must end with 0
    ```sh exits 1             the same, but the last one ends with this status
    ```sh example REASON      commands that are not executed; the reason is printed
    ```sh licence             the same: they need one of MATLAB
    ```output [stderr]        what the block above prints (on standard error); `…` in a line is any text, alone any lines
    ```json                   what the block above prints, or the last line of it: the same members, of the same types
    ```json part              some lines of that, in this order, each a document
    ```toml [FILE]            a fragment of a configuration; or the whole FILE, which is written
    ```text ```yaml ```groovy what is neither executed nor compared: no commands
"""

import dataclasses
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^( *)(`{3,}|~{3,})(.*)$")
INFO = {
    "sh": re.compile(r"(|exits \d+|licence|example \S.*)$"),
    "output": re.compile(r"(|stderr)$"),
    "json": re.compile(r"(|part|example \S.*)$"),
    "toml": re.compile(r"(|/\S+|licence|example \S.*)$"),
    "text": re.compile(r"$"),
    "yaml": re.compile(r"$"),
    "groovy": re.compile(r"$"),
}


@dataclasses.dataclass
class Block:
    file: str
    line: int
    kind: str
    words: str
    text: str
    section: str

    @property
    def where(self):
        return f"{self.file}:{self.line}"

    @property
    def known(self):
        return self.kind in INFO and INFO[self.kind].match(self.words) is not None

    @property
    def skipped(self):
        """Why it is not executed, or an empty text."""
        if self.words == "licence":
            return "needs a licence of MATLAB"
        return self.words.removeprefix("example ") if self.words.startswith("example ") else ""


def documents():
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [file.relative_to(ROOT).as_posix() for file in found]


def blocks(file):
    """All of one document, in order. Raises ValueError for one that does not end."""
    found = []
    fence = None
    section = ""
    for number, line in enumerate((ROOT / file).read_text(encoding="utf-8").splitlines(), 1):
        match = FENCE.match(line)
        if fence is None:
            if match:
                kind, _, words = match.group(3).strip().partition(" ")
                fence = match.group(1), match.group(2)
                found.append(Block(file, number, kind, words.strip(), "", section))
            elif line.startswith("#"):
                section = line.lstrip("#").strip()
        elif match and match.group(2).startswith(fence[1]) and not match.group(3).strip():
            fence = None
        else:
            found[-1].text += line.removeprefix(fence[0]) + "\n"
    if fence is not None:
        raise ValueError(f"{found[-1].where}: this block does not end")
    return found
