"""A thousand random inputs of every kind that is read: each works, or is one line of an error.

`make fuzz` tries many more, by the same functions.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lnat_plugins.errors import LnatError
from tests.fuzz import kinds as fuzz
from tests.fuzz.__main__ import main
from tests.fuzz.drawn import Drawn

EXAMPLES = 1_000 // len(fuzz.KINDS) + 1


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_random_input_works_or_is_one_line(kind: str) -> None:
    @settings(max_examples=EXAMPLES, suppress_health_check=[*HealthCheck], database=None)
    @given(st.randoms(use_true_random=False))
    def one(rng: random.Random) -> None:
        with tempfile.TemporaryDirectory() as folder:
            fuzz.attempt(kind, rng, Path(folder))

    one()


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_some_input_works_and_some_is_refused(kind: str, tmp_path: Path) -> None:
    """A negative control: input that is always refused tests little."""
    found = {
        bool(fuzz.attempt(kind, random.Random(f"{kind} {n}"), tmp_path))
        for n in range(300 if kind != "text" else 3)
    }
    assert found == ({False, True} if kind != "text" else {False})


def test_a_foreign_exception_and_a_second_line_are_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def breaks(rng: random.Random, folder: Path) -> None:
        raise KeyError("x")

    def two_lines(rng: random.Random, folder: Path) -> None:
        error = LnatError("x")
        error.args = ("a\nb.",)
        raise error

    monkeypatch.setattr(fuzz, "KINDS", {"a": breaks, "b": two_lines})
    with pytest.raises(KeyError):
        fuzz.attempt("a", random.Random(1), tmp_path)
    with pytest.raises(AssertionError):
        fuzz.attempt("b", random.Random(1), tmp_path)


def test_the_command_counts_what_it_tried(capsys: pytest.CaptureFixture[str]) -> None:
    count = 2 * len(fuzz.KINDS)
    assert main([str(count), "--seed", "7"]) == 0
    *kinds, total = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in kinds] == [*fuzz.KINDS]
    assert all(line.endswith(" 0 break") for line in kinds)
    assert total.startswith(f"{count} inputs in ") and total.endswith(", seed 7: 0 break")


def test_what_breaks_is_named_and_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks(rng: random.Random, folder: Path) -> None:
        if rng.random() < 0.5:
            raise KeyError("x")

    monkeypatch.setattr(fuzz, "KINDS", {"a": breaks})
    assert main(["20"]) == 1
    first, *_, counts, total = capsys.readouterr().out.splitlines()
    assert first.startswith("a ") and ": KeyError at test_fuzz.py:" in first
    number = first.split()[1].rstrip(":")
    assert counts.startswith("a: ") and total.endswith(" break")
    assert main(["1", "--first", number]) == 1
    assert main(["--kind", "a", "--bytes", "ffff"]) == 0
    assert main(["--kind", "a", "--bytes", ""]) == 1


def test_bytes_are_the_input() -> None:
    """A draw takes bytes in order, and zeros behind their end."""
    drawn = Drawn(bytes([128, 0, 7, 3, 0, 200]))
    assert drawn.random() == 0.5
    assert drawn.choice(range(8)) == 0  # four bits of 7
    assert drawn.randrange(256) == 6  # nine bits of 3 and 0
    assert [drawn.random() for _ in range(3)] == [200 * 256 / 65_536, 0.0, 0.0]
    assert drawn.sample(range(3), 2) == Drawn(b"").sample(range(3), 2)


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_bytes_that_end_are_an_input_too(kind: str, tmp_path: Path) -> None:
    rng = random.Random(kind)
    for n in (0, 0, 1, 4, 30):
        fuzz.attempt(kind, Drawn(rng.randbytes(n)), tmp_path)


def test_the_guided_form_names_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tests.fuzz.__main__.is_there", lambda name: name != "atheris")
    assert main(["5", "--guided"]) == 2
    said, error = capsys.readouterr()
    assert (said, error) == ("", "fuzz: error: --guided needs atheris. Run pip install atheris.\n")
