"""The fences of a page, and the commands in them, run as a reader would run them.

Commands run in this process, where the libraries are loaded already: `lnat`, `lm_eval` (as
`lnat eval`), `trl` and `python FILE.py`.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import re
import runpy
import shlex
import shutil
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from lnat_plugins.files import bundled_student
from tests.conftest import REPO

_FENCE = re.compile(r"^```([\w{}-]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?")
NEAR = 0.02
"""How far a printed number may be from that of the page, absolute or relative: machines differ."""


CPU = ("--use_cpu", "--max_steps=2", "--report_to=none", "--bf16=False")
"""What `trl` gets beside the page's arguments, where there is no GPU and little time."""


class Fence(NamedTuple):
    """A block of a page; `output` is that of the `text` block which follows it directly."""

    line: int
    language: str
    code: str
    output: str | None = None


def fences_of(text: str) -> list[Fence]:
    """The blocks of a page that are not tables' or figures'."""
    found: list[Fence] = []
    end = 0
    for match in _FENCE.finditer(text):
        between = text[end : match.start()].strip()
        fence = Fence(text[: match.start()].count("\n") + 1, match[1], match[2])
        if fence.language == "text" and found and not between and found[-1].output is None:
            found[-1] = found[-1]._replace(output=fence.code)
        else:
            found.append(fence)
        end = match.end()
    return found


def commands_of(code: str) -> list[str]:
    """The commands of a shell block, without comments, each on one line."""
    joined = re.sub(r"\\\n\s*", " ", code)
    lines = (re.sub(r"(^|\s)#\s.*$", "", line).strip() for line in joined.splitlines())
    return [line for line in lines if line]


def differs(expected: str, printed: str) -> str:
    """Where a printed text is not that of a page; "" if it is.

    A line `...` of the page stands for any lines, `...` in a line for any text. Numbers may differ
    by `NEAR`; spaces, and the lines of tables, by their length.
    """
    wanted = [line for line in map(_plain, expected.splitlines()) if line]
    found = [line for line in map(_plain, printed.splitlines()) if line]
    place = 0
    skipping = False
    for line in wanted:
        if line == "...":
            skipping = True
            continue
        if skipping:
            while place < len(found) and not _same(line, found[place]):
                place += 1
        if place >= len(found) or not _same(line, found[place]):
            near = found[place] if place < len(found) else "the end"
            return f"the page has {line!r}, the command {near!r}"
        place += 1
        skipping = False
    return "" if skipping or place == len(found) else f"the page ends before {found[place]!r}"


def _plain(line: str) -> str:
    return re.sub(r"-{3,}", "---", re.sub(r"\s+", " ", line.replace("|", " | "))).strip()


def _same(wanted: str, found: str) -> bool:
    parts = [re.escape(_NUMBER.sub("#", part)) for part in wanted.split("...")]
    if not re.fullmatch(".*".join(parts), _NUMBER.sub("#", found)):
        return False
    if "..." in wanted:
        return True
    pairs = zip(_NUMBER.findall(wanted), _NUMBER.findall(found), strict=True)
    return all(_near(*map(_value, pair)) for pair in pairs)


def _value(text: str) -> float:
    return float(text.replace(",", "").rstrip("."))


def _near(one: float, other: float) -> bool:
    return abs(one - other) <= NEAR * max(1.0, abs(one), abs(other))


class Reader:
    """Runs a page's commands in one folder.

    Attributes:
        folder: the working directory.
        names: words of the pages that stand for something of the reader's -> what they are here.
    """

    def __init__(self, folder: Path, scored: Mapping[str, tuple[Path, str]]) -> None:
        self.folder = folder
        self.names = {
            "$(lnat student)": str(bundled_student()), "=STUDENT": f"={bundled_student()}",
            " STUDENT": f" {bundled_student()}", "STUDY.yaml": "one/study.yaml",
            "OUT_A": "out", "OUT_B": "out",
        }  # fmt: skip
        self._scored = scored

    def here(self, command: str) -> str:
        """The command with what is here in place of the page's words."""
        for word, here in self.names.items():
            command = command.replace(word, here)
        return command

    def run(self, command: str) -> str:
        """What the command prints; the lines of `lnat` about the run are among it."""
        command = self.here(command)
        words = shlex.split(command)
        if "|" in words or "<" in command:
            raise AssertionError(f"this needs a shell: {command}")
        if command in self._scored:
            folder, printed = self._scored[command]
            shutil.copytree(folder, self.folder / folder.name, dirs_exist_ok=True)
            return printed
        printed_text = io.StringIO()
        with (
            contextlib.redirect_stdout(printed_text),
            contextlib.redirect_stderr(_Lines(printed_text)),
            quiet(),
        ):
            code = self._call(words)
        assert not code, f"{command}: exit code {code}\n{printed_text.getvalue()}"
        return printed_text.getvalue()

    def _call(self, words: list[str]) -> int:
        from lnat_plugins.cli import main

        program, *arguments = words
        if program == "lnat":
            return main(arguments)
        if program == "lm_eval":
            return main(["eval", *arguments])
        if program == "trl":
            return trl([*arguments, *(a for a in CPU if a not in arguments)])
        if program == "python" and arguments[0].endswith(".py"):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "argv", arguments)
                runpy.run_path(arguments[0], run_name="__main__")
            return 0
        if program == "cat":
            for name in arguments:
                print(Path(name).read_text(encoding="utf-8"), end="")
            return 0
        raise AssertionError(f"no way to run {program!r} in the tests")


class _Lines(io.TextIOBase):
    """Standard error of which the lines `lnat: ...` are kept, and no bars or logs of libraries."""

    def __init__(self, kept: io.StringIO) -> None:
        self._kept = kept
        self._line = ""

    def write(self, text: str) -> int:
        self._line += text
        *lines, self._line = self._line.split("\n")
        for line in lines:
            if line.startswith("lnat: "):
                self._kept.write(line + "\n")
        return len(text)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Warnings of libraries are none of the page's; handlers of logs are put back."""
    root = logging.getLogger()
    before = list(root.handlers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    root.handlers[:] = before


def trl(arguments: list[str]) -> int:
    """`trl sft` and the like, without the launcher that starts another process."""
    command = importlib.import_module(f"trl.scripts.{arguments[0]}")
    script, training, model, data, _ = command.make_parser().parse_args_and_config(
        args=arguments[1:], return_remaining_strings=True
    )
    command.main(script, training, model, data)
    return 0


def copied(source: str, folder: Path) -> None:
    """A file or folder of the repository, at the same place below `folder`."""
    target = folder / source
    target.parent.mkdir(parents=True, exist_ok=True)
    if (REPO / source).is_dir():
        shutil.copytree(REPO / source, target, dirs_exist_ok=True)
    else:
        shutil.copy(REPO / source, target)
