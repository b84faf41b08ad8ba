"""The plan in words, the bar in tokens, the line with the time, and what turns them off."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import transformers

from lnat_plugins.engine.planning import Planned
from lnat_plugins.scoring import progress
from lnat_plugins.scoring.progress import TokenBar, ToRead, bars_are_on, print_line

PLAN = ToRead(20, 1160, frozenset("AB"), Planned(900, 154_458), {"cut": 2})


def test_a_plan_is_one_line() -> None:
    assert PLAN.in_words() == (
        "20 prompts, 2 teachers, 1,160 responses, 155,358 tokens to read "
        "(900 of prompts, 154,458 of responses and their windows)"
    )
    one = ToRead(1, 1, frozenset("A"), Planned(1, 0))
    assert one.in_words() == (
        "1 prompt, 1 teacher, 1 response, 1 token to read (1 of prompts, 0 of responses and "
        "their windows)"
    )


def test_a_plan_says_what_is_kept() -> None:
    assert PLAN.in_words(1200).endswith("; the records of 1,200 other responses are kept")
    assert ToRead().in_words(1) == "nothing to read: the records of 1 response are kept"


def test_plans_add_up() -> None:
    other = ToRead(2, 5, frozenset("BC"), Planned(1, 2), {"cut": 1, "joined": 4})
    assert PLAN + other == ToRead(
        22, 1165, frozenset("ABC"), Planned(901, 154_460), {"cut": 3, "joined": 4}
    )
    assert sum([PLAN, other], ToRead()) == PLAN + other


class Student:
    """A reader whose passes the test makes."""

    def __init__(self) -> None:
        self.tokens_read = 70
        self.on_read: Callable[[], None] = lambda: None

    def read(self, tokens: int) -> None:
        self.tokens_read += tokens
        self.on_read()


class Drawn:
    """Stands for tqdm's bar: its options, and what it is set to after each pass."""

    last: Drawn

    def __init__(self, **options: Any) -> None:
        self.options, self.n, self.shown, self.closed = options, 0, [0], False
        self.disable = False
        Drawn.last = self

    def update(self, n: int) -> None:
        self.n += n
        self.shown.append(self.n)

    def close(self) -> None:
        self.closed = True

    external_write_mode = staticmethod(lambda file: io.StringIO())


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "tqdm", Drawn)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    return now


def test_the_bar_is_in_tokens_read_of_all_that_are_planned(drawn: None) -> None:
    student = Student()
    with TokenBar(1800, student, shown=True, announce=print) as bar:
        bar.begin(0, 500)
        student.read(200)
        student.read(200)
        bar.end()  # fewer than planned
        bar.begin(500, 1300)
        student.read(1250)
        student.read(150)  # more: a pass ran out of memory and was read again
        bar.end()
    assert Drawn.last.options["total"] == 1800
    assert Drawn.last.options["unit"] == " tok"
    assert Drawn.last.shown == [0, 200, 400, 500, 1750, 1800, 1800]
    assert Drawn.last.closed
    student.read(5)
    assert Drawn.last.n == 1800


def test_the_bar_counts_what_others_have_taken_and_never_goes_back(drawn: None) -> None:
    student = Student()
    with TokenBar(2000, student, shown=True, announce=print) as bar:
        bar.begin(1400, 100)
        student.read(100)
        bar.end()
        bar.begin(1000, 10)
        bar.end()
    assert Drawn.last.shown == [0, 1500, 1500, 1500]


def test_an_error_closes_the_bar(drawn: None) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        TokenBar(10, Student(), shown=True, announce=print) as bar,
    ):
        bar.begin(0, 1 // 0)
    assert Drawn.last.closed


def test_the_time_is_that_of_the_first_measured_passes(drawn: None, clock: list[float]) -> None:
    said: list[str] = []
    student = Student()
    with TokenBar(100_000, student, shown=True, announce=said.append) as bar:
        bar.begin(0, 100_000)
        clock[0] += 30
        student.read(1000)  # warms up, and is in no rate
        for _ in range(4):
            clock[0] += 4
            student.read(2000)
    # After 12 of these seconds: 6,000 tokens in 12 s, and 93,000 left.
    assert said == ["about 3 minutes left, at 500 tokens/s (measured on the first 7,000 tokens)"]


def test_a_long_pass_that_read_nothing_new_has_no_rate(drawn: None, clock: list[float]) -> None:
    said: list[str] = []
    with TokenBar(100_000, Student(), shown=True, announce=said.append) as bar:
        bar.begin(0, 1000)
        bar.end()
        clock[0] += 600
        bar.begin(0, 1000)
        bar.end()
    assert said == []


@pytest.mark.parametrize(("pause", "says"), [(9.9, False), (10, True)])
def test_ten_seconds_are_measured(
    pause: float, says: bool, drawn: None, clock: list[float]
) -> None:
    said: list[str] = []
    student = Student()
    with TokenBar(100_000, student, shown=True, announce=said.append) as bar:
        bar.begin(0, 100_000)
        student.read(1000)
        clock[0] += pause
        student.read(1000)
    assert bool(said) is says


@pytest.mark.parametrize(("shown", "pause"), [(True, 2), (False, 60)])
def test_a_short_run_and_another_process_say_no_time(
    shown: bool, pause: int, drawn: None, clock: list[float]
) -> None:
    said: list[str] = []
    student = Student()
    with TokenBar(4000, student, shown=shown, announce=said.append) as bar:
        bar.begin(0, 4000)
        for _ in range(4):
            clock[0] += pause
            student.read(1000)
    assert said == []


def test_no_time_is_said_when_all_is_read(drawn: None, clock: list[float]) -> None:
    said: list[str] = []
    student = Student()
    with TokenBar(2000, student, shown=True, announce=said.append) as bar:
        for before in (0, 1000):
            bar.begin(before, 1000)
            clock[0] += 60
            student.read(1000)
            bar.end()
    assert said == []


def test_as_it_is_drawn(progress_bars_on: None, capsys: pytest.CaptureFixture[str]) -> None:
    student = Student()
    with TokenBar(2_900_000, student, shown=True, announce=print) as bar:
        bar.begin(0, 2_900_000)
        bar._bar.mininterval = 0
        student.read(1_218_000)
    found = capsys.readouterr()
    assert found.out == ""
    assert re.search(
        r"Scoring:  42%\|.*\| 1\.22M/2\.90M tokens \[00:0\d<00:0\d, .*tok/s\]", found.err
    )


# What turns bars off.


def test_hugging_faces_switch_turns_everything_off(
    progress_bars_on: None, capsys: pytest.CaptureFixture[str]
) -> None:
    transformers.logging.disable_progress_bar()
    try:
        assert not bars_are_on()
        print_line("plan: all")
        with TokenBar(10, Student(), shown=True, announce=print) as bar:
            bar.begin(0, 10)
            bar.end()
    finally:
        transformers.logging.enable_progress_bar()
    assert capsys.readouterr().err == ""
    assert bars_are_on()
    print_line("plan: all")
    assert capsys.readouterr().err == "lnat: plan: all\n"


SWITCHES = ["TQDM_DISABLE", "HF_HUB_DISABLE_PROGRESS_BARS"]


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_variable_turns_bars_off(switch: str) -> None:
    code = "from lnat_plugins.scoring.progress import bars_are_on; print(bars_are_on())"
    for environment, on in (({}, "True"), ({switch: "1"}, "False")):
        kept = {name: value for name, value in os.environ.items() if name not in SWITCHES}
        done = subprocess.run(
            [sys.executable, "-c", code], env={**kept, **environment},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.strip() == on
