"""How errors are worded, and that they keep it."""

from __future__ import annotations

import pickle

import pytest

from lnat_plugins.errors import (
    ConfigError,
    DataError,
    LnatError,
    StudentError,
    did_you_mean,
    shorten,
)


def test_an_error_says_what_where_found_and_remedy() -> None:
    error = DataError("empty response", where="a.jsonl row 2", found="", remedy="fill it")
    assert str(error) == "a.jsonl row 2: empty response (found ''). Fill it."
    assert str(ConfigError("no window")) == "no window."
    assert error.exit_code == 2


@pytest.mark.parametrize("kind", [LnatError, ConfigError, DataError, StudentError])
def test_an_error_survives_the_way_to_another_process(kind: type[LnatError]) -> None:
    error = kind("wrong", where="here", found=object(), remedy="mend it")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)
    assert (again.what, again.where, again.remedy) == ("wrong", "here", "mend it")


def test_long_values_are_cut_in_the_middle() -> None:
    assert shorten("x" * 500).startswith("'xxx")
    assert len(shorten(list(range(1000)))) <= 80
    assert "..." in shorten("x" * 500)


def test_the_nearest_name_is_offered() -> None:
    assert did_you_mean("bets", ["best", "random"]) == "did you mean 'best'? known: best, random"
    assert did_you_mean("zzz", ["best"]) == "known: best"
    assert did_you_mean("zzz", []) == "none is known here"
