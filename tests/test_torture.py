"""Killed runs, in short: `make torture` kills more of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers_programs import run_program, script_program
from tests.torture.__main__ import TARGETS
from tests.torture.killing import differences

KILLS = {"scoring": 2, "report": 1, "rank": 2, "select": 1, "trainer": 1, "study": 1}
"""Ray's targets are not here: tests/on_ray kills a driver and an actor."""


@pytest.mark.parametrize("target", [one for one in TARGETS if not one.startswith("ray")])
def test_killed_runs_give_the_same_when_they_are_run_again(
    target: str, repo: Path, tmp_path: Path
) -> None:
    code, count = script_program(repo / "tests" / "torture" / "__main__.py"), KILLS[target]
    done = run_program(
        code, ["--target", target, "--seed", "18", "--count", str(count)], cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    *kills, last = done.stdout.splitlines()
    assert re.fullmatch(rf"{target}, seed 18: \d of {count} killed, 0 differences", last)
    assert len(kills) == count and all(line.endswith("; ok") for line in kills)


def test_a_difference_is_found() -> None:
    one = {"a": {"totals": {"4": -1.0}}, "b": {}}
    assert differences(one, {"a": {"totals": {"4": -1.0}}, "b": {}}) == []
    assert differences(one, {"a": {"totals": {"4": -1.5}}}) == ["a", "b"]
    assert differences({}, one) == ["a", "b"]


NAIVE = """
import random, sys, time
from pathlib import Path

sys.path.append(sys.argv[1])
from tests.kills import contents
from tests.torture.killing import Kind, Scene, torture
from tests.torture.processes import BEGAN, ENDED

def in_place(say):
    say(BEGAN)
    with open("file", "w") as file:
        for part in range(20):
            print(part, file=file, flush=True)
            time.sleep(0.02)
    say(ENDED)

def added(say):
    say(BEGAN)
    with open("count", "a") as file:
        file.write("x")
    time.sleep(0.4)
    say(ENDED)

def output(name):
    return lambda place: {name: contents(place / name)}

prepare = lambda: Path("file").write_text("old")
for name, scene in {
    "in place": Scene(prepare, output("file"), [Kind("any", in_place)]),
    "added": Scene(
        prepare, lambda place: {}, [Kind("any", added)], output("count"), output("count")
    ),
}.items():
    torture(scene, Path(name).resolve(), random.Random(0), 2)
"""


def test_what_is_half_written_and_what_is_done_again_is_found(repo: Path, tmp_path: Path) -> None:
    done = run_program(NAIVE, [str(repo)], cwd=tmp_path)
    found = re.findall(r"^\d: any: killed after .*; (.*)$", done.stdout, re.MULTILINE)
    halves, again = ["half written: file"], ["differs: count", "done again: count"]
    assert found == [str(halves)] * 2 + [str(again)] * 2, done.stdout + done.stderr[-3000:]
