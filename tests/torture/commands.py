"""`lnat report`, `rank` and `select`, killed while they replace what an earlier run has written."""

from __future__ import annotations

import functools
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas  # noqa: F401
import scipy.stats  # noqa: F401
import torch  # noqa: F401
from transformers import AutoTokenizer  # noqa: F401

import lnat_plugins.api
import lnat_plugins.report
import lnat_plugins.report.page
import lnat_plugins.selection.training_set
from lnat_plugins.cli import main
from lnat_plugins.folders import beside
from tests.cli.select_runs import SCORES, write_run
from tests.kills import contents
from tests.torture.killing import Found, Kind, Scene
from tests.torture.processes import BEGAN, ENDED, Say

WRITES = b"w"
PROMPTS = 24
FEWER = 8
FAST = ("--bootstrap_iters", "500")


def command(*arguments: str) -> Callable[[Say], None]:
    """`lnat` with these arguments; it says when it takes the first lock of an output."""

    def work(say: Say) -> None:
        def watch(event: str, of: tuple[Any, ...]) -> None:
            if event == "open" and str(of[0]).endswith(".lnat-lock"):
                say(WRITES)

        sys.addaudithook(watch)
        say(BEGAN)
        code = main(arguments)
        say(ENDED)
        raise SystemExit(code)

    return work


def prepare(earlier: Sequence[str]) -> None:
    """Scores of many prompts and of a few of them, and what an earlier command wrote."""
    draw = random.Random(0)
    scores = {
        teacher: [values[0] * draw.uniform(0.7, 1.3) for _ in range(PROMPTS)]
        for teacher, values in SCORES.items()
    }
    write_run(Path("out"), scores)
    write_run(Path("few"), {teacher: values[:FEWER] for teacher, values in scores.items()})
    assert main(earlier) == 0


def files(*names: str) -> Callable[[Path], Found]:
    """The outputs of these names; a folder that was moved aside is there, too."""
    return lambda place: {
        name: found
        for name in names
        if (found := _seen(contents(place / name)) or contents(beside(place / name, "old")))
    }


def _seen(found: object) -> object:
    """Without locks and files under temporary names; nothing where there are no others."""
    if not isinstance(found, dict):
        return found
    return {name: of for name, one in found.items() if ".lnat-" not in name and (of := _seen(one))}


def scene(name: str, *options: str, over: str, first: str, parts: Sequence[str] = ("",)) -> Scene:
    """A command that writes over what an earlier one wrote, and for the first time; each is killed
    at any moment, and while it writes. `parts`: files of an output, each old or new as a whole."""
    works = {one: command(name, "out", *options, "--output_path", one) for one in (over, first)}
    kinds = [Kind(one, work) for one, work in works.items()]
    kinds += [Kind(f"{one}, writing", work, WRITES) for one, work in works.items()]
    earlier = (name, "few", *options, "--output_path", over)
    wholes = [f"{one}/{part}" if part else one for one in (over, first) for part in parts]
    return Scene(functools.partial(prepare, earlier), files(*wholes), kinds)


def report() -> Scene:
    """A page over another, and a picture.

    The page's script takes longer than the rest and is the same each time: it is made once, in
    another process, since the threads that make it would be lacking in those that are forked.
    """
    program = "from lnat_plugins.report.page import bundle; import sys; sys.stdout.write(bundle())"
    script = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    lnat_plugins.report.page.bundle = lambda: script
    return scene("report", *FAST, over="page.html", first="picture.svg")


def rank() -> Scene:
    """Two files, which are moved into their places one after the other."""
    parts = ("ranking.json", "ranking.md")
    return scene("rank", *FAST, over="over", first="first", parts=parts)


def select() -> Scene:
    """Training sets."""
    return scene("select", over="over", first="first")
