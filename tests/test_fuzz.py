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
from tests import fuzz

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
